"""The result of a comparison: methods in order, each with its noise, and what it took."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel
from rich.table import Table
from scipy.special import stdtrit

from selftaught.judging.accuracy import Row
from selftaught.judging.result import kinds
from selftaught.methods import registry
from selftaught.system.components import Part
from selftaught.system.text import duration
from selftaught.training.looking.scores import worth


class Ran(BaseModel):
    """One run of a comparison, a line of comparison.jsonl; of a run that failed, why."""

    method: str
    seed: int
    rung: int  # from 1
    encoder: Part
    tokens: bool  # whether that encoder works on tokens
    run: str  # its folder, inside the comparison's
    state: Literal["done", "failed"]
    reason: str = ""
    exit_code: int = 0
    steps: int = 0
    samples: int = 0  # seen in training, each as often as it was seen
    seconds: float = 0.0  # of training
    health: dict[str, float] = {}
    verdict: str = ""  # of the health
    held_out: list[Row] = []  # judged on folds of --train, where the better half was chosen by that
    judged: list[Row] = []
    tested: int = 0  # samples that `judged` is about


class Rung(BaseModel):
    """A round in which every method that is left gets the same budget."""

    rung: int
    budget: float | None  # seconds of training each
    epochs: float | None  # instead
    methods: list[str]
    kept: list[str]  # which go on, best first


class Point(BaseModel):
    """What a method came to in one rung, with a 95 % interval."""

    rung: int
    minutes: float  # of training, a mean over seeds
    value: float
    low: float
    high: float
    seeds: int


class Place(BaseModel):
    """A method's place in the ranking. Its last point is what it is ranked by."""

    rank: int
    first: int  # the best rank it may deserve, for all the noise tells, among the methods of its last rung
    last: int  # the worst
    method: str
    family: str
    kind: str
    encoder: str
    tokens: bool
    points: list[Point]
    untrained: float | None  # accuracy of the same encoder with random weights
    pixels: float | None  # accuracy of raw pixels, or columns
    samples: int  # seen in training, in the last rung
    note: str = ""

    @property
    def point(self) -> Point:
        """That of the last rung it was in."""
        return self.points[-1]

    @property
    def span(self) -> str:
        """The ranks it may deserve, for people: 2-4."""
        return f"{self.first}-{self.last}" if self.first < self.last else str(self.first)


class Comparison(BaseModel):
    """What comparison.json holds. Accuracies are in [0, 1]."""

    out: str  # its folder
    data: str
    things: str
    measure: str  # linear, knn, or the label-free score
    labelled: bool  # whether `measure` is an accuracy
    train: str | None
    test: str | None
    labels: str
    seeds: int
    rungs: list[Rung]
    machine: dict[str, Any]
    state: Literal["running", "done"]
    ranking: list[Place]
    verdict: str
    runs: list[Ran]

    @property
    def failed(self) -> list[Ran]:
        """Runs that came to nothing."""
        return [ran for ran in self.runs if ran.state == "failed"]


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

    def told(self, value: float) -> str:
        """For people: an accuracy in points."""
        return f"{100 * value:.1f}" if self.labelled else f"{value:.4g}"


@dataclass(frozen=True)
class Standing:
    """What a method came to in a rung: the mean over seeds, and half the width of its 95 % interval."""

    value: float
    worth: float
    half: float
    seeds: int


def _trained(rows: Sequence[Row]) -> Row:
    return next(row for row in rows if row.features == "trained")


def standings(runs: Sequence[Ran], rung: int, measure: Measure, held_out: bool = False) -> dict[str, Standing]:
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
    found = {}
    for (at, method), seen in values.items():
        if at == rung:
            mean, doubt = float(np.mean(seen)), float(np.mean(doubts[at, method]))
            half = math.hypot(doubt, factor * pooled / math.sqrt(len(seen)))
            if not measure.labelled and not freedom:
                half = math.inf
            found[method] = Standing(mean, measure.worth(mean), half, len(seen))
    return dict(sorted(found.items(), key=lambda item: -item[1].worth))


