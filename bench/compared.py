"""Which of ten methods of both families learns most in two minutes? `selftaught compare` on 10,000 CIFAR-10 images.

Pre-trains each with two seeds on the same encoder for the same time, without labels, and judges it by a linear probe
on the 10,000 test images. A comparison that was cut goes on where it stopped. Writes docs/results/compared.md, the
ranking, and docs/results/compared.html, the page that `compare` makes.

    python bench/compared.py --data cifar10.zip [--budget 2m]
"""

import argparse
import os
import shutil
from pathlib import Path

import selftaught
from learnt import CONVOLUTIONAL, IMAGES, ROOT
from runs import cpu_cores
from selftaught.judging.comparison import Comparison
from selftaught.judging.estimates import Measure
from selftaught.judging.ranking import baselines, notes, values_of

TABLE = ROOT / "docs/results/compared.md"
METHODS = "simclr,triplet,vicreg,byol,swav,rotation,exemplar,super_resolution,simmim,denoising"  # of every kind


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/cifar10.zip", help="archive or folder with train/ and test/")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--budget", default="2m", help="time to train each")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", default="runs/compared")
    asked = parser.parse_args()
    found = selftaught.compare(
        f"{asked.data}/train",
        methods=asked.methods,
        encoder=CONVOLUTIONAL,
        limit=IMAGES,
        budget=asked.budget,
        rungs=1,
        seeds=asked.seeds,
        train=f"{asked.data}/train",
        test=f"{asked.data}/test",
        out=asked.out,
        resume=Path(asked.out).exists(),
    )
    TABLE.write_text(markdown(found))
    shutil.copy(Path(asked.out) / "comparison.html", TABLE.with_suffix(".html"))
    print(TABLE.read_text())


def markdown(found: Comparison) -> str:
    """The ranking as a table, and the verdict."""
    measure = Measure(found.measure, found.labelled, found.of)
    cores, beside = len(os.sched_getaffinity(0)), baselines(found)
    lines = [
        "# Ten methods, the same time",
        "",
        f"{IMAGES:,} CIFAR-10 images without labels, {found.seeds} seeds, each method about "
        f"{found.ranking[0].point.minutes:.0f} minutes of training on {cpu_cores(cores)} "
        f"({found.ranking[0].encoder}), then a linear probe with the labels of {IMAGES:,} training images, judged on "
        "the 10,000 test images; accuracy in per cent with its 95 % interval over seeds and test images. Made by "
        "`bench/compared.py`, which runs `selftaught compare`; its page is [compared.html](compared.html).",
        "",
        f"| rank | may be | method | family | linear | {' | '.join(beside.values())} | samples seen |",
        "|--:|--:|---|---|--:|" + "--:|" * len(beside) + "--:|",
    ]
    for place in found.ranking:
        cells = [str(place.rank), place.span, f"`{place.method}`", place.family.replace("_", "-")]
        cells += [*values_of(place, measure, beside), f"{place.samples:,}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *notes(found), f"Verdict: {found.verdict}.", ""])


if __name__ == "__main__":
    main()
