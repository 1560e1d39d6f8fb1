"""The page of a comparison: the ranking, accuracy against minutes, and what each method got."""

import math
from pathlib import Path

from selftaught.judging import units
from selftaught.judging.comparison import Comparison, Over
from selftaught.judging.estimates import Measure
from selftaught.judging.ranking import baselines, budget_of, with_interval
from selftaught.reporting.charts import interval_curves
from selftaught.reporting.page import rendered
from selftaught.system.files import write_atomically
from selftaught.system.text import number_of, printable


def write_page(comparison: Comparison, out: Path) -> None:
    """Write one self-contained HTML page."""
    measure = Measure(comparison.measure, comparison.labelled, comparison.of)
    scale = measure.scale
    alike = len(comparison.rungs) == 1  # all have had the same time, so that minutes would lay all in one place
    series = {
        place.method: [
            (place.rank if alike else p.minutes, scale * p.value, scale * p.low, scale * p.high) for p in place.points
        ]
        for place in comparison.ranking
    }
    called = measure.called + ", %" * measure.is_share
    along = "rank" if alike else "minutes of training"
    page = rendered(
        "comparison.html",
        comparison=comparison,
        measure=measure,
        called=called,
        units=units,
        chart=interval_curves(
            series, title=f"{called}, {'by' if alike else 'against'} {along}", x_label=along, y_label=called
        ),
        budgets={rung.rung: budget_of(rung) for rung in comparison.rungs},
        value=lambda point: with_interval(point, measure),
        beside=baselines(comparison),
        gains=_gains(comparison, measure),
        number_of=number_of,
        printable=printable,
    )
    write_atomically(out, page)


def _gains(comparison: Comparison, measure: Measure) -> list[str]:
    """What the first has over each that learnt nothing, as it was measured, which the table may have drawn in."""
    if not comparison.ranking:
        return []
    first, methods = comparison.ranking[0], len({ran.method for ran in comparison.runs})
    called, lines = baselines(comparison), list[str]()
    whose = "the first"
    if (measured := first.point.measured) is not None:
        whose += f", measured {measure.shown(measured)},"
    for over in first.over:
        ends = f"{_signed(over.low, measure)} to {_signed(over.high, measure)}"
        ends += f", of whichever of {methods} methods comes first" * (methods > 1)
        if not _bounded(over, measure):
            ends = "no interval is known" + ", with a single seed" * (comparison.seeds == 1)
        unit = "points" if measure.is_share else f"of {units.called(comparison.of)}"
        lines.append(f"Over {called[over.against]} {whose} gains {_signed(over.gain, measure)} {unit} ({ends}).")
    return lines


def _signed(gain: float, measure: Measure) -> str:
    return f"{100 * gain:+.1f}" if measure.is_share else f"{gain:+.3f}"


def _bounded(over: Over, measure: Measure) -> bool:
    """Whether an interval says more than what there can be at all."""
    most = 1.0 if measure.is_share else math.inf
    return over.low > -most or over.high < most
