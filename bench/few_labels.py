"""Does the linear probe gain by choosing whether features are whitened, where labels are few? It does not choose now.

Judges runs both ways, in folds, beside their untrained network and raw values. Writes docs/results/few_labels.json.

    python bench/few_labels.py RUN@DATA ... [--labels 2,5] [--limit 3000] [--repeats 5]
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import selftaught
from selftaught.judging.probes import linear

RESULT = Path(__file__).parent.parent / "docs/results/few_labels.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN@DATA")
    parser.add_argument("--labels", default="2,5")
    parser.add_argument("--limit", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    how = {"probe": "linear", "features": "own", "pretrained": "none", "repeats": asked.repeats, "limit": asked.limit}
    found: list[dict[str, Any]] = json.loads(RESULT.read_text()) if RESULT.exists() else []
    for run, _, data in (told.rpartition("@") for told in asked.runs):
        for chooses in (False, True):
            with whitening() if chooses else nullcontext():
                judged = selftaught.Run.open(run).evaluate(data, labels=asked.labels, seed=0, **how)
            found += [
                {"run": Path(run).name, "chooses": chooses, **row.model_dump(include=KEPT)} for row in judged.rows
            ]
        RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join(lines(found)))


KEPT = {"labels", "features", "accuracy", "low", "high"}


@contextmanager
def whitening() -> Iterator[None]:
    """Within, whitening is a candidate however few labels there are."""
    own = linear._best
    linear._best = lambda *told: own(*told[:5])  # without the ways that it is told to try
    try:
        yield
    finally:
        linear._best = own


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """Each pair of results, in per cent, with half the widths of their intervals."""
    told = []
    for row in rows:
        if not row["chooses"]:
            same = partial(_same, row)
            (other,) = (one for one in rows if one["chooses"] and same(one))
            pair = " ".join(
                f"{100 * one['accuracy']:.1f} ± {50 * (one['high'] - one['low']):.1f}" for one in (row, other)
            )
            told.append(f"{row['run']}, {row['labels']}, {row['features']}: {pair} where it chooses")
    return told


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[key] == other[key] for key in ("run", "labels", "features"))


if __name__ == "__main__":
    main()
