"""Does pre-training help where samples are no images? A kind of data at a time, beside what one would do without.

`sound`: the ten digits, spoken by a synthesiser (espeak-ng) in several accents by many voices, at other speeds and
pitches. A voice that is tested with was neither pre-trained on nor learnt from. Classes are judged by a linear probe
and kNN with few labels, beside MFCCs (mean and deviation over time) and the same network untrained. The clips are made
once, in --made. A run that was cut goes on. Writes docs/results/kinds.jsonl, a row a run, and .md.

    python bench/kinds.py [--only sound] [--seeds 0,1] [--voices 24] [--steps 400] [--time-limit 10m]
"""

import argparse
import json
import shutil
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from learns import read_rows
from runs import machine, made
from selftaught.system.errors import UsageError
from selftaught.system.saying import say

ROOT = Path(__file__).parent.parent
ROWS = ROOT / "docs/results/kinds.jsonl"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029")
TESTED = 4  # of so many voices one is tested with
EACH = 4  # clips of a word by a voice
SPEEDS, PITCHES = (110, 230), (20, 80)  # words a minute, and the synthesiser's scale of 0 to 99
LABELS = "1,5,100%"
SETTINGS: dict[str, Any] = {
    "method": "simclr",
    "encoder": {"name": "resnet18", "options": {"stem": "half", "depth": 1, "width": 32}},
    "size": "64x64",
    "batch_size": 256,
    "map": 0,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SETS))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--voices", type=int, default=24)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--time-limit", help="of each run, which then goes on the next time")
    parser.add_argument("--made", type=Path, default=Path.home() / ".cache/selftaught/bench")
    parser.add_argument("--runs", type=Path, default=Path("runs/kinds"))
    asked = parser.parse_args()
    for name, seed in product(asked.only.split(","), map(int, asked.seeds.split(","))):
        row_of(name, seed, asked)
    ROWS.with_suffix(".md").write_text(markdown(read_rows(ROWS)))
    print(markdown(read_rows(ROWS)))


def row_of(name: str, seed: int, asked: argparse.Namespace) -> None:
    """One run, judged, and its row, where there is none yet."""
    case = {"set": name, "voices": asked.voices, "steps": asked.steps, "seed": seed}
    if any({key: row.get(key) for key in case} == case for row in read_rows(ROWS)):
        return
    say(f"\n{case}")
    data = SETS[name](asked.made, asked.voices)
    limit = {"time_limit": asked.time_limit} if asked.time_limit else {}
    out = asked.runs / f"{name}-{asked.voices}-{asked.steps}-{seed}"
    run = made(out, str(data / "train"), seed=seed, steps=asked.steps, **SETTINGS, **limit)
    found = run.evaluate(data / "train", data / "test", probe="knn,linear", labels=LABELS, repeats=3)
    rows = [row.model_dump(include={"probe", "labels", "features", "accuracy"}) for row in found.rows]
    held = {"clips": found.train_samples, "tested": found.test_samples, "verdict": found.verdict}
    row = {**case, **held, "settings": SETTINGS, "rows": rows, **machine()}
    with ROWS.open("a") as file:
        file.write(json.dumps(row) + "\n")


def spoken(place: Path, voices: int) -> Path:
    """A folder of clips for each digit, of voices to learn from (train) and of others (test); made once."""
    folder = place / f"digits-{voices}"
    if (folder / "whole").exists():
        return folder
    if not shutil.which("espeak-ng"):
        raise UsageError("the digits are spoken by espeak-ng, which is not installed")
    shutil.rmtree(folder, ignore_errors=True)  # of what was cut, which is ours
    rng = np.random.default_rng(0)
    for number, voice in enumerate(variants(voices)):
        part = "test" if number % TESTED == 0 else "train"
        for digit, turn in product(DIGITS, range(EACH)):
            file = folder / part / digit / f"{voice}-{turn}.wav"
            file.parent.mkdir(parents=True, exist_ok=True)
            speed, pitch = (str(rng.integers(*ends)) for ends in (SPEEDS, PITCHES))
            speaker = f"{ACCENTS[rng.integers(len(ACCENTS))]}+{voice}"
            command = ["espeak-ng", "-v", speaker, "-s", speed, "-p", pitch, "-w", str(file), digit]
            subprocess.run(command, check=True, capture_output=True)
    (folder / "whole").touch()
    return folder


def variants(count: int) -> list[str]:
    """Names of as many voices of the synthesiser, in an order of chance. Raises UsageError where there are fewer."""
    told = subprocess.run(["espeak-ng", "--voices=variant"], check=True, capture_output=True, text=True).stdout
    names = sorted({line.split("!v/")[1].split()[0] for line in told.splitlines() if "!v/" in line})
    if len(names) < count:
        raise UsageError(f"--voices {count}: espeak-ng has {len(names)}")
    return [names[place] for place in np.random.default_rng(0).permutation(len(names))[:count]]


SETS = {"sound": spoken}
TOLD = (
    "A linear probe and kNN with few labels, in %, means over seeds. `sound`: digits spoken by espeak-ng, tested with "
    "voices that neither pre-training nor the probe has heard (`python bench/kinds.py`)."
)
KINDS = {"trained": "this run", "untrained": "untrained", "pixels": "without a network"}


def markdown(rows: list[dict[str, Any]]) -> str:
    """A table of all rows, with means over seeds."""
    lines = [
        "# Kinds of data",
        "",
        TOLD,
        "",
        f"| set | clips | steps | seeds | probe | labels | {' | '.join(KINDS.values())} |",
    ]
    lines.append("|---|---:|---:|---:|---|---|" + "---:|" * len(KINDS))
    for about in dict.fromkeys((row["set"], row["clips"], row["steps"]) for row in rows):
        own = [row for row in rows if (row["set"], row["clips"], row["steps"]) == about]
        for probe, labels in dict.fromkeys((one["probe"], one["labels"]) for row in own for one in row["rows"]):
            cells = [shown(own, probe, labels, kind) for kind in KINDS]
            told = f"{about[0]} | {about[1]:,} | {about[2]:,} | {len(own)} | {probe} | {labels}"
            lines.append(f"| {told} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def shown(rows: list[dict[str, Any]], probe: str, labels: str, features: str) -> str:
    """The mean over rows of what came of a probe."""
    asked = (probe, labels, features)
    found = [
        one["accuracy"]
        for row in rows
        for one in row["rows"]
        if (one["probe"], one["labels"], one["features"]) == asked
    ]
    return f"{100 * sum(found) / len(found):.1f}" if found else ""


if __name__ == "__main__":
    main()
