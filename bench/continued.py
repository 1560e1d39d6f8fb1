"""Does pre-training that starts from another run's weights beat one that starts from nothing? From CIFAR-10 to digits.

SimCLR teaches an encoder from CIFAR-10; then the same method goes on with scikit-learn's handwritten digits, from those
weights (`--init RUN`) and from nothing, for so many epochs; a linear probe with few labels judges both, and the encoder
that has never seen a digit. Writes docs/results/continued.json and .md.

    python bench/continued.py --data cifar10.zip [--seeds 0,1]
"""

import argparse
import json
from pathlib import Path
from typing import Any

from learnt import CONVOLUTIONAL
from runs import made
from selftaught.commands.demo import split_digits

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "docs/results/continued.json"
EPOCHS = (5, 20)  # on digits
LABELS = "1,5,20"  # a class
SHARED: dict[str, Any] = {"method": "simclr", "encoder": CONVOLUTIONAL, "size": 32, "map": 0}
DIGITS = {"views": {"strong": {"crop": [0.5, 1.0], "flip": 0.0}}, "batch_size": 128}  # as in the demo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/cifar10.zip", help="archive or folder with train/")
    parser.add_argument("--samples", type=int, default=50_000, help="of CIFAR-10, in all")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--runs", type=Path, default=Path("runs/continued"))
    asked = parser.parse_args()
    asked.runs.mkdir(parents=True, exist_ok=True)
    train, test = split_digits(asked.runs)
    rows = []
    for seed in map(int, asked.seeds.split(",")):
        told = {**SHARED, "seed": seed}
        steps = asked.samples // 256
        cifar = made(asked.runs / f"cifar-{seed}", f"{asked.data}/train", limit=10_000, steps=steps, **told)
        arms = {"CIFAR-10 alone": cifar}
        for epochs in EPOCHS:
            for name, init in (("from nothing", None), ("from CIFAR-10", str(cifar.folder))):
                out = asked.runs / f"{name.replace(' ', '-')}-{epochs}-{seed}"
                arms[f"{name}, {epochs} epochs"] = made(out, str(train), epochs=epochs, init=init, **told, **DIGITS)
        for arm, run in arms.items():
            judged = run.evaluate(train, test, probe="linear", labels=LABELS, repeats=5, seed=seed)
            for row in judged.rows:
                if row.features == "trained" or (row.features == "pixels" and run is cifar):
                    called = "raw pixels" if row.features == "pixels" else arm
                    rows.append({"seed": seed, "arm": called, "labels": row.labels, "accuracy": row.accuracy})
    RESULT.write_text(json.dumps(rows, indent=2) + "\n")
    RESULT.with_suffix(".md").write_text(markdown(rows))
    print(markdown(rows))


def markdown(rows: list[dict[str, Any]]) -> str:
    """A line an arm: mean accuracy over seeds, and each seed's."""
    labels = list(dict.fromkeys(row["labels"] for row in rows))
    seeds = sorted({row["seed"] for row in rows})
    lines = [
        "# Continued pre-training: from CIFAR-10 to handwritten digits",
        "",
        f"Linear accuracy in per cent with so many labels, five draws of them, a mean over {len(seeds)} seeds and each "
        "of them, on 360 digits. Made by `bench/continued.py`.",
        "",
        "| pre-training | " + " | ".join(labels) + " |",
        "|---|" + "---|" * len(labels),
    ]
    for arm in dict.fromkeys(row["arm"] for row in rows):
        cells = []
        for label in labels:
            held = [100 * row["accuracy"] for row in rows if (row["arm"], row["labels"]) == (arm, label)]
            cells.append(f"{sum(held) / len(held):.1f} ({', '.join(f'{value:.1f}' for value in held)})")
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
