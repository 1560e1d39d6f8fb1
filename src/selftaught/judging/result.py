"""The result of a judgement: accuracies with intervals, a verdict in plain words, and a table.

Whoever reads an evaluation.json needs no more than this, and so waits for no probe, nor for what one is made of.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from selftaught.contracts.modality import raw_of, usual_of
from selftaught.judging import units
from selftaught.system.errors import SelftaughtError
from selftaught.system.showing import Shown


class Called(dict[str, str]):
    """Names of kinds of features; one that is not known, of what others wrote, goes by its own."""

    def __missing__(self, kind: str) -> str:
        return kind


KINDS = Called(
    {
        "trained": "this run",
        "initial": "initial weights",  # what the run was begun from, where that was not fresh
        "untrained": "untrained",
        "pixels": "raw pixels",
        "usual": "usual features",  # what one would take without a network, of kinds of data that say so
        "scratch": "from scratch",
        "pretrained": "pre-trained",  # what the user named, to stand beside
    }
)
BASELINES = ("initial", "untrained", "pixels", "usual", "scratch")  # what is there without this run's pre-training
LEVEL = 0.05  # the share of judgements that may claim a difference where there is none
# Samples below which nothing can be claimed: if so many coins fall alike, and they do twice in 2^n, it may be luck.
FEWEST = math.ceil(1 - math.log2(LEVEL))


def kinds(things: str) -> Called:
    """What each kind of features is called, of samples that are called so."""
    # To ask a modality takes seconds, as torch comes with it; of images, which most pages are about, it is known here.
    if things == "images":
        return KINDS
    return Called({**KINDS, "pixels": raw_of(things), "usual": usual_of(things)})


Chosen = list[dict[str, Any]]  # of each fit of a probe what it chose on held-out training labels, and how it went


class Row(BaseModel):
    """One accuracy in [0, 1] with its 95 % interval."""

    features: str  # trained, initial, untrained, pixels, usual, scratch or pretrained
    probe: str
    labels: str
    accuracy: float
    low: float
    high: float
    repeats: int
    samples: int | None = None  # that count: copies, and what is of one group, are one
    measure: str = "accuracy"  # what `accuracy` is: that, balanced_accuracy, mAP, R2, which may be negative, or mIoU
    measures: dict[str, float] = {}  # all that were taken, by name

    @property
    def half(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    def shown(self) -> str:
        """With the interval, in points: 71.2 ± 1.1; of R² as it is: 0.712 ± 0.011."""
        return units.within(self.measure, self.accuracy, self.low, self.high)


class Detail(BaseModel):
    """A row, class by class: sums over its repeats."""

    features: str
    probe: str
    labels: str
    recall: list[float | None]  # of each class the share that was found; None where none was judged
    iou: list[float | None] | None = None  # where pixels are judged, of each class intersection over union
    average_precision: list[float | None] = []  # where a sample has several labels, of each; `recall` is from 0.5 on
    confusion: list[list[int]] | None  # how many of class i were taken for class j; None for over 100 classes
    # Of each fit, by repeat and fold. Of the linear probe: features, whitened, C, at_limit (whether C is the last that
    # is ever tried), iterations and converged. Nothing of what others wrote, or of a probe without a choice.
    chosen: Chosen = []

    def shown(self) -> str:
        """The choice of most fits: mean_std, whitened, C 0.01 (12 of 15)."""
        counts = Counter(", ".join(_chosen(choice)) for choice in self.chosen)
        [(words, count)] = counts.most_common(1)
        return words + f" ({count} of {len(self.chosen)})" * (len(counts) > 1)


def _chosen(choice: dict[str, Any]) -> list[str]:
    """The parts of a choice in words; how the fit went is no part of it."""
    # What needs no network is of one kind alone, whatever kind of data it is of.
    words = [str(choice["features"])] if choice.get("features", "pixels") not in ("pixels", "usual") else []
    words += ["whitened" if choice["whitened"] else "as is"] if "whitened" in choice else []
    told = {"features", "whitened", "iterations", "converged", "at_limit"}
    return words + [f"{name} {value:.4g}" for name, value in choice.items() if name not in told]


class Gain(BaseModel):
    """How much more accurate this run is than something else, repeat by repeat on the same samples and labels.

    The lower ends hold 97.5 % each, the upper ones 97.5 % for all baselines together: see `verdicts`.
    """

    probe: str
    labels: str
    against: str  # initial, untrained, pixels, usual, scratch or pretrained
    gain: float
    low: float
    high: float
    luck: float | None = None  # how often luck alone makes as large a difference on so many samples: a p-value
    samples: int | None = None  # that count, as of a row


def leaking(leaks: Sequence[str]) -> str:
    """What is to be known of columns of metadata that labels tell; nothing where there are none."""
    return f"the labels tell {', '.join(map(repr, leaks))}, which pre-training learnt from" * bool(leaks)


class Evaluation(Shown, BaseModel):
    """What a run is worth, beside baselines."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    run: str
    train: str
    test: str | None
    things: str = "images"
    task: str = "classes"  # what labels are: that, several a sample, or a number
    classes: list[str]  # or labels; of numbers none
    train_samples: int
    test_samples: int
    distinct_test_samples: int | None = None  # what is judged, without copies, which count once; in folds, of all
    independent_test_samples: int | None = None  # likewise, where what is of one group counts once as well
    seed: int
    copies: int = 0  # training samples with a copy among what is judged, which are then not learnt from
    near_copies: int = 0  # of them, those that only look like what is judged
    test_in_pretraining: int | None = None  # test samples that the run was trained on, without labels; None if unknown
    watched: int | None = None  # judged samples whose labels have watched the pre-training (--watch-labels)
    leaks: list[str] = []  # columns of metadata that the run has learnt from, and that the labels tell
    initial: str | None = None  # what the run was begun from: --init, or the weights of the user's own network
    pretrained: str | None = None  # what stands beside as pretrained
    finetune: dict[str, Any] = {}  # options of fine-tuning that the user chose
    features: str = "own"  # which features were asked for; auto: what is best on held-out training labels
    rows: list[Row]
    gains: list[Gain] = []  # over each of the others
    details: list[Detail] = []  # one a row, in their order; not of baselines that were known
    verdict: str
    verdicts: list[str]
    unkept: SelftaughtError | None = Field(None, exclude=True)  # what was in the way of writing it down

    @property
    def measure(self) -> str:
        """What stands first."""
        return self.rows[0].measure if self.rows else "accuracy"

    @property
    def grouped(self) -> str:
        """In how many groups what is judged lies, in words; nothing where each sample counts by itself."""
        groups, samples = self.independent_test_samples, self.distinct_test_samples
        return units.in_groups(groups) if groups is not None and samples is not None and groups < samples else ""

    @property
    def seen(self) -> str:
        """What of the test set was in pre-training, in words; nothing where none was or that is not known."""
        if not self.test_in_pretraining:
            return ""
        of = f"{self.test_in_pretraining:,} of the {self.test_samples:,} {self.things} of --test"
        return f"{of} were in pre-training, without their labels"

    @property
    def onlooking(self) -> str:
        """What of the judged samples has watched the pre-training, in words; nothing where none has."""
        if not self.watched:
            return ""
        of, where = (self.test_samples, "--test") if self.test else (self.train_samples, "--train")
        counted = f"{self.watched:,} of the {of:,} {self.things} of {where}"
        return f"{counted} have watched the pre-training, with their labels"

    @property
    def leaking(self) -> str:
        """What of the labels was in pre-training as metadata, in words; nothing where none was."""
        return leaking(self.leaks)

    @property
    def remark(self) -> str:
        """What else is to be known of the judged samples."""
        return ", ".join(filter(None, (self.leaking, self.seen, self.onlooking)))

    @property
    def probe(self) -> str:
        """The probe whose verdict is the verdict, which begins with its name; of what others wrote, the first."""
        return next((row.probe for row in self.rows if self.verdict.startswith(f"{row.probe}, ")), self.rows[0].probe)


