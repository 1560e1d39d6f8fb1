"""Results as a notebook shows them below a cell: what the terminal says of them, small, in the notebook's own ink."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial, singledispatch
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup
from rich.table import Table
from rich.text import Text

from selftaught.contracts.findings import Findings
from selftaught.judging import ranking, result
from selftaught.judging.comparison import Comparison
from selftaught.judging.find import Found
from selftaught.judging.odd import Oddities
from selftaught.judging.printed import table
from selftaught.judging.result import Evaluation
from selftaught.judging.select import Selection
from selftaught.reporting import check_page
from selftaught.reporting.charts import line_chart
from selftaught.reporting.page import rendered
from selftaught.reporting.run_page import curve, evaluation_of, read, status_of
from selftaught.run.folder import RunFolder
from selftaught.run.records import Facts
from selftaught.system.reading import json_lines, json_object, yaml_in
from selftaught.system.text import duration, printable

ROWS = 10  # of a long list


class Words(NamedTuple):
    """What stands in a place of a table."""

    text: str
    best: bool = False


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is shown of a result, from top to bottom."""

    title: str
    beside: str = ""
    verdicts: Sequence[str] = ()
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[Words]] = ()
    chart: Markup | None = None
    lines: Sequence[str] = ()


@singledispatch
def drawn(shown: Any) -> str | None:
    """A piece of HTML; None for what has no other face than its repr."""
    return None


def _html(cell: Cell) -> str:
    return rendered("cell.html", cell=cell, printable=printable)


@drawn.register
def _(run: RunFolder) -> str:
    """How a run stands, by the files in its folder as far as they can be read."""
    folder = run.folder
    recipe, status = read(folder / "recipe.yaml", yaml_in) or {}, read(folder, status_of) or {}
    facts = read(folder / "data.json", partial(json_object, schema=Facts)) or {}
    judged = read(folder / "evaluation.json", evaluation_of)
    metrics = [line for line in json_lines(folder / "metrics.jsonl")[0] if isinstance(line.get("step"), int)]
    told = {
        "method": " on ".join(_name(recipe.get(part)) for part in ("method", "encoder")),
        "data": f"{recipe.get('data')}: {facts.get('samples', '')}",
        "steps": _steps(status, recipe),
        "folder": folder,
    }
    training = status.get("verdict", "learning")
    unwell = [f"While it trained: {training}"] * (training != "learning")
    loss, chance = curve(metrics, "loss"), status.get("chance")
    reference = ("chance: nothing learnt", float(chance)) if chance else None
    return _html(
        Cell(
            title=f"Run {folder.absolute().name}",
            beside=", ".join(str(words) for key in ("state", "reason") if (words := status.get(key))),
            verdicts=[*unwell, *([judged.verdict] if judged else [])],
            rows=[(Words(name), Words(str(value))) for name, value in told.items()],
            chart=line_chart({"loss": loss}, title="loss", x_label="step", y_label="", reference=reference),
            lines=[] if judged else ["not judged yet: .evaluate(labelled) says whether it helped"],
        )
    )


def _name(part: Any) -> str:
    return str(part.get("name", "?")) if isinstance(part, dict) else "?"


def _steps(status: dict[str, Any], recipe: dict[str, Any]) -> str:
    done, took = status.get("steps"), status.get("seconds")
    if not isinstance(done, int):
        return f"of {recipe.get('steps', '?')}"
    return f"{done:,}" + (f" in {duration(took)}" if isinstance(took, int | float) else "")


@drawn.register
def _(judged: Evaluation) -> str:
    heads, rows = _columns(table(judged))
    lines = [*filter(None, [judged.remark]), *result.doubts(judged)]
    return _html(
        Cell(
            title="Did pre-training help?",
            beside=", ".join(
                filter(None, [f"{judged.run} on {judged.test or judged.train}", judged.grouped, "95 % intervals"])
            ),
            verdicts=judged.verdicts,
            heads=heads,
            rows=rows,
            lines=lines,
        )
    )


@drawn.register
def _(compared: Comparison) -> str:
    heads, rows = _columns(ranking.table(compared))
    lines = [*ranking.notes(compared), f"the page: {Path(compared.out) / 'comparison.html'}"]
    return _html(
        Cell(
            title="Which method learns most?",
            beside=f"{compared.data}, 95 % intervals",
            verdicts=[compared.verdict],
            heads=heads,
            rows=rows,
            lines=lines,
        )
    )


@drawn.register
def _(findings: Findings) -> str:
    told = [(Words(name), Words(text)) for name, text in check_page.lines(findings)]
    counted = [f"{title}: {len(files):,}" for title, files in check_page.sections(findings)]
    ready = [f"Ready for training. {findings.suggested.command}"] if findings.suggested else ["Ready for training."]
    refused = [f"Cannot be used as it is: {problem}" for problem in findings.problems]
    return _html(
        Cell(
            title=f"{findings.count:,} {findings.things}",
            beside=findings.data,
            verdicts=ready if findings.usable else refused,
            rows=told,
            lines=[*findings.notes, *([", ".join(counted)] if counted else [])],
        )
    )


@drawn.register
def _(chosen: Selection) -> str:
    count, things = chosen.data.samples.count, chosen.data.kind.THINGS
    return _html(_listed(f"{len(chosen.picks):,} of {count:,} {things} to label first", chosen.facts()))


@drawn.register
def _(found: Found) -> str:
    return _html(_listed(f"Most alike among {found.samples.count:,}", found.facts()))


@drawn.register
def _(odd: Oddities) -> str:
    counts = ", ".join(f"{count:,} {name}" for name, count in odd.counts().items())
    title = f"What is odd among {odd.data.samples.count:,} {odd.data.kind.THINGS}"
    return _html(_listed(title, odd.facts, beside=counts))


def _listed(title: str, facts: Sequence[dict[str, Any]], beside: str = "") -> Cell:
    """The first of many things, each with the same facts."""
    rows = [[Words(_written(value)) for value in fact.values()] for fact in facts[:ROWS]]
    left = [f"and {len(facts) - ROWS:,} more"] * (len(facts) > ROWS)
    return Cell(title=title, beside=beside, heads=list(facts[0]) if facts else (), rows=rows, lines=left)


def _written(value: Any) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _columns(table: Table) -> tuple[list[str], list[list[Words]]]:
    """Heads and rows of a table for a terminal."""
    rows: Iterable[Sequence[Any]] = zip(*(column.cells for column in table.columns))
    return [str(column.header) for column in table.columns], [[_words(cell) for cell in row] for row in rows]


def _words(cell: Any) -> Words:
    text = Text.from_markup(str(cell), emoji=False)
    return Words(text.plain, any("bold" in str(span.style) for span in text.spans))
