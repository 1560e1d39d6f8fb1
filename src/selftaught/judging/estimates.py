"""What methods come to in a comparison, each with its noise, and what can be said of several together."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from scipy.special import stdtrit

from selftaught.judging import units
from selftaught.judging.comparison import Over, Ran
from selftaught.judging.result import FEWEST, LEVEL, Row
from selftaught.system.components import Part
from selftaught.training.looking.scores import BETTER, worth

Z = NormalDist().inv_cdf(1 - LEVEL / 2)


@dataclass(frozen=True)
class Measure:
    """By what runs are ranked: the accuracy of a probe, or a label-free score."""

    name: str
    labelled: bool
    of: str = "accuracy"  # of labelled ones, what the probe is measured by: that, balanced_accuracy, mAP or R2

    @property
    def is_share(self) -> bool:
        """Whether it lies in [0, 1], and is told in points."""
        return self.labelled and units.is_share(self.of)

    @property
    def called(self) -> str:
        """For people: linear accuracy, or a score and, where that is not what one would think, which way is better."""
        if self.labelled:
            return f"{self.name} {units.called(self.of)}"
        return self.name + {"alpha_req": ", best at 1"}.get(self.name, ", less is better" * (BETTER[self.name] < 0))

    @property
    def scale(self) -> int:
        """By what it is multiplied where it is shown."""
        return 100 if self.is_share else 1

    def value(self, rows: Sequence[Row], ran: Ran) -> float:
        """What a run came to; an accuracy is read from `rows`."""
        return _trained(rows).accuracy if self.labelled else ran.health.get(self.name, math.nan)

    def worth(self, value: float) -> float:
        """The value turned so that more is better."""
        return value if self.labelled else worth({self.name: value}, self.name)

    def shown(self, value: float) -> str:
        """For people: an accuracy in points."""
        return units.written(self.of, value) if self.labelled else f"{value:.4g}"


@dataclass(frozen=True)
class Estimate:
    """What a method came to in a rung: the mean over seeds, and what makes it uncertain."""

    value: float
    worth: float
    seeds: int
    down: float  # by how much it may be less, and
    up: float  # by how much it may be more, to 95 %, for all that the test samples tell
    luck: float  # standard error by the luck of training, which seeds tell of
    freedom: int  # degrees, by which that is known; 0 where it is not
    shown: float  # the value, or what of it is no luck of having been chosen: see `drawn_in`
    below: float  # `down` and
    above: float  # `up` of what is shown

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the 95 % interval of what is shown; infinite where nothing is known of the noise.

        The luck of training is as large below as above; what few test samples leave open at 100 % lies below alone.
        """
        if not self.freedom and not (self.below or self.above):
            return -math.inf, math.inf
        luck = float(stdtrit(self.freedom, 1 - LEVEL / 2)) * self.luck if self.freedom else 0.0
        return self.shown - math.hypot(self.below, luck), self.shown + math.hypot(self.above, luck)

    @property
    def doubt(self) -> float:
        """The standard error that the test samples leave, by the width of their interval, however it lies."""
        return (self.down + self.up) / 2 / Z


def _trained(rows: Sequence[Row]) -> Row:
    return next(row for row in rows if row.features == "trained")


def _sides(row: Row) -> tuple[float, float]:
    """How far an accuracy may be below and above; without end where too few samples count to prove anything."""
    if row.samples is not None and row.samples < FEWEST:
        return math.inf, math.inf
    return row.accuracy - row.low, row.high - row.accuracy


def estimates(runs: Sequence[Ran], rung: int, measure: Measure, held_out: bool = False) -> dict[str, Estimate]:
    """Every method of one rung of all `runs`, best first.

    Two errors are independent: that of the test samples, and that of the mean over seeds. Two or three seeds say little
    about their own spread, so it is pooled over methods and rungs, and Student's factor is that of all of them. With a
    single seed only the first is known, and of a label-free score, which has no first, nothing. Features that crowd
    together may have the best score of all, so a method one of whose runs collapsed is worth less than any other.
    """
    values: dict[tuple[int, str], list[float]] = {}
    sides: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for ran in runs:
        if ran.state == "done":
            rows = (ran.held_out or ran.judged) if held_out else ran.judged
            values.setdefault((ran.rung, ran.method), []).append(measure.value(rows, ran))
            sides.setdefault((ran.rung, ran.method), []).append(_sides(_trained(rows)) if measure.labelled else (0, 0))
    crowded = {ran.method for ran in runs if ran.rung == rung and not measure.labelled and ran.collapsed}
    pooled, freedom = _spread(values.values())
    estimated = {}
    for (at, method), seen in values.items():
        if at == rung:
            mean, luck = float(np.mean(seen)), pooled / math.sqrt(len(seen))
            worth = -math.inf if method in crowded else measure.worth(mean)
            down, up = (float(side) for side in np.mean(sides[at, method], axis=0))
            estimated[method] = Estimate(mean, worth, len(seen), down, up, luck, freedom, mean, down, up)
    return dict(sorted(estimated.items(), key=lambda item: -item[1].worth))


