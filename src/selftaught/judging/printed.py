"""All accuracies of an evaluation as a table for a terminal."""

from rich.markup import escape
from rich.table import Table

from selftaught.judging import units
from selftaught.judging.result import Evaluation, kinds, others_of, settings_of
from selftaught.system.printing import folded


def table(evaluation: Evaluation) -> Table:
    """In points; where another measure stands first, the others below it."""
    first = evaluation.measure
    called = {k: name for k, name in kinds(evaluation.things).items() if any(r.features == k for r in evaluation.rows)}
    of = f", on {evaluation.test_samples or evaluation.train_samples:,} {evaluation.things} {evaluation.grouped}"
    title, more = (
        f"{units.called(first)}, 95 % intervals{of * bool(evaluation.grouped)}",
        ["measure"] * (first != "accuracy"),
    )
    heads = ("probe", "labels", *more, *map(escape, called.values()))  # what others wrote may look like markup
    shown = Table(*heads, title=escape(title), caption=escape(evaluation.remark) or None)
    for probe, labels in settings_of(evaluation.rows):
        group = {r.features: r for r in evaluation.rows if (r.probe, r.labels) == (probe, labels)}
        best = max(row.accuracy for row in group.values())
        cells = {kind: f"[bold]{r.shown()}[/]" if r.accuracy == best else r.shown() for kind, r in group.items()}
        before = map(escape, (probe, labels, *map(units.called, [first] * len(more))))
        shown.add_row(*before, *(cells.get(kind, "") for kind in called))
        for measure in others_of(group.values()) if more else ():
            known = [group[kind].measures.get(measure) if kind in group else None for kind in called]
            values = ["" if value is None else units.written(measure, value) for value in known]
            shown.add_row("", "", escape(units.called(measure)), *values)
    return folded(shown)
