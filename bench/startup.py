"""How long until something happens? Indexing 100,000 files, `import selftaught` and `selftaught --help`.

Medians of five, each in a process of its own. Writes docs/results/startup.json.

    python bench/startup.py
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number in range(FOLDERS):
            (Path(folder) / str(number)).mkdir()
            for file in range(FILES // FOLDERS):
                (Path(folder) / str(number) / f"{file:05d}.jpg").write_bytes(b"\xff\xd8")
        indexing = [float(run([sys.executable, "-c", INDEX, folder])[1]) for _ in range(REPEATS)]
    imports = [run([sys.executable, "-c", "import selftaught"])[0] for _ in range(REPEATS)]
    nothing = [run([sys.executable, "-c", "pass"])[0] for _ in range(REPEATS)]
    command = str(Path(sys.executable).with_name("selftaught"))
    helps = [run([command, "--help"])[0] for _ in range(REPEATS)]
    seconds = {
        "index 100,000 files": indexing,
        "import selftaught (interpreter included)": imports,
        "an empty program": nothing,
        "selftaught --help": helps,
    }
    result = {what: round(statistics.median(taken), 3) for what, taken in seconds.items()}
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(RESULT.read_text())


def run(command: list[str]) -> tuple[float, str]:
    """Seconds a command takes, and what it prints."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, done.stdout


if __name__ == "__main__":
    main()
