"""Does the linear probe gain by choosing whether features are whitened, where labels are few? It does not choose now.

Judges runs both ways, in folds, beside their untrained network and raw values. Writes docs/results/few_labels.json.

    python bench/few_labels.py RUN@DATA ... [--labels 2,5] [--limit 3000] [--repeats 5]
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
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
    """Each pair of results, in per cent, with half the widths of their intervals."""
    pairs: dict[tuple[str, str, str], dict[bool, str]] = {}
    for row in rows:
        shown = f"{100 * row['accuracy']:.1f} ± {50 * (row['high'] - row['low']):.1f}"
        pairs.setdefault((row["run"], row["labels"], row["features"]), {})[row["chooses"]] = shown
    return [f"{', '.join(about)}: {one[False]}, {one[True]} where it chooses" for about, one in pairs.items()]


if __name__ == "__main__":
    main()
