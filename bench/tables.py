"""Do the same methods learn from rows? Two tables that ship with scikit-learn, judged beside raw columns.

Pre-trains on all rows without labels, then a linear probe and kNN learn from few labels a class and from all of them,
in repeated stratified folds (there is no test set, so the unlabelled rows of a fold were seen in pre-training, as
they would be in use). Writes docs/results/tables.json and the table in docs/results/tables.md.

    python bench/tables.py [--methods mae,simclr] [--seeds 0,1]

Rows of methods that are not asked for stay as they are.
"""

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

import selftaught

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "docs/results/tables.json"
SETS = ("wine", "breast_cancer")
METHODS = ("mae", "data2vec", "denoising", "simclr", "vicreg")
EPOCHS = 400  # of a few hundred rows: about half a minute


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--runs", type=Path, default=Path("runs/tables"))
    asked = parser.parse_args()
    redone = asked.methods.split(",")
    rows = [row for row in json.loads(RESULT.read_text()) if row["method"] not in redone] if RESULT.exists() else []
    for name in SETS:
        for method in redone:
            for seed in map(int, asked.seeds.split(",")):
                out = asked.runs / f"{name}-{method}-{seed}"
                run = selftaught.pretrain(
                    f"sklearn:{name}", method=method, epochs=asked.epochs, seed=seed, out=str(out), overwrite=True
                )
                judged = run.evaluate(f"sklearn:{name}", labels="2,5,100%", repeats=10, seed=seed)
                for row in judged.rows:
                    rows.append({"data": name, "method": method, "seed": seed, **row.model_dump()})
                RESULT.write_text(json.dumps(rows, indent=1) + "\n")
    table = RESULT.with_suffix(".md")
    table.write_text(markdown(rows, asked.epochs))
    print(table.read_text())


def markdown(rows: list[dict[str, Any]], epochs: int) -> str:
    """Accuracies in points, averaged over seeds."""
    lines = [
        "# The same methods on rows",
        "",
        f"Made by `bench/tables.py`: {epochs} epochs without labels on two tables that ship with scikit-learn, then "
        "probes of ten repeated stratified folds, averaged over seeds. In points of accuracy, the half width of the "
        "95 % interval beside it.",
        "",
        "| data | probe | labels a class | raw columns | method | trained | untrained |",
        "|---|---|---|--:|---|--:|--:|",
    ]
    groups: dict[tuple[str, ...], dict[str, list[dict[str, Any]]]] = {}
    for row in rows:
        key = (row["data"], row["probe"], row["labels"], row["method"])
        groups.setdefault(key, {}).setdefault(row["features"], []).append(row)
    for (data, probe, labels, method), found in sorted(groups.items(), key=lambda item: item[0][:3]):
        told = {
            features: f"{100 * mean(r['accuracy'] for r in held):.1f} ± "
            f"{100 * mean((r['high'] - r['low']) / 2 for r in held):.1f}"
            for features, held in found.items()
        }
        lines.append(
            f"| {data} | {probe} | {labels} | {told['pixels']} | {method} | {told['trained']} | {told['untrained']} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
