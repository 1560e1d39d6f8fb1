"""The samples most like some others: what `judging/find.py` finds, as a table and a page."""

from torch import nn

from selftaught.commands.writing import refuse_taken, write
from selftaught.contracts import modality
from selftaught.judging.find import Found
from selftaught.judging.find import find as found_of
from selftaught.reporting.gallery import page_of, shelf
from selftaught.run.recipes import Find
from selftaught.system.text import printable

COLUMNS = ("path", "rank", "similarity", "like")


def find(recipe: Find, module: nn.Module | None = None) -> Found:
    """Search, and write --out and --page where they are named. Raises UsageError and DataError."""
    refuse_taken(recipe)
    found = found_of(recipe, module)
    rows = ([fact[name] for name in COLUMNS] for fact in found.facts())
    write(recipe, COLUMNS, rows, lambda: _page(recipe, found))
    return found


def lines(found: Found) -> list[str]:
    """A line for each, for people."""
    return [f"{fact['similarity']:.3f}  {printable(fact['path'])}" for fact in found.facts()]


def _page(recipe: Find, found: Found) -> str:
    things = modality.named(found.samples.preparation.modality).THINGS
    several = sum(len(one.rows) for one in found.asked) > 1
    asked = [shelf("Like these", "", one.samples, [(row, "") for row in one.rows.tolist()]) for one in found.asked]
    said = [
        f"{fact['similarity']:.3f}" + (f", like {printable(fact['like'])}" if several else "") for fact in found.facts()
    ]
    near = shelf("Most alike", "by the cosine of features", found.samples, list(zip(found.near.rows.tolist(), said)))
    return page_of(f"{len(said):,} {things} of {printable(recipe.data)}", [], [*asked, near])
