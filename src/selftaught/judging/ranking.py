"""The ranking of a comparison: methods in order, each with its noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table
from scipy.special import stdtrit

from selftaught.judging.comparison import Comparison, Place, Point, Ran, Rung
from selftaught.judging.result import Row, kinds
from selftaught.methods import registry
from selftaught.system.components import Part
from selftaught.system.text import duration
from selftaught.training.looking.scores import worth


@dataclass(frozen=True)
class Measure:
    """By what runs are ranked: the accuracy of a probe, or a label-free score."""

    name: str
    labelled: bool

    def value(self, rows: Sequence[Row], ran: Ran) -> float:
        """What a run came to; an accuracy is read from `rows`."""
        return _trained(rows).accuracy if self.labelled else ran.health.get(self.name, math.nan)

    def worth(self, value: float) -> float:
        """The value turned so that more is better."""
        return value if self.labelled else worth({self.name: value}, self.name)

    def shown(self, value: float) -> str:
        """For people: an accuracy in points."""
        return f"{100 * value:.1f}" if self.labelled else f"{value:.4g}"


@dataclass(frozen=True)
class Estimate:
    """What a method came to in a rung: the mean over seeds, and half the width of its 95 % interval."""

    value: float
    worth: float
    half: float
    seeds: int


def _trained(rows: Sequence[Row]) -> Row:
    return next(row for row in rows if row.features == "trained")


def estimates(runs: Sequence[Ran], rung: int, measure: Measure, held_out: bool = False) -> dict[str, Estimate]:
    """Every method of one rung of all `runs`, best first.

    The interval joins two independent errors: that of the test samples, and that of the mean over seeds. Two or three
    seeds say little about their own spread, so it is pooled over methods and rungs, and Student's factor is that of
    all of them. With a single seed only the first is known, and of a label-free score, which has no first, nothing.
    """
    values: dict[tuple[int, str], list[float]] = {}
    doubts: dict[tuple[int, str], list[float]] = {}
    for ran in runs:
        if ran.state == "done":
            rows = (ran.held_out or ran.judged) if held_out else ran.judged
            values.setdefault((ran.rung, ran.method), []).append(measure.value(rows, ran))
            doubts.setdefault((ran.rung, ran.method), []).append(_trained(rows).half if measure.labelled else 0.0)
    freedom = sum(len(seen) - 1 for seen in values.values())
    pooled = math.sqrt(sum(float(np.var(v)) * len(v) for v in values.values()) / freedom) if freedom else 0.0
    factor = float(stdtrit(freedom, 0.975)) if freedom else 0.0
    estimated = {}
    for (at, method), seen in values.items():
        if at == rung:
            mean, doubt = float(np.mean(seen)), float(np.mean(doubts[at, method]))
            half = math.hypot(doubt, factor * pooled / math.sqrt(len(seen)))
            if not measure.labelled and not freedom:  # nothing is known of the noise, so nothing is clearly ahead
                half = math.inf
            estimated[method] = Estimate(mean, measure.worth(mean), half, len(seen))
    return dict(sorted(estimated.items(), key=lambda item: -item[1].worth))


def ranked(runs: Sequence[Ran], measure: Measure) -> list[Place]:
    """Places, best first: whoever came further is before whoever was dropped, and who is better in its last rung."""
    by_rung = {rung: estimates(runs, rung, measure) for rung in sorted({ran.rung for ran in runs})}
    order = dict.fromkeys(method for rung in reversed(by_rung) for method in by_rung[rung])
    return [_place(rank, method, runs, by_rung, measure) for rank, method in enumerate(order, 1)]


def _place(
    rank: int, method: str, runs: Sequence[Ran], by_rung: dict[int, dict[str, Estimate]], measure: Measure
) -> Place:
    """That of a method, which it has by the last rung that it was in."""
    in_rungs = {rung: estimated[method] for rung, estimated in by_rung.items() if method in estimated}
    rung = max(in_rungs)
    now, others = in_rungs[rung], [other for name, other in by_rung[rung].items() if name != method]
    own = [ran for ran in runs if ran.method == method and ran.state == "done"]
    at_last = [ran for ran in own if ran.rung == rung]
    where = registry.places().get(method)  # none where a plug-in has gone since
    return Place(
        rank=rank,
        first=sum(_apart(other, now) for other in others) + 1,
        last=len(others) + 1 - sum(_apart(now, other) for other in others),
        method=method,
        family=where.family if where else "",
        kind=where.kind if where else "",
        encoder=_named(at_last[0].encoder),
        tokens=at_last[0].tokens,
        points=[_point(own, at, estimate, measure) for at, estimate in in_rungs.items()],
        untrained=_baseline(at_last, "untrained"),
        pixels=_baseline(at_last, "pixels"),
        samples=round(float(np.mean([ran.samples for ran in at_last]))),
        note=_note(runs, method, at_last),
    )


def _apart(better: Estimate, worse: Estimate) -> bool:
    """Whether the one is better by more than the noise of both."""
    return better.worth - worse.worth > math.hypot(better.half, worse.half)


def _point(own: Sequence[Ran], rung: int, estimate: Estimate, measure: Measure) -> Point:
    seconds = [ran.seconds for ran in own if ran.rung == rung]
    half = estimate.half if math.isfinite(estimate.half) else 0.0  # nothing to show of it
    low, high = estimate.value - half, estimate.value + half
    if measure.labelled:
        low, high = max(0.0, low), min(1.0, high)
    minutes = float(np.mean(seconds)) / 60
    return Point(rung=rung, minutes=minutes, value=estimate.value, low=low, high=high, seeds=estimate.seeds)


def _named(part: Part) -> str:
    return part.name + "".join(f" {name}={value}" for name, value in part.options.items())


def _baseline(runs: Sequence[Ran], kind: str) -> float | None:
    accuracies = [row.accuracy for ran in runs for row in ran.judged if row.features == kind]
    return float(np.mean(accuracies)) if accuracies else None


def _note(runs: Sequence[Ran], method: str, at_last: Sequence[Ran]) -> str:
    """What a reader should know of a method besides its numbers."""
    notes = [f"seed {ran.seed} failed: {ran.reason}" for ran in runs if ran.method == method and ran.state == "failed"]
    notes += dict.fromkeys(ran.verdict for ran in at_last if ran.verdict not in ("", "learning"))
    return "; ".join(notes)


def verdict(places: Sequence[Place], measure: Measure, things: str = "images") -> str:
    """Who leads, and who cannot be told apart from it, in one line."""
    if not places:
        return "nothing to rank yet"
    lead, how = places[0], f"{measure.name} accuracy" if measure.labelled else measure.name
    line = f"{lead.method} leads with {with_interval(lead.point, measure)} ({how})"
    baselines = {"untrained": lead.untrained, kinds(things)["pixels"]: lead.pixels}
    equals = [f"{name} {measure.shown(v)}" for name, v in baselines.items() if v is not None and v >= lead.point.low]
    if equals:
        line += f", which is not clearly better than {' and '.join(equals)}"
    finalists = [place for place in places if place.point.rung == lead.point.rung and place is not lead]
    near = [f"{place.method} {with_interval(place.point, measure)}" for place in finalists if place.first == 1]
    if near:
        return f"{line}; too close to call: {', '.join(near)}"
    return f"{line}, clearly ahead of {' and '.join(p.method for p in finalists)}" if finalists else line


def with_interval(point: Point, measure: Measure) -> str:
    """A value with its interval, where that is known: 71.2 ± 1.1."""
    half = f" ± {measure.shown((point.high - point.low) / 2)}" if point.high > point.low else ""
    return measure.shown(point.value) + half


def values_of(place: Place, measure: Measure) -> list[str]:
    """What a method came to, and where that is an accuracy, what the untrained encoder and raw pixels came to."""
    baselines = (place.untrained, place.pixels) if measure.labelled else ()
    return [with_interval(place.point, measure), *("" if base is None else measure.shown(base) for base in baselines)]


def budget_of(rung: Rung) -> str:
    """What every method got in a rung, for people."""
    return duration(rung.budget) if rung.budget else f"{rung.epochs:g} epoch(s)"


def table(comparison: Comparison) -> Table:
    """The ranking for a terminal."""
    measure = Measure(comparison.measure, comparison.labelled)
    budgets = {rung.rung: budget_of(rung) for rung in comparison.rungs}
    heads = [measure.name, *(["untrained", kinds(comparison.things)["pixels"]] if measure.labelled else [])]
    shown = Table("rank", "may be", "method", *heads, "each got", title="95 % intervals")
    for place in comparison.ranking:
        values = values_of(place, measure)
        shown.add_row(str(place.rank), place.span, place.method, *values, budgets[place.point.rung])
    return shown


def notes(comparison: Comparison) -> list[str]:
    """What the ranking does not show: runs that failed or look unwell, and encoders that differ."""
    lines = [f"{place.method}: {place.note}" for place in comparison.ranking if place.note]
    if comparison.seeds == 1:
        lines.append("with a single seed the chance of training is not known; --seeds 2 tells something of it")
    placed = {place.method for place in comparison.ranking}
    lines += dict.fromkeys(
        f"{ran.method} failed: {ran.reason}" for ran in comparison.failed if ran.method not in placed
    )
    if len({place.encoder for place in comparison.ranking}) > 1:
        lines += [f"{p.method} needs tokens, so its encoder is {p.encoder}" for p in comparison.ranking if p.tokens]
    return lines