def verdicts(rows: Sequence[Row], things: str = "images", gains: Sequence[Gain] = (), remark: str = "") -> list[str]:
    """One line for each probe and number of labels: did the pre-training help?

    It did where it beats each that had none of it, what the run began with among them, and did not where one of them
    beats it. A pre-trained encoder stands beside, and where it is clearly better or worse that is added. Where nothing
    differs, each is said of at most one judgement in forty: who must beat all may be asked about each by itself
    (Berger, 1982), and who is beaten by any is asked about all together (Bonferroni). Where a gain is known its
    interval decides, else those of the two accuracies. Of fewer than `FEWEST` samples nothing is said. `remark`: what
    else is to be known.
    """
    lines, called = [], kinds(things)
    for probe, labels in settings_of(rows):
        group = {r.features: r for r in rows if (r.probe, r.labels) == (probe, labels)}
        trained, named = group["trained"], group.get("pretrained")
        others = [r for kind, r in group.items() if kind in BASELINES]
        known = {gain.against: gain for gain in gains if (gain.probe, gain.labels) == (probe, labels)}
        beside = " and ".join(f"{r.shown()} {called[r.features]}" for r in others)
        if named:
            beside += f" ({named.shown()} {called['pretrained']})"
        of = "" if trained.measure == "accuracy" else f"{units.called(trained.measure)} "
        said = _said(trained, others, known, things)
        if named and not said.startswith(units.TOO_FEW):
            said += _rivalled(*_ends(trained, named, known.get("pretrained"), 1))
        lines.append(f"{probe}, {labels}: {of}{trained.shown()} against {beside}{remark and f', {remark}'}: {said}")
    return lines