def ranked(runs: Sequence[Ran], measure: Measure) -> list[Place]:
    """Places, best first: whoever came further is before whoever was dropped, and who is better in its last rung."""
    rungs = sorted({ran.rung for ran in runs}, reverse=True)
    by_rung = {rung: standings(runs, rung, measure) for rung in rungs}
    places: list[Place] = []
    for rung in rungs:
        for method, now in by_rung[rung].items():
            if any(place.method == method for place in places):
                continue
            others = [s for other, s in by_rung[rung].items() if other != method]
            better = sum(s.worth - now.worth > math.hypot(s.half, now.half) for s in others)
            worse = sum(now.worth - s.worth > math.hypot(s.half, now.half) for s in others)
            own = [ran for ran in runs if ran.method == method and ran.state == "done"]
            at_last = [ran for ran in own if ran.rung == rung]
            where = registry.places().get(method)
            places.append(
                Place(
                    rank=len(places) + 1,
                    first=better + 1,
                    last=len(others) + 1 - worse,
                    method=method,
                    family=where.family if where else "",
                    kind=where.kind if where else "",
                    encoder=_named(at_last[0].encoder),
                    tokens=at_last[0].tokens,
                    points=[
                        _point(own, at, by_rung[at][method], measure) for at in reversed(rungs) if method in by_rung[at]
                    ],
                    untrained=_baseline(at_last, "untrained"),
                    pixels=_baseline(at_last, "pixels"),
                    samples=round(float(np.mean([ran.samples for ran in at_last]))),
                    note=_note(runs, method, at_last),
                )
            )
    return places


def _point(own: Sequence[Ran], rung: int, standing: Standing, measure: Measure) -> Point:
    seconds = [ran.seconds for ran in own if ran.rung == rung]
    half = standing.half if math.isfinite(standing.half) else 0.0  # nothing to show of it
    low, high = standing.value - half, standing.value + half
    if measure.labelled:
        low, high = max(0.0, low), min(1.0, high)
    minutes = float(np.mean(seconds)) / 60
    return Point(rung=rung, minutes=minutes, value=standing.value, low=low, high=high, seeds=standing.seeds)


def _named(part: Part) -> str:
    return part.name + "".join(f" {name}={value}" for name, value in part.options.items())


def _baseline(runs: Sequence[Ran], kind: str) -> float | None:
    found = [row.accuracy for ran in runs for row in ran.judged if row.features == kind]
    return float(np.mean(found)) if found else None


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
    told = f"{lead.method} leads with {told_value(lead.point, measure)} ({how})"
    known = {"untrained": lead.untrained, kinds(things)["pixels"]: lead.pixels}
    equals = [f"{name} {measure.told(v)}" for name, v in known.items() if v is not None and v >= lead.point.low]
    if equals:
        told += f", which is not clearly better than {' and '.join(equals)}"
    finalists = [place for place in places if place.point.rung == lead.point.rung and place is not lead]
    near = [place for place in finalists if place.first == 1]
    if near:
        return f"{told}; too close to call: " + ", ".join(f"{p.method} {told_value(p.point, measure)}" for p in near)
    return f"{told}, clearly ahead of {' and '.join(p.method for p in finalists)}" if finalists else told


def told_value(point: Point, measure: Measure) -> str:
    """A value with its interval, where that is known: 71.2 ± 1.1."""
    known = f" ± {measure.told((point.high - point.low) / 2)}" if point.high > point.low else ""
    return measure.told(point.value) + known


def told_values(place: Place, measure: Measure) -> list[str]:
    """What a method came to, and where that is an accuracy, what the untrained encoder and raw pixels came to."""
    baselines = (place.untrained, place.pixels) if measure.labelled else ()
    return [told_value(place.point, measure), *("" if base is None else measure.told(base) for base in baselines)]


def budget_told(rung: Rung) -> str:
    """What every method got in a rung."""
    return duration(rung.budget) if rung.budget else f"{rung.epochs:g} epoch(s)"


def table(comparison: Comparison) -> Table:
    """The ranking for a terminal."""
    measure = Measure(comparison.measure, comparison.labelled)
    budgets = {rung.rung: budget_told(rung) for rung in comparison.rungs}
    heads = [measure.name, *(["untrained", kinds(comparison.things)["pixels"]] if measure.labelled else [])]
    shown = Table("rank", "may be", "method", *heads, "each got", title="95 % intervals")
    for place in comparison.ranking:
        values = told_values(place, measure)
        shown.add_row(str(place.rank), place.span, place.method, *values, budgets[place.point.rung])
    return shown


def notes(comparison: Comparison) -> list[str]:
    """What the ranking does not show: runs that failed or look unwell, and encoders that differ."""
    told = [f"{place.method}: {place.note}" for place in comparison.ranking if place.note]
    if comparison.seeds == 1:
        told.append("with a single seed the chance of training is not known; --seeds 2 tells something of it")
    known = {place.method for place in comparison.ranking}
    told += dict.fromkeys(f"{ran.method} failed: {ran.reason}" for ran in comparison.failed if ran.method not in known)
    if len({place.encoder for place in comparison.ranking}) > 1:
        told += [f"{p.method} needs tokens, so its encoder is {p.encoder}" for p in comparison.ranking if p.tokens]
    return told
