"""Does `odd` find labels that are wrong? One in twenty of scikit-learn's digits is given another, and it is asked.

SimCLR learns from the digits without labels, labels are changed at random, and `odd` says which are likely wrong: by
the features of that run, of the same network untrained, and of raw pixels. Precision is the share of what it names that
was planted (digits that people drew badly count against it), recall the share of the planted that it names; the same of
as many as were planted, the surest first. Means of ten draws with Student's 95 % intervals. Writes
docs/results/planted.json and .md.

    python bench/planted.py [--steps 600]
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t
from sklearn.datasets import load_digits

from runs import made
from selftaught.contracts import modality
from selftaught.judging.baselines import untrained
from selftaught.judging.choosing.pool import look_alike
from selftaught.judging.featured import featured, opened
from selftaught.judging.mislabelled import out_of_fold, suspects
from selftaught.judging.neighbours import unit
from selftaught.judging.outlying import surroundings
from selftaught.training.looking.features import estimate_norms

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "docs/results/planted.json"
DATA = "sklearn:digits"
SHARE, DRAWS = 0.05, 10
TOLD = {"method": "simclr", "encoder": {"name": "test_resnet", "options": {"stem": "small"}}}
CALLED = {"trained": "this run", "untrained": "the same network untrained", "pixels": "raw pixels"}

Array = NDArray[Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600, help="of 128 samples each")
    parser.add_argument("--runs", type=Path, default=Path("runs/planted"))
    asked = parser.parse_args()
    run = made(asked.runs / f"simclr-{asked.steps}", DATA, steps=asked.steps, batch_size=128, map=0, **TOLD)
    truth = load_digits().target.astype(np.int64)
    held: dict[str, Any] = {"steps": asked.steps, "samples": len(truth), "share": SHARE, "draws": DRAWS, "features": {}}
    for name, features in features_of(run).items():
        rows = [drawn(features, truth, seed) for seed in range(DRAWS)]
        held["features"][name] = {key: summed([row[key] for row in rows]) for key in rows[0]}
        print(name, held["features"][name], flush=True)
    RESULT.write_text(json.dumps(held, indent=2) + "\n")
    RESULT.with_suffix(".md").write_text(markdown(held))


def features_of(run: Any) -> dict[str, Array]:
    """Of all samples (N, D), of length one, by what made them."""
    encoder = run.encoder()
    samples = opened(encoder.preparation, str(run.folder), DATA)
    kind = modality.named(encoder.preparation.modality)
    plain = kind.open_samples(DATA, like=encoder.preparation)
    fresh = estimate_norms(untrained(encoder.part, encoder.preparation, 0), plain)
    pixels = unit(load_digits().data).numpy()
    return {
        "trained": featured(encoder, samples).features,
        "untrained": featured(fresh, plain).features,
        "pixels": pixels,
    }


def drawn(features: Array, truth: Array, seed: int) -> dict[str, float]:
    """What comes of one draw of wrong labels."""
    rng = np.random.default_rng(seed)
    wrong = rng.choice(len(truth), round(SHARE * len(truth)), replace=False)
    labels = truth.copy()
    labels[wrong] = (labels[wrong] + rng.integers(1, 10, len(wrong))) % 10
    groups = surroundings(features, 10, look_alike(features)).groups
    rows = suspects(out_of_fold(features, labels, groups, seed), labels).rows
    right = np.isin(rows, wrong)
    return {
        "named": len(rows),
        "precision": float(right.mean()),
        "recall": float(right.sum() / len(wrong)),
        "at_planted": float(right[: len(wrong)].sum() / len(wrong)),
    }


def summed(values: list[float]) -> dict[str, float]:
    """The mean, with half of its 95 % interval."""
    half = float(t.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return {"mean": round(float(np.mean(values)), 4), "half": round(half, 4)}


def markdown(held: dict[str, Any]) -> str:
    """The table."""
    planted = round(held["share"] * held["samples"])
    lines = [
        "# Does `odd` find labels that are wrong?",
        "",
        f"{planted} of the {held['samples']:,} labels of scikit-learn's digits, one in twenty, were changed at random "
        f"to another digit; means of {held['draws']} draws, in per cent, with 95 % intervals. Precision is the share "
        "of what `odd` named that was planted, recall the share of the planted that it named; the last column is both "
        f"for the {planted} that it was surest of. Digits that people drew so that nobody can read them count against "
        f"it. The run is SimCLR of {held['steps'] * 128:,} samples, which saw no label. Made by `bench/planted.py`.",
        "",
        "| features | named | precision | recall | of the surest |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, found in held["features"].items():
        shares = [
            f"{100 * found[k]['mean']:.1f} ± {100 * found[k]['half']:.1f}"
            for k in ("precision", "recall", "at_planted")
        ]
        lines.append(f"| {CALLED[name]} | {found['named']['mean']:.0f} | {' | '.join(shares)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