def doubts(evaluation: Evaluation) -> list[str]:
    """What is to be told of fits that did not end as they should."""
    called, lines = kinds(evaluation.things), []
    for detail in evaluation.details:
        where = f"{detail.probe} probe of {called[detail.features]}, {detail.labels}"
        for flag, wrong, words in (
            ("converged", False, "did not converge"),
            ("at_limit", True, "chose the last C that is ever tried"),
        ):
            if count := sum(choice.get(flag) is wrong for choice in detail.chosen):
                lines.append(f"{where}: {count} of {len(detail.chosen)} fits {words}")
    return lines


def choices(evaluation: Evaluation) -> list[str]:
    """What the probes chose of each kind of features, in a line each."""
    called = kinds(evaluation.things)
    return [f"{d.probe}, {d.labels}, {called[d.features]}: {d.shown()}" for d in evaluation.details if d.chosen]


def _said(trained: Row, others: Sequence[Row], known: Mapping[str, Gain], things: str) -> str:
    if trained.samples is not None and trained.samples < FEWEST:
        return f"{units.TOO_FEW} ({trained.samples} independent {things}, and below {FEWEST} nothing can be proved)"
    ends = [_ends(trained, other, known.get(other.features), len(others)) for other in others]
    if all(low > 0 for low, _ in ends):
        return "it helped"
    return "it did not help" if any(high < 0 for _, high in ends) else "too close to call"


def _rivalled(low: float, high: float) -> str:
    """How a run stands to weights that were there to be had, where that is clear."""
    if high < 0:
        return ", and the pre-trained weights do better"
    return ", and it does better than the pre-trained weights" if low > 0 else ""


def _ends(trained: Row, other: Row, known: Gain | None, beside: int) -> tuple[float, float]:
    """Between what the gain over another lies; by the two accuracies alone as Newcombe (1998, method 10) joins them.

    https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I
    """
    if known:
        return known.low, known.high
    gain, normal = trained.accuracy - other.accuracy, NormalDist()
    wider = normal.inv_cdf(1 - LEVEL / 2 / beside) / normal.inv_cdf(1 - LEVEL / 2)
    down = math.hypot(trained.accuracy - trained.low, other.high - other.accuracy)
    up = math.hypot(trained.high - trained.accuracy, other.accuracy - other.low)
    return gain - down, gain + wider * up


def others_of(rows: Iterable[Row]) -> list[str]:
    """The measures that were taken beside the one that stands first."""
    return list(dict.fromkeys(name for row in rows for name in row.measures if name != row.measure))


def settings_of(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Each probe with each number of labels, in the order in which they were judged."""
    return list(dict.fromkeys((row.probe, row.labels) for row in rows))
