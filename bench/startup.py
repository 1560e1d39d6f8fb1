"""How long until something happens? Indexing 100,000 files, `import selftaught`, `selftaught --help`, the first step.

The first step is that of a run of 100 steps on 300 pictures by defaults; what of it goes into importing the libraries
that take a step (torch, timm, an optimiser) stands beside it. Medians of five, each in a process of its own. Writes
docs/results/startup.json.

    python bench/startup.py
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "docs/results/startup.json"
FILES, FOLDERS, REPEATS = 100_000, 100, 5
INDEX = """
import sys, time
from selftaught.data.sources.open import open_source
began = time.perf_counter()
source = open_source(sys.argv[1])
source.fingerprint()
assert len(source) == 100_000
print(time.perf_counter() - began)
"""
COMMAND = [sys.executable, "-m", "selftaught"]
STEPS = 100
LIBRARIES = """
import torch, timm
torch.optim.AdamW(torch.nn.Linear(1, 1).parameters())
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number in range(FOLDERS):
            (Path(folder) / str(number)).mkdir()
            for file in range(FILES // FOLDERS):
                (Path(folder) / str(number) / f"{file:05d}.jpg").write_bytes(b"\xff\xd8")
        indexing = [float(run([sys.executable, "-c", INDEX, folder])[1]) for _ in range(REPEATS)]
    imports = [run([sys.executable, "-c", "import selftaught"])[0] for _ in range(REPEATS)]
    nothing = [run([sys.executable, "-c", "pass"])[0] for _ in range(REPEATS)]
    helps = [run([*COMMAND, "--help"])[0] for _ in range(REPEATS)]
    libraries = [run([sys.executable, "-c", LIBRARIES])[0] for _ in range(REPEATS)]
    with tempfile.TemporaryDirectory() as folder:
        pictures(Path(folder) / "pictures")
        steps = [first_step(Path(folder), f"run-{number}") for number in range(REPEATS)]
    seconds = {
        "index 100,000 files": indexing,
        "import selftaught (interpreter included)": imports,
        "an empty program": nothing,
        "selftaught --help": helps,
        "import torch and timm, and an optimiser": libraries,
        "first step of a run of 100": steps,
    }
    result = {what: round(statistics.median(taken), 3) for what, taken in seconds.items()}
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(RESULT.read_text())


def pictures(folder: Path) -> None:
    """300 pictures of noise, 32 by 32 pixels."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(300):
        pixels = generator.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")


def first_step(folder: Path, name: str) -> float:
    """Seconds from the command to the end of the first step of a run, whatever it remembers from others taken away."""
    asked = ["pretrain", str(folder / "pictures"), "--method", "simclr", "--encoder", "test_resnet"]
    asked += ["--steps", str(STEPS), "--log-every", "1", "--out", str(folder / name)]
    lines = folder / name / "metrics.jsonl"
    began = time.perf_counter()
    own = {**os.environ, "SELFTAUGHT_CACHE": str(folder / f"cache-{name}")}
    job = subprocess.Popen([*COMMAND, *asked], env=own, stderr=subprocess.DEVNULL)
    while not (lines.exists() and lines.stat().st_size):
        if job.poll() is not None:
            raise SystemExit(f"the run ended with {job.returncode} before its first step")
        time.sleep(0.01)
    taken = time.perf_counter() - began
    job.kill()
    job.wait()
    return taken


def run(command: list[str]) -> tuple[float, str]:
    """Seconds a command takes, and what it prints."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, done.stdout


if __name__ == "__main__":
    main()
