"""The result of a judgement: accuracies with intervals, a verdict in plain words, and a table."""

import math
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from rich.table import Table

from selftaught.contracts.modality import raw_of
from selftaught.judging.accuracy import Detail, Gain, Row
from selftaught.judging.probe import by_priority

KINDS = {
    "trained": "this run",
    "untrained": "untrained",
    "pixels": "raw pixels",
    "scratch": "from scratch",
    "pretrained": "pre-trained",  # what the user named, to stand beside
}


def kinds(things: str) -> dict[str, str]:
    """What each kind of features is called, of samples that are called so."""
    return {**KINDS, "pixels": raw_of(things)}


class Evaluation(BaseModel):
    """What a run is worth, beside baselines."""

    run: str
    train: str
    test: str | None
    things: str = "images"
    classes: list[str]
    train_samples: int
    test_samples: int
    seed: int
    copies: int = 0  # training samples with a copy among what is judged, which are then not learnt from
    pretrained: str | None = None  # what stands beside as pretrained
    finetune: dict[str, Any] = {}  # options of fine-tuning that the user chose
    rows: list[Row]
    gains: list[Gain] = []  # over each of the others
    details: list[Detail] = []  # one a row, in their order; not of baselines that were known
    verdict: str
    verdicts: list[str]


def primary(rows: Sequence[Row]) -> str:
    """The probe, of those that were asked, whose verdict is the verdict."""
    return next((probe for probe in by_priority() if any(row.probe == probe for row in rows)), "")


def verdicts(rows: Sequence[Row], things: str = "images", gains: Sequence[Gain] = ()) -> list[str]:
    """One line for each probe and number of labels: did the pre-training help?

    It did where it beats the best of what had none; a pre-trained encoder that the user named only stands beside.
    Where the gain over that best is known, its interval decides, else those of the two accuracies.
    """
    lines, called = [], kinds(things)
    for probe, labels in _groups(rows):
        group = {r.features: r for r in rows if (r.probe, r.labels) == (probe, labels)}
        trained, named = group["trained"], group.get("pretrained")
        others = [r for kind, r in group.items() if kind not in ("trained", "pretrained")]
        best = max(others, key=lambda r: r.accuracy)
        gain, doubt = trained.accuracy - best.accuracy, math.hypot(trained.half, best.half)
        for known in gains:
            if (known.probe, known.labels, known.against) == (probe, labels, best.features):
                doubt = (known.high - known.low) / 2
        said = "it helped" if gain > doubt else "it did not help" if gain < -doubt else "too close to call"
        beside = " and ".join(f"{r.shown()} {called[r.features]}" for r in others)
        if named:
            beside += f" ({named.shown()} {called['pretrained']})"
        lines.append(f"{probe}, {labels}: {trained.shown()} against {beside}: {said}")
    return lines


def table(evaluation: Evaluation) -> Table:
    """All accuracies for a terminal, in points."""
    called = {k: name for k, name in kinds(evaluation.things).items() if any(r.features == k for r in evaluation.rows)}
    shown = Table("probe", "labels", *called.values(), title="accuracy, 95 % intervals")
    for probe, labels in _groups(evaluation.rows):
        group = {r.features: r for r in evaluation.rows if (r.probe, r.labels) == (probe, labels)}
        best = max(group.values(), key=lambda r: r.accuracy)
        cells = {kind: f"[bold]{r.shown()}[/]" if r is best else r.shown() for kind, r in group.items()}
        shown.add_row(probe, labels, *(cells.get(kind, "") for kind in called))
    return shown


def _groups(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Each probe with each number of labels, in the order in which they were judged."""
    return list(dict.fromkeys((row.probe, row.labels) for row in rows))
