"""Which samples to label first: the choice of `judging/select.py`, as a table to fill in and a page."""

from torch import nn

from selftaught.commands.writing import refuse_taken, write
from selftaught.judging.select import Selection
from selftaught.judging.select import select as chosen
from selftaught.reporting.gallery import page_of, shelf
from selftaught.run.recipes import Select
from selftaught.system.text import printable

LABEL = "label"  # the column that is for people


def select(recipe: Select, module: nn.Module | None = None) -> Selection:
    """Choose samples and write --out, and --page where one is named. Raises UsageError and DataError."""
    refuse_taken(recipe)
    found = chosen(recipe, module)
    rows = ([*fact.values(), ""] for fact in found.facts())
    write(recipe, ["path", *found.columns, LABEL], rows, lambda: _page(recipe, found))
    return found


def _page(recipe: Select, found: Selection) -> str:
    picks = [(pick.row, line) for pick, line in zip(found.picks, map(_said, found.facts()), strict=True)]
    note = f"--by {recipe.by}: {found.by.digest}; the most wanted first"
    return page_of(
        f"{len(picks):,} {found.data.kind.THINGS} of {printable(recipe.data)} to label first",
        [f"{found.data.samples.count:,} {found.data.kind.THINGS}, {found.labelled:,} labelled already"],
        [shelf("To label", note, found.data.samples, picks)],
    )


def _said(fact: dict) -> str:
    told = ((name, value) for name, value in fact.items() if name != "path" and value is not None)
    return ", ".join(f"{name} {value:g}" for name, value in told)
