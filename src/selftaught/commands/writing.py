"""A table and a page, --out and --page, as several commands write them."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from selftaught.run.recipes import Find, Odd, Select
from selftaught.system import outputs
from selftaught.system.written import nobodys

# A person fills the table in, or sorts through it: it is replaced only where that is said.
KINDS = {"--out": {".csv": nobodys}, "--page": {".html": nobodys}}


def refuse_taken(recipe: Find | Odd | Select) -> None:
    """Raise UsageError where either is there already, or is not called as it must be; before any work."""
    outputs.refuse_taken({"--out": recipe.out, "--page": recipe.page}, recipe.overwrite, KINDS)


def write(
    recipe: Find | Odd | Select, header: Sequence[str], rows: Iterable[Sequence[Any]], page: Callable[[], str]
) -> None:
    """Write the table and the page, where they are named. Raises UsageError for what has come meanwhile."""
    if recipe.out:
        with outputs.brought(Path(recipe.out), "--out", recipe.overwrite) as temporary:
            outputs.write_table(temporary, header, rows)
    if recipe.page:
        with outputs.brought(Path(recipe.page), "--page", recipe.overwrite) as temporary:
            temporary.write_text(page(), encoding="utf-8")
