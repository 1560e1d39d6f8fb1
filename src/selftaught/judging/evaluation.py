"""The result of a judgement: accuracies with intervals, a verdict in plain words, and a table."""

import math
from collections.abc import Sequence

from pydantic import BaseModel
from rich.table import Table

Z = 1.96  # a 95 % interval
KINDS = {"trained": "this run", "untrained": "untrained", "pixels": "raw pixels", "scratch": "from scratch"}


def kinds(things: str) -> dict[str, str]:
    """What each kind of features is called, of images or of rows."""
    return KINDS if things == "images" else {**KINDS, "pixels": "raw columns"}


class Row(BaseModel):
    """One accuracy in [0, 1] with its 95 % interval."""

    features: str  # trained, untrained, pixels or scratch
    probe: str
    labels: str
    accuracy: float
    low: float
    high: float
    repeats: int

    @property
    def half(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    def told(self) -> str:
        """In points, with the interval: 71.2 ± 1.1."""
        return f"{100 * self.accuracy:.1f} ± {100 * self.half:.1f}"


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
    rows: list[Row]
    verdict: str
    verdicts: list[str]


def row(features: str, probe: str, labels: str, accuracies: Sequence[float], samples: int) -> Row:
    """The mean of repeated accuracies on `samples` test samples.

    The interval joins two independent errors: Wilson's for so many test samples, and that of the mean over
    repeats, which see other labels.
    """
    mean = sum(accuracies) / len(accuracies)
    low, high = wilson(mean, samples)
    spread = 0.0
    if len(accuracies) > 1:
        variance = sum((a - mean) ** 2 for a in accuracies) / (len(accuracies) - 1)
        spread = Z * math.sqrt(variance / len(accuracies))
    return Row(
        features=features,
        probe=probe,
        labels=labels,
        accuracy=mean,
        low=max(0.0, mean - math.hypot(mean - low, spread)),
        high=min(1.0, mean + math.hypot(high - mean, spread)),
        repeats=len(accuracies),
    )


def wilson(share: float, samples: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share seen in so many samples."""
    scale = 1 + Z**2 / samples
    centre = (share + Z**2 / (2 * samples)) / scale
    half = Z / scale * math.sqrt(share * (1 - share) / samples + Z**2 / (4 * samples**2))
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def verdicts(rows: Sequence[Row], things: str = "images") -> list[str]:
    """One line for each probe and number of labels: did the pre-training help?"""
    lines = []
    for probe, labels in dict.fromkeys((r.probe, r.labels) for r in rows):
        group = {r.features: r for r in rows if (r.probe, r.labels) == (probe, labels)}
        trained, others = group["trained"], [r for kind, r in group.items() if kind != "trained"]
        best = max(others, key=lambda r: r.accuracy)
        gain, doubt = trained.accuracy - best.accuracy, math.hypot(trained.half, best.half)
        said = "it helped" if gain > doubt else "it did not help" if gain < -doubt else "too close to call"
        beside = " and ".join(f"{r.told()} {kinds(things)[r.features]}" for r in others)
        lines.append(f"{probe}, {labels}: {trained.told()} against {beside}: {said}")
    return lines


def table(evaluation: Evaluation) -> Table:
    """All accuracies for a terminal, in points."""
    called = {k: name for k, name in kinds(evaluation.things).items() if any(r.features == k for r in evaluation.rows)}
    shown = Table("probe", "labels", *called.values(), title="accuracy, 95 % intervals")
    for probe, labels in dict.fromkeys((r.probe, r.labels) for r in evaluation.rows):
        group = {r.features: r for r in evaluation.rows if (r.probe, r.labels) == (probe, labels)}
        best = max(group.values(), key=lambda r: r.accuracy)
        told = {kind: f"[bold]{r.told()}[/]" if r is best else r.told() for kind, r in group.items()}
        cells = [told.get(kind, "") for kind in called]
        shown.add_row(probe, labels, *cells)
    return shown
