"""Are minutes of four processes worth as many steps of one? SimCLR on CIFAR-10, judged.

Four processes of one thread take as many steps as fit so many minutes, by a minute that is tried, and one process takes
as many of the same batches, in float32: the same order, views and settings (recipes/cifar10_hour.yaml). The losses of
both are compared step by step, and nearest neighbours judge both encoders, by 20 labels a class and by 10,000 in all.
Beside them stands one process with another seed, by which one sees what is luck. Prints what it finds and writes
docs/results/alike.json. A run that was cut goes on where it stopped. The trial wants a quiet machine.

    python bench/alike.py [--data cifar10.zip] [--minutes 10] [--processes 4] [--runs runs/alike]
"""

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

from runs import machine, made, rate
from selftaught.commands.python import Run

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "docs/results/alike.json"
EARLY = 20  # steps, within which losses are promised to be alike
LABELS, LIMIT = "20,100%", 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/cifar10.zip", help="archive or folder with train/ and test/")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--runs", type=Path, default=Path("runs/alike"))
    asked = parser.parse_args()
    told = yaml.safe_load((ROOT / "recipes/cifar10_hour.yaml").read_text()) | {"device": "cpu", "map": 0}
    # Nothing is left to be measured by either: what is fastest for one need not be for four.
    told |= {"precision": "32-true", "layout": "contiguous", "batch_size": 256, "log_every": 1}
    data = f"{asked.data}/train"
    several = str(asked.processes)
    # Not by a budget, whose steps are corrected on the way, and the schedule of the rate with them.
    pace = rate("several", asked.runs / "rates.json", asked.runs / "pace", data, seed=0, devices=several, **told)
    steps = max(EARLY, round(60 * asked.minutes * pace / told["batch_size"]))
    runs = {
        name: made(asked.runs / name, data, seed=seed, steps=steps, devices=devices, **told)
        for name, devices, seed in (("many", several, 0), ("one", "1", 0), ("other", "1", 1))
    }
    found: dict[str, Any] = {"processes": asked.processes, "minutes": asked.minutes, **machine()}
    found |= {"steps": steps, "batch_size": told["batch_size"]}
    found |= {name: row_of(run, asked.data) for name, run in runs.items()}
    losses = {name: losses_of(run) for name, run in runs.items()}
    found["losses"] = {name: apart(losses["one"], losses[name]) for name in ("many", "other")}
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def row_of(run: Run, data: str) -> dict[str, Any]:
    """What neighbours say of a run by each number of labels: accuracy and its interval; seconds of training."""
    how = {"labels": LABELS, "probe": "knn", "features": "own", "pretrained": "none", "limit": LIMIT}
    result = run.evaluate(f"{data}/train", f"{data}/test", **how)
    rows = {
        f"{row.features}, {row.labels}": [round(value, 4) for value in (row.accuracy, row.low, row.high)]
        for row in result.rows
    }
    return {"seconds": run.status["seconds"], "rows": rows}


def losses_of(run: Run) -> dict[int, float]:
    """The loss of each step that was written down."""
    return {line["step"]: line["loss"] for line in run.metrics()}


def apart(one: dict[int, float], other: dict[int, float]) -> dict[str, float]:
    """How far losses are apart, relative to the first: the furthest of the first steps and of all, and of the means of
    the last tenth."""
    steps = sorted(one.keys() & other.keys())
    far = {step: abs(other[step] - one[step]) / abs(one[step]) for step in steps}
    last = steps[-max(1, len(steps) // 10) :]
    means = [sum(losses[step] for step in last) / len(last) for losses in (one, other)]
    return {
        "first": max(far[step] for step in steps if step <= EARLY),
        "all": max(far.values()),
        "end": abs(means[1] - means[0]) / abs(means[0]),
    }


if __name__ == "__main__":
    main()
