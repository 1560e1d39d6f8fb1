"""How good can features get in so many minutes of this machine? CIFAR-10 without labels, then a linear probe.

Pre-trains as recipes/cifar10_hour.yaml says on the 50,000 training images for `--minutes`, then fits a linear probe
on the frozen features of those images with their labels and judges it on the 10,000 test images. A run that was cut
goes on where it stopped. Writes docs/results/hour.json, a row for each number of minutes.

    python bench/hour.py --minutes 10 [--recipe recipes/cifar10_hour.yaml]
"""

import argparse
import json
import os
from pathlib import Path

import yaml

from runs import made

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "docs/results/hour.json"
PEER = {"samples": 127_232, "knn": 45.4, "linear": 53.4}  # lightly's documented SimCLR loop, an hour on two cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/cifar10.zip", help="archive or folder with train/ and test/")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes/cifar10_hour.yaml")
    parser.add_argument("--runs", type=Path, default=Path("runs/hour"))
    asked = parser.parse_args()
    out = asked.runs / f"{asked.recipe.stem}-{asked.minutes}"
    settings = yaml.safe_load(asked.recipe.read_text())
    run = made(out, f"{asked.data}/train", **settings, budget=f"{asked.minutes}m")
    judged = run.evaluate(f"{asked.data}/train", f"{asked.data}/test", probe="knn,linear", repeats=1)
    known = json.loads(RESULT.read_text()) if RESULT.exists() else {"peer, 60 minutes": PEER}
    status = run.status
    known[f"{asked.recipe.stem}, {asked.minutes} minutes"] = {
        "samples": status["steps"] * run.recipe.batch_size,
        "seconds": status["seconds"],
        "samples_per_second": status["samples_per_second"],
        **{f"{row.probe}, {row.features}": round(100 * row.accuracy, 2) for row in judged.rows},
        "cores": len(os.sched_getaffinity(0)),
        "recipe": settings,
    }
    RESULT.write_text(json.dumps(known, indent=2) + "\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
