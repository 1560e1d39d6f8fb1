"""How tables are printed for people: as wide as their terminal, and as wide as a table where there is none."""

from rich.console import Console
from rich.table import Table

WIDE = 1000  # characters, where no terminal says how many there are: whoever reads a file or a pipe wants all of it


def folded(table: Table) -> Table:
    """The same, going on in another line where a terminal is too narrow for it, and cutting no word off."""
    for column in table.columns:
        column.overflow = "fold"
    return table


def printer(stderr: bool = False) -> Console:
    """Standard output, or standard error; names in it are shown as they are."""
    made = Console(stderr=stderr, highlight=False, emoji=False)
    if not made.is_terminal:
        made.width = WIDE
    return made
