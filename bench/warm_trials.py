"""How fast should a network learn that goes on from public weights? Rates below that of the preset `warm`.

The preset has a fifth of the method's own rate, 4e-4 for the three methods here, and was there before these trials,
which have not changed it. The same runs as of bench/warm.py, on CIFAR-10, at several rates. They are judged by folds of
4,000 labelled training images: none that bench/warm.py judges by chooses anything. One JSON row a run is appended to
docs/results/warm_trials.jsonl, and the table made of all rows is docs/results/warm_trials.md. A run that was cut goes
on, a row that exists is not made again.

    taskset -c 0 python bench/warm_trials.py [--arms simclr,byol] [--rates 4e-4,1e-4] [--minutes 10] [--seed 0]
                                             [--cifar10 cifar10.zip]
"""

import argparse
from pathlib import Path
from typing import Any

import warm
from kept_rows import add_row, gains, has_row, read_rows
from runs import made
from selftaught.system.saying import say
from selftaught.training.starting import SLOWER

ROOT = Path(__file__).parent.parent
ROWS, TABLE = ROOT / "docs/results/warm_trials.jsonl", ROOT / "docs/results/warm_trials.md"
LABELS = ("5 per class", "20 per class")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", default="simclr,byol,simmim")
    parser.add_argument("--rates", default="4e-4,1e-4,2.5e-5", help="learning rates of the last layer")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cifar10", default="../shared/data/cifar10.zip")
    parser.add_argument("--runs", type=Path, default=Path("runs/warm"))
    asked = parser.parse_args()
    asked.runs.mkdir(parents=True, exist_ok=True)
    weights = warm.public_weights(asked.runs / warm.PUBLIC)
    for arm in (arm.replace("+", ", ") for arm in asked.arms.split(",")):
        for lr in map(float, asked.rates.split(",")):
            one(arm, lr, weights, asked)
    TABLE.write_text(markdown(read_rows(ROWS)))
    print(TABLE.read_text())


def one(arm: str, lr: float, weights: Path, asked: argparse.Namespace) -> None:
    """One run, judged, and its row."""
    identity = {"arm": arm, "lr": lr, "minutes": asked.minutes, "seed": asked.seed}
    if has_row(ROWS, identity):
        return
    say(f"\n{arm}, lr {lr:g}, {asked.minutes:g} minutes, seed {asked.seed}")
    place, batch = warm.cifar10(asked), warm.BATCH["cifar10"]
    steps = max(1, round(warm.samples(asked.minutes, arm, weights, asked) / batch))
    out = asked.runs / f"trial-{warm.named(arm)}-{lr:g}-{asked.minutes:g}-{asked.seed}"
    told = {"lr": lr, "steps": steps, "batch_size": batch, "seed": asked.seed, **warm.settings(arm, weights)}
    run = made(out, place.train, **told)
    how: dict[str, Any] = {"probe": "knn,linear", "labels": "5,20", "limit": warm.JUDGED, "repeats": 1}
    result = run.evaluate(place.train, seed=asked.seed, pretrained=str(weights), pretrained_size=warm.SIDE, **how)
    row = {**identity, "samples": run.status["steps"] * batch, "drift": run.status["health"]["drift"]}
    row["gains"] = gains(result)
    add_row(ROWS, row)
    TABLE.write_text(markdown(read_rows(ROWS)))


def markdown(rows: list[dict[str, Any]]) -> str:
    """A line a trial: what it gained over the frozen weights."""
    asked = [(probe, labels) for probe in ("knn", "linear") for labels in LABELS]
    lines = [
        "# Rates for going on from public weights",
        "",
        f"{warm.PUBLIC} on CIFAR-10 at {warm.SIDE} px: points gained over the same weights frozen, with their 95 % "
        f"interval, by folds of {warm.JUDGED:,} training images. The rate is that of the last layer; each before it "
        f"learns 0.8 times as fast as the next. The preset `warm` has {SLOWER:g} times the method's own rate, 0.0004 "
        "for these, and was there before the trials, which have not changed it. Made by `bench/warm_trials.py`; "
        "`docs/results/warm.md` has what came of it, on test images.",
        "",
        "| method | rate | minutes | seed | samples | drift | " + " | ".join(f"{p}, {n}" for p, n in asked) + " |",
        "|---|--:|--:|--:|--:|--:|" + "---|" * len(asked),
    ]
    for row in sorted(rows, key=lambda row: (row["arm"], row["minutes"], -row["lr"], row["seed"])):
        cells = [row["arm"], f"{row['lr']:g}", f"{row['minutes']:g}", str(row["seed"]), f"{row['samples']:,}"]
        cells.append(f"{row['drift']:.2f}")
        for probe, labels in asked:
            gain = next(one for one in row["gains"] if (one["probe"], one["labels"]) == (probe, labels))
            cells.append(f"{100 * gain['gain']:+.1f} [{100 * gain['low']:.1f}, {100 * gain['high']:.1f}]")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
