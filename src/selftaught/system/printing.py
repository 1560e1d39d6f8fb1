"""How tables are printed for people: as wide as their terminal, and as wide as a table where there is none."""

import re
from typing import IO, Any, cast

from rich.console import Console
from rich.table import Table

WIDE = 1000  # characters, where no terminal says how many there are: whoever reads a file or a pipe wants all of it


def folded(table: Table) -> Table:
    """The same, going on in another line where a terminal is too narrow for it, and cutting no word off."""
    for column in table.columns:
        column.overflow = "fold"
    return table


class Trimmed:
    """What a console writes into a file or a pipe, without the blanks by which it fills lines."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(re.sub(r" +$", "", text, flags=re.MULTILINE))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def printer(stderr: bool = False) -> Console:
    """Standard output, or standard error; names in it are shown as they are."""
    made = Console(stderr=stderr, highlight=False, emoji=False)
    if made.is_terminal:
        return made
    return Console(file=cast(IO[str], Trimmed(made.file)), width=WIDE, highlight=False, emoji=False)
