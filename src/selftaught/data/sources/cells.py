"""The cells of a text file: which character parts them, and which of them hold nothing."""

import csv
import io
from collections.abc import Collection, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from selftaught.data.sources.source import reading
from selftaught.system.reading import text_in

# Of two that part all lines alike the first is taken: a comma may well stand in a number, a tab in nothing.
PARTING = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas"}
LOOKED_AT = 200  # lines
HEAD = 1 << 18  # characters that such lines are taken from
# As statistics programs write that nothing is known; of labels only these, letter by letter: "none" may be a class.
NOTHING = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "<NA>", "null", "NULL", "None", "-", ".")
NO_VALUE = frozenset({*map(str.lower, NOTHING), "#na", "?"})  # of other cells, in any letters


class Cells(NamedTuple):
    """All lines of a file."""

    lines: list[list[str]]
    parting: str  # the character between cells


def read_cells(file: Path, names: bool = False, damaged: bool = False) -> Cells:
    """The cells of every line; what parts them is found out. Raises DataError.

    names: whether they may be names of files, of which bytes that are no text are kept, as Python keeps them; damaged:
    whether such bytes are kept of anything, by somebody who looks at each cell.
    """
    with reading(str(file), " as text"):
        text = text_in(file, "surrogateescape" if names or damaged else "strict")
        parting = parting_of(text, keyed=names)
        return Cells(list(csv.reader(io.StringIO(text, newline=""), delimiter=parting)), parting)


def parting_of(text: str, keyed: bool = False) -> str:
    """The character that parts most of the first lines into as many cells as the first one; else a comma.

    keyed: whether lines begin with a name, so that of two it is the one that ends it: `a.png,cat;dog`, `a.png;1,5`.
    """
    first = text.lstrip().split("\n", 1)[0]
    marks = sorted(PARTING, key=lambda mark: first.find(mark) % (len(first) + 1)) if keyed else PARTING
    shares = {mark: _alike(text, mark) for mark in marks}
    return max(shares, key=lambda mark: shares[mark]) if any(shares.values()) else ","


def _alike(text: str, mark: str) -> float:
    """The share of lines that a mark parts into as many cells as the first; 0 where it parts that into none."""
    lines = first_lines(text, mark)
    if not lines or len(lines[0]) < 2:
        return 0.0
    return sum(len(line) == len(lines[0]) for line in lines) / len(lines)


def first_lines(text: str, mark: str) -> list[list[str]]:
    """The first lines that are not empty, and whole."""
    lines: list[list[str]] = []
    with suppress(csv.Error):
        head = csv.reader(io.StringIO(text[:HEAD], newline=""), delimiter=mark)
        lines = [line for line in islice(head, LOOKED_AT) if line]
    return lines[:-1] if len(text) > HEAD and 1 < len(lines) < LOOKED_AT else lines


def nothing_in(cells: Collection[str], marks: Sequence[str] | frozenset[str] = NOTHING) -> frozenset[str]:
    """Which of the marks say here that there is nothing: a minus does not where a plus stands beside it."""
    return frozenset(marks) - ({"-"} if "+" in cells else set())