def _spread(values: Iterable[Sequence[float]]) -> tuple[float, int]:
    """How far seeds of one method lie apart, as a standard deviation over all, and the degrees of freedom it has."""
    seen = list(values)
    freedom = sum(len(own) - 1 for own in seen)
    return (math.sqrt(sum(float(np.var(own)) * len(own) for own in seen) / freedom) if freedom else 0.0), freedom


def drawn_in(estimated: dict[str, Estimate], apart: bool) -> dict[str, Estimate]:
    """The values of a rung drawn to their mean, by the share of their spread that is noise.

    The best of many is expected to be as good as that, and not as it was measured (Efron and Morris, 1973). Where they
    were told `apart` from how they were chosen, only the luck of training is in both. The ends that the test samples
    leave go along: those of 100 % would leave nothing above a value that was drawn down.
    https://doi.org/10.1080/01621459.1973.10481350
    """
    if len(estimated) < 2:
        return estimated
    values = [own.value for own in estimated.values()]
    luck = float(np.mean([own.luck**2 for own in estimated.values()]))
    sampled = float(np.mean([own.doubt**2 for own in estimated.values()]))
    spread = float(np.var(values, ddof=1))
    noise, whole = (luck, spread - sampled) if apart else (luck + sampled, spread)
    kept = (max(0.0, 1 - noise / whole) if whole > 0 else 0.0) if noise else 1.0
    if kept == 1:
        return estimated
    sides = [_drawn([getattr(own, side) for own in estimated.values()], kept) for side in ("value", "down", "up")]
    return {
        name: replace(own, shown=shown, below=below, above=above)
        for (name, own), shown, below, above in zip(estimated.items(), *sides)
    }


def _drawn(values: Sequence[float], kept: float) -> list[float]:
    """Values of which so much of their distance to their mean is kept; as they are, where some are infinite."""
    mean = float(np.mean(values))
    return [mean + kept * (value - mean) for value in values] if math.isfinite(mean) else list(values)


def better(ahead: Estimate, worse: Estimate, methods: int) -> bool:
    """Whether the one is better by more than the noise that may be between any two of so many methods.

    Tukey's honest difference, so that all ranks of a rung hold together (Al Mohamad, Goeman and van Zwet, 2022), of
    either error, joined as in `gain_over`. https://doi.org/10.1111/biom.13419
    """
    if not worse.freedom:
        return False
    sampled = tukey(methods, 0) * math.hypot(ahead.down, worse.up) / Z
    trained = tukey(methods, worse.freedom) * math.hypot(ahead.luck, worse.luck)
    return ahead.worth - worse.worth > math.hypot(sampled, trained)


@lru_cache
def tukey(methods: int, freedom: int) -> float:
    """How many standard errors of a difference lie between any two of so many equals in one of twenty cases at most.

    freedom: degrees by which the standard error is known; 0 for all.
    """
    from scipy.stats import studentized_range  # which takes long to come, and is for comparisons alone

    return float(studentized_range.ppf(1 - LEVEL, methods, freedom or np.inf)) / math.sqrt(2)


def over(now: Estimate, at_last: Sequence[Ran], methods: int, choice: int, most: float = 1.0) -> list[Over]:
    """What a method gains over what learnt nothing; the luck of a network untrained is taken for that of a trained one.

    The best of so many `methods` is asked about, so its interval is one that would hold for all (Bonferroni); that of
    the test samples, for the best of `choice`: one, where they did not choose it. Samples are joined as if each were
    judged on others (Newcombe's method 10), which is too wide where all find the same ones hard. `most`: the
    largest gain there can be.
    """
    found = []
    for kind in ("untrained", "pixels", "usual"):
        rows = [row for ran in at_last for row in ran.judged if row.features == kind]
        if not rows:
            continue
        gain = now.value - float(np.mean([row.accuracy for row in rows]))
        down, up = (float(side) for side in np.mean([_sides(row) for row in rows], axis=0))
        wider = NormalDist().inv_cdf(1 - LEVEL / 2 / choice) / Z
        luck = float(stdtrit(now.freedom, 1 - LEVEL / 2 / methods)) * now.luck if now.freedom else math.inf
        luck *= math.sqrt(2) if kind == "untrained" else 1.0
        low = gain - math.hypot(wider * math.hypot(now.down, up), luck)
        high = gain + math.hypot(wider * math.hypot(now.up, down), luck)
        found.append(Over(against=kind, gain=gain, low=max(-most, low), high=min(most, high)))
    return found


def named(part: Part) -> str:
    """An encoder and its options, for people."""
    return part.name + "".join(f" {name}={value}" for name, value in part.options.items())
