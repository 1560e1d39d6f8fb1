"""The ranking of a comparison: methods in order, each with its noise."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from rich.table import Table

from selftaught.judging import units
from selftaught.judging.comparison import Comparison, Place, Point, Ran, Rung
from selftaught.judging.estimates import Estimate, Measure, better, drawn_in, estimates, named, over
from selftaught.judging.result import kinds
from selftaught.methods import registry
from selftaught.system.printing import folded
from selftaught.system.text import duration


def ranked(runs: Sequence[Ran], measure: Measure) -> list[Place]:
    """Places, best first: whoever came further is before whoever was dropped, and who is better in its last rung.

    Where runs were judged on folds of the training labels and on a test set, the folds put them in order, and what is
    told is of the test set. The best of many is best by luck as well, so accuracies are drawn in: see `drawn_in`.
    """
    apart = measure.labelled and all(ran.held_out for ran in runs if ran.state == "done")
    rungs = sorted({ran.rung for ran in runs})
    by_rung = {rung: estimates(runs, rung, measure) for rung in rungs}
    if measure.labelled:
        by_rung = {rung: drawn_in(estimated, apart) for rung, estimated in by_rung.items()}
    chosen = {rung: estimates(runs, rung, measure, held_out=apart) for rung in rungs}
    order = dict.fromkeys(method for rung in reversed(rungs) for method in chosen[rung])
    return [_place(rank, method, runs, by_rung, measure, apart) for rank, method in enumerate(order, 1)]


def _place(
    rank: int, method: str, runs: Sequence[Ran], by_rung: dict[int, dict[str, Estimate]], measure: Measure, apart: bool
) -> Place:
    """That of a method, which it has by the last rung that it was in."""
    in_rungs = {rung: estimated[method] for rung, estimated in by_rung.items() if method in estimated}
    rung = max(in_rungs)
    now, others = in_rungs[rung], {name: other for name, other in by_rung[rung].items() if name != method}
    behind = [name for name, other in others.items() if better(other, now, len(others) + 1)]
    own = [ran for ran in runs if ran.method == method and ran.state == "done"]
    at_last = [ran for ran in own if ran.rung == rung]
    where = registry.places().get(method.partition(" ")[0])  # none where a plug-in has gone since
    methods, most = len({ran.method for ran in runs}), 1.0 if measure.is_share else math.inf
    return Place(
        rank=rank,
        first=len(behind) + 1,
        last=len(others) + 1 - sum(better(now, other, len(others) + 1) for other in others.values()),
        behind=behind,
        method=method,
        family=where.family if where else "",
        kind=where.kind if where else "",
        encoder=named(at_last[0].encoder),
        tokens=at_last[0].tokens,
        points=[_point(own, at, estimate, measure) for at, estimate in in_rungs.items()],
        untrained=_baseline(at_last, "untrained"),
        pixels=_baseline(at_last, "pixels"),
        usual=_baseline(at_last, "usual"),
        samples=round(float(np.mean([ran.samples for ran in at_last]))),
        note=_note(runs, method, at_last),
        over=over(now, at_last, methods, 1 if apart else methods, most) if measure.labelled else [],
    )


def _point(own: Sequence[Ran], rung: int, estimate: Estimate, measure: Measure) -> Point:
    seconds = [ran.seconds for ran in own if ran.rung == rung]
    low, high = estimate.interval
    if not measure.labelled and math.isinf(low):  # nothing to show of it
        low = high = estimate.shown
    if measure.labelled:
        low, high = max(0.0, low) if measure.is_share else low, min(1.0, high)
    return Point(
        rung=rung,
        minutes=float(np.mean(seconds)) / 60,
        value=estimate.shown,
        low=low,
        high=high,
        seeds=estimate.seeds,
        measured=estimate.value if estimate.shown != estimate.value else None,
    )


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
    lead, how = places[0], measure.called
    if lead.point.measured is not None:
        how += f", measured {measure.shown(lead.point.measured)}, and drawn to the others by what is luck"
    led = f"{lead.method} leads with" if not lead.behind else f"the folds put {lead.method} first, which comes to"
    line = f"{led} {with_interval(lead.point, measure)} ({how})"
    if beside := _not_beaten(lead, measure, things):
        line += f", which is {beside}"
    finalists = [place for place in places if place.point.rung == lead.point.rung and place is not lead]
    if finalists and lead.last == 1:
        return f"{line}, clearly ahead of {' and '.join(place.method for place in finalists)}"
    ahead = [place for place in finalists if place.method in lead.behind]  # the folds chose, and the test set tells
    near = [place for place in finalists if place not in ahead and lead.method not in place.behind]
    for said, those in (("clearly better on the test set", ahead), ("too close to call", near)):
        if those:
            line += f"; {said}: " + ", ".join(f"{p.method} {with_interval(p.point, measure)}" for p in those)
    return line


def _not_beaten(lead: Place, measure: Measure, things: str) -> str:
    """What the first is not clearly better than, of what learnt nothing, by how clear it is; nothing where all are."""
    called = kinds(things)
    those: dict[str, list[str]] = {"clearly worse than": [], "lower than": [], "not clearly better than": []}
    for beside in lead.over:
        if beside.low <= 0:
            lower = "clearly worse than" if beside.high < 0 else "lower than"
            how = lower if beside.gain < 0 else "not clearly better than"
            those[how].append(f"{called[beside.against]} {measure.shown(getattr(lead, beside.against) or 0.0)}")
    by_luck = {"lower than": " by what may be luck"}
    return " and ".join(f"{how} {' and '.join(named)}{by_luck.get(how, '')}" for how, named in those.items() if named)


def with_interval(point: Point, measure: Measure) -> str:
    """A value with its interval, where that is known: 71.2 ± 1.1."""
    if point.high <= point.low:
        return measure.shown(point.value)
    told = point.value, point.low, point.high
    return units.within(measure.of, *told) if measure.labelled else units.between(measure.shown, *told)


def baselines(comparison: Comparison) -> dict[str, str]:
    """What stands beside accuracies, by its field of a place, and what it is called; `usual` where there is any."""
    if not comparison.labelled:
        return {}
    usual = any(place.usual is not None for place in comparison.ranking)
    called = kinds(comparison.things)
    return {kind: called[kind] for kind in ("untrained", "pixels", *["usual"] * usual)}


def values_of(place: Place, measure: Measure, beside: Iterable[str]) -> list[str]:
    """What a method came to, and what each of the `beside`, fields of a place, came to."""
    found = [getattr(place, kind) for kind in beside]
    return [with_interval(place.point, measure), *("" if base is None else measure.shown(base) for base in found)]


def budget_of(rung: Rung) -> str:
    """What every method got in a rung, for people."""
    return duration(rung.budget) if rung.budget else f"{rung.epochs:g} epoch{'s' * (rung.epochs != 1)}"


def table(comparison: Comparison) -> Table:
    """The ranking for a terminal."""
    measure = Measure(comparison.measure, comparison.labelled, comparison.of)
    budgets = {rung.rung: budget_of(rung) for rung in comparison.rungs}
    plain = measure.labelled and comparison.of == "accuracy"
    head, beside = measure.name if plain else measure.called, baselines(comparison)
    shown = Table("rank", "may be", "method", head, *beside.values(), "each got", title="95 % intervals")
    for place in comparison.ranking:
        values = values_of(place, measure, beside)
        shown.add_row(str(place.rank), place.span, place.method, *values, budgets[place.point.rung])
    return folded(shown)


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
