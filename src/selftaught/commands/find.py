"""The samples most like some others: what `judging/find.py` finds, as a table and a page."""

from pathlib import Path

from torch import nn

from selftaught.contracts import modality
from selftaught.judging.find import Found
from selftaught.judging.find import find as found_of
from selftaught.reporting.gallery import page_of, shelf
from selftaught.run.recipes import Find
from selftaught.system.outputs import brought, refuse_taken, write_table
from selftaught.system.text import printable

COLUMNS = ("path", "rank", "similarity", "like")


def find(recipe: Find, module: nn.Module | None = None) -> Found:
    """Search, and write --out and --page where they are named. Raises UsageError and DataError."""
    files, endings = {"--out": recipe.out, "--page": recipe.page}, {"--out": ".csv", "--page": ".html"}
    refuse_taken(files, recipe.overwrite, endings)
    found = found_of(recipe, module)
    if recipe.out:
        with brought(Path(recipe.out), "--out", recipe.overwrite) as temporary:
            write_table(temporary, COLUMNS, ([fact[name] for name in COLUMNS] for fact in found.facts()))
    if recipe.page:
        with brought(Path(recipe.page), "--page", recipe.overwrite) as temporary:
            temporary.write_text(_page(recipe, found), encoding="utf-8")
    return found


def _page(recipe: Find, found: Found) -> str:
    things = modality.named(found.samples.preparation.modality).THINGS
    several = sum(len(one.rows) for one in found.asked) > 1
    asked = [shelf("Like these", "", one.samples, [(row, "") for row in one.rows.tolist()]) for one in found.asked]
    said = [
        f"{fact['similarity']:.3f}" + (f", like {printable(fact['like'])}" if several else "") for fact in found.facts()
    ]
    near = shelf("Most alike", "by the cosine of features", found.samples, list(zip(found.near.rows.tolist(), said)))
    return page_of(f"{len(said):,} {things} of {printable(recipe.data)}", [], [*asked, near])
