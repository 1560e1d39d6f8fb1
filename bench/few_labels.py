"""Does the linear probe gain by choosing whether features are whitened, where labels are few? It does not choose now.

Judges runs both ways, in folds, beside their untrained network and raw values. Writes docs/results/few_labels.json.

    python bench/few_labels.py RUN@DATA ... [--labels 2,5] [--limit 3000] [--repeats 5]
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median
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
        found = [row for row in found if row["run"] != Path(run).name]
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
    """Each pair of results, in per cent, with half the widths of their intervals; then what all of them come to."""
    pairs: dict[tuple[str, str, str], dict[bool, tuple[float, float]]] = {}
    for row in rows:
        told = 100 * row["accuracy"], 50 * (row["high"] - row["low"])
        pairs.setdefault((row["run"], row["labels"], row["features"]), {})[row["chooses"]] = told
    shown = [
        f"{', '.join(about)}: {one[False][0]:.1f} ± {one[False][1]:.1f}, "
        f"{one[True][0]:.1f} ± {one[True][1]:.1f} where it chooses"
        for about, one in pairs.items()
    ]
    return [*shown, summary([(one[False], one[True]) for one in pairs.values()])]


def summary(pairs: list[tuple[tuple[float, float], tuple[float, float]]]) -> str:
    """What choosing costs; raw pixels, and a network untrained, that stand beside several runs count once."""
    distinct = {*pairs}
    cost = [fixed - chosen for (fixed, _), (chosen, _) in distinct]
    wider = [chosen / fixed for (_, fixed), (_, chosen) in distinct]
    return (
        f"choosing whether to whiten cost {median(cost):.1f} points in the median of {len(distinct)} pairs, "
        f"{max(cost):.1f} at most and none in {sum(one <= 0 for one in cost)}; intervals were {median(wider):.2f} "
        f"times as wide in the median, and more than twice as wide in {sum(one > 2 for one in wider)}"
    )


if __name__ == "__main__":
    main()
