"""What do few labels give after SimCLR, and from scratch? CIFAR-10 without labels, then with 1 to 100 % of them.

Pre-trains as recipes/lecture.yaml says, then fits a linear probe on the frozen features and fine-tunes the network,
beside raw pixels, the untrained network and the same network from scratch; the 10,000 test images judge. Every
judgement is a row of docs/results/lecture.jsonl as soon as it is made, so that a cut run goes on where it stopped. The
table and the curve made of all rows are docs/results/lecture.md and docs/lecture.svg.

    python bench/lecture.py --data cifar10.zip [--seeds 0,1]
"""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from curve import as_picture
from kept_rows import add_row, read_rows
from runs import cpu_cores, made
from selftaught.commands.python import Run
from selftaught.judging.subsets import parse_labels
from selftaught.reporting.charts import interval_chart
from selftaught.system.saying import say
from selftaught.system.text import duration

ROOT = Path(__file__).parent.parent
RECIPE = ROOT / "recipes/lecture.yaml"
ROWS = ROOT / "docs/results/lecture.jsonl"
TABLE, PICTURE = ROWS.with_suffix(".md"), ROOT / "docs/lecture.svg"
LABELS = {"1%": 100, "10%": 40, "100%": 10}  # the epochs of fine-tuning, alike from SimCLR's weights and from scratch
ARMS = {  # what stands in the table: (probe, features)
    "raw pixels, linear": ("linear", "pixels"),
    "untrained, linear": ("linear", "untrained"),
    "from scratch": ("finetune", "scratch"),
    "SimCLR, linear": ("linear", "trained"),
    "SimCLR, fine-tuned": ("finetune", "trained"),
}
JUDGING = 2  # what judged a row, as in bench/learns.py; 1 in those that do not say
SEEDS = 2  # that the table wants of one judging, or it stays that of the one before
DRAWN = ("from scratch", "SimCLR, linear", "SimCLR, fine-tuned")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/cifar10.zip", help="archive or folder with train/ and test/")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--runs", type=Path, default=Path("runs/lecture"))
    asked = parser.parse_args()
    for seed in map(int, asked.seeds.split(",")):
        settings = yaml.safe_load(RECIPE.read_text()) | {"seed": seed, "checkpoint_every": "2m"}
        run = made(asked.runs / str(seed), f"{asked.data}/train", **settings)
        judge(run, asked.data, seed, "linear", list(LABELS))
        for labels, epochs in LABELS.items():
            judge(run, asked.data, seed, "finetune", [labels], epochs=epochs, precision="bf16-mixed")
    rows = told(read_rows(ROWS))
    TABLE.write_text(markdown(rows))
    PICTURE.write_text(picture(rows))
    print(TABLE.read_text())


def judge(run: Run, data: str, seed: int, probe: str, labels: Sequence[str], **how: Any) -> None:
    """Append the rows of one probe with so many labels, unless they are known."""
    known = {(row["seed"], row["labels"], row["probe"]) for row in judged_by(JUDGING, read_rows(ROWS))}
    left = [share for share in labels if (seed, share, probe) not in known]
    if not left:
        return
    began = time.perf_counter()
    told: dict[str, Any] = {"probe": probe, "labels": ",".join(left), "repeats": 1, "seed": seed, "finetune": how}
    judged = run.evaluate(f"{data}/train", f"{data}/test", **told)
    minutes = (time.perf_counter() - began) / 60 / len(left)
    say(f"judged in {duration(60 * minutes)}")
    facts = {"pretraining_minutes": run.status["seconds"] / 60, "judging_minutes": minutes}
    shares = {str(parse_labels(share)[0]): share for share in left}
    for row in judged.rows:
        identity = {"seed": seed, "labels": shares[row.labels], "probe": probe, "judging": JUDGING}
        scores = {"features": row.features, "accuracy": row.accuracy, "low": row.low, "high": row.high}
        add_row(ROWS, {**identity, **scores, **facts, "cores": len(os.sched_getaffinity(0))})


def judged_by(judging: int, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row.get("judging", 1) == judging]


def told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those the table is of: of today's judging, once it has judged every seed in all ways."""
    today = judged_by(JUDGING, rows)
    whole = len({(row["seed"], row["labels"], row["probe"]) for row in today}) == SEEDS * 2 * len(LABELS)
    return today if whole else judged_by(JUDGING - 1, rows)


def found(rows: list[dict[str, Any]], arm: str, labels: str) -> list[dict[str, Any]]:
    """The rows of an arm, one a seed."""
    probe, features = ARMS[arm]
    return [r for r in rows if (r["probe"], r["features"], r["labels"]) == (probe, features, labels)]


def mean(rows: list[dict[str, Any]], what: str) -> float:
    return sum(row[what] for row in rows) / len(rows)


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table: a mean over seeds, and each of them."""
    seeds = sorted({row["seed"] for row in rows})
    minutes = {row["seed"]: row["pretraining_minutes"] for row in rows}
    recipe = yaml.safe_load(RECIPE.read_text())
    cores = cpu_cores(*(row["cores"] for row in rows))
    judging = {(r["seed"], r["labels"], r["probe"]): r["judging_minutes"] for r in rows}
    lines = [
        "# SimCLR, then few labels",
        "",
        f"CIFAR-10 at 32 x 32 px: {recipe['epochs']} epochs of SimCLR on 50,000 images without labels "
        f"({' and '.join(f'{m:.0f}' for m in minutes.values())} minutes on {cores}), then the "
        f"share of labels named above each column; accuracy in per cent on the 10,000 test images, a mean over "
        f"{len(seeds)} seeds, and each of them. A network is fine-tuned, or trained from scratch, for at most "
        f"{', '.join(map(str, LABELS.values()))} epochs, as a tenth of its labels chooses. All judging together took "
        f"{sum(judging.values()):.0f} minutes. Made by `bench/lecture.py` from `recipes/lecture.yaml`.",
        "",
        "| | " + " | ".join(LABELS) + " |",
        "|---|" + "---|" * len(LABELS),
    ]
    for arm in ARMS:
        cells = []
        for labels in LABELS:
            held = found(rows, arm, labels)
            each = ", ".join(f"{100 * row['accuracy']:.1f}" for row in held)
            cells.append(f"{100 * mean(held, 'accuracy'):.1f} ({each})" if held else "")
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def picture(rows: list[dict[str, Any]]) -> str:
    """Accuracy against labels, with the 95 % intervals of the test images, as an SVG file."""
    series = {}
    for arm in DRAWN:
        held = [(labels, found(rows, arm, labels)) for labels in LABELS]
        series[arm] = [(labels, *(mean(r, what) for what in ("accuracy", "low", "high"))) for labels, r in held if r]
    return as_picture(interval_chart(series, title="CIFAR-10: accuracy by share of the labels"), DRAWN)


if __name__ == "__main__":
    main()
