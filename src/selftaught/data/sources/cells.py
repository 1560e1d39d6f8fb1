"""The cells of a text file: which character parts them, and which of them hold nothing."""

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from selftaught.data.sources.source import reading
from selftaught.system.errors import DataError
from selftaught.system.reading import text_in
from selftaught.system.text import printable

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
        return Cells(list(_lines(text, parting, printable(str(file)))), parting)


def says_anything(line: Sequence[str]) -> bool:
    """Whether any cell holds anything: of rows that were in use once a spreadsheet writes what parts empty cells."""
    return any(map(str.strip, line))


def _lines(text: str, parting: str, shown: str) -> Iterator[list[str]]:
    """The cells of each line. Raises DataError where a quotation mark takes in lines, and nothing shows it was to.

    A cell of several lines stands between two marks, and nothing follows the second. What merely begins with a mark, or
    has text behind the second one, is read for what it is, as long as that stays in its line.
    """
    held: list[str] = []  # lines of the file that the reader has taken for those of one row

    def taken() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            held.append(line)
            yield line

    number, reader = 1, csv.reader(taken(), delimiter=parting)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # a cell of more letters than may be
            raise _unbalanced(held, number, parting, shown, long=True) if len(held) > 1 else error from None
        if len(held) > 1 or (cells and cells[-1].endswith(("\r", "\n"))):
            try:
                list(csv.reader(held, delimiter=parting, strict=True))
            except csv.Error:
                raise _unbalanced(held, number, parting, shown) from None
        number += len(held)
        held.clear()
        yield cells


def _unbalanced(held: Sequence[str], number: int, parting: str, shown: str, long: bool = False) -> DataError:
    """What to say of a row of these lines, from line `number` on, whose quotation marks do not balance.

    long: whether a cell has too many letters, be its mark closed or not.
    """
    row, at = "".join(held), 0
    whole = re.compile(rf'(?:"(?:[^"]|"")*+"|(?!")[^{re.escape(parting)}\r\n]*+){re.escape(parting)}')
    while found := whole.match(row, at):
        at = found.end()
    told = f"{shown}, line {number + row.count(chr(10), 0, at):,}: a cell begins with a quotation mark"
    if long:
        way = "close it where the cell ends, or keep such texts as JSON lines or parquet"
        return DataError(f"{told} and has more than {csv.field_size_limit():,} letters: {way}")
    end = f" and takes in what follows, up to line {number + len(held) - 1:,}" * (len(held) > 1)
    way = "close it there, or, where it is a part of the text, double it and put the cell between marks"
    return DataError(f"{told} that is not closed where the cell ends{end}: {way}")


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
