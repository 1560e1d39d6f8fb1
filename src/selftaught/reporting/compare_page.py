"""The page of a comparison: the ranking, accuracy against minutes, and what each method got."""

from pathlib import Path

from selftaught.judging import units
from selftaught.judging.comparison import Comparison
from selftaught.judging.estimates import Measure
from selftaught.judging.ranking import baselines, budget_of, with_interval
from selftaught.reporting.charts import interval_curves
from selftaught.reporting.page import rendered
from selftaught.system.files import write_atomically
from selftaught.system.text import printable


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
        printable=printable,
    )
    write_atomically(out, page)
