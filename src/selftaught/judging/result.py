"""The result of a judgement: accuracies with intervals, a verdict in plain words, and a table.

Whoever reads an evaluation.json needs no more than this, and so waits for no probe, nor for what one is made of.
"""

import math
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from rich.table import Table

from selftaught.contracts.modality import raw_of
from selftaught.system.errors import SelftaughtError


class Called(dict[str, str]):
    """Names of kinds of features; one that is not known, of what others wrote, goes by its own."""

    def __missing__(self, kind: str) -> str:
        return kind


KINDS = Called(
    {
        "trained": "this run",
        "untrained": "untrained",
        "pixels": "raw pixels",
        "scratch": "from scratch",
        "pretrained": "pre-trained",  # what the user named, to stand beside
    }
)


def kinds(things: str) -> Called:
    """What each kind of features is called, of samples that are called so."""
    # To ask a modality takes seconds, as torch comes with it; of images, which most pages are about, it is known here.
    return KINDS if things == "images" else Called({**KINDS, "pixels": raw_of(things)})


class Row(BaseModel):
    """One accuracy in [0, 1] with its 95 % interval."""

    features: str  # trained, untrained, pixels, scratch or pretrained
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

    def shown(self) -> str:
        """In points, with the interval: 71.2 ± 1.1."""
        return f"{100 * self.accuracy:.1f} ± {100 * self.half:.1f}"


class Detail(BaseModel):
    """A row, class by class: sums over its repeats."""

    features: str
    probe: str
    labels: str
    recall: list[float | None]  # of each class the share that was found; None where none was judged
    confusion: list[list[int]] | None  # how many of class i were taken for class j; None for over 100 classes


class Gain(BaseModel):
    """How much more accurate this run is than something else, repeat by repeat on the same samples and labels."""

    probe: str
    labels: str
    against: str  # untrained, pixels, scratch or pretrained
    gain: float
    low: float
    high: float


class Evaluation(BaseModel):
    """What a run is worth, beside baselines."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    run: str
    train: str
    test: str | None
    things: str = "images"
    classes: list[str]
    train_samples: int
    test_samples: int
    distinct_test_samples: int | None = None  # what is judged, without copies, which count once; in folds, of all
    seed: int
    copies: int = 0  # training samples with a copy among what is judged, which are then not learnt from
    near_copies: int = 0  # of them, those that only look like what is judged
    test_in_pretraining: int | None = None  # test samples that the run was trained on, without labels; None if unknown
    pretrained: str | None = None  # what stands beside as pretrained
    finetune: dict[str, Any] = {}  # options of fine-tuning that the user chose
    rows: list[Row]
    gains: list[Gain] = []  # over each of the others
    details: list[Detail] = []  # one a row, in their order; not of baselines that were known
    verdict: str
    verdicts: list[str]
    unkept: SelftaughtError | None = Field(None, exclude=True)  # what was in the way of writing it down

    @property
    def probe(self) -> str:
        """The probe whose verdict is the verdict, which begins with its name; of what others wrote, the first."""
        return next((row.probe for row in self.rows if self.verdict.startswith(f"{row.probe}, ")), self.rows[0].probe)


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
