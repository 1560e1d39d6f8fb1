"""A table of series as its cells, and its columns as numbers."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from selftaught.data.sources import parquet
from selftaught.data.sources.cells import NO_VALUE, nothing_in, read_cells
from selftaught.data.sources.labels import named_like
from selftaught.data.sources.numbers import Column, has_names, number_in_each, signed_among
from selftaught.system.errors import DataError
from selftaught.system.text import as_number, printable

TIME = ("time", "timestamp", "datetime", "date")
_UNIT = re.compile(r"(?:[\s_/]+[\[(]?|[\[(])\s*(?:[mnuµμ]?s|sec|seconds?|min|h|utc|iso)\s*[\])]?$", re.IGNORECASE)
_CALLED = (*TIME, "datum", "uhrzeit", "zeit", "zeitstempel")
_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d")
SWITCHES = {"true": 1.0, "false": 0.0, "nan": np.nan}


def is_called_time(name: str) -> bool:
    """Whether a column may well hold times, by its name and the unit behind it."""
    plain = _UNIT.sub("", name.strip())
    return plain == "t" or plain.lower() in _CALLED  # a T is a temperature


class Columns(NamedTuple):
    """A table: the cells of every column by its name."""

    file: str
    cells: dict[str, list[str]]
    parting: str = ""  # the character between cells, where they come from a text file
    notes: Sequence[str] = ()  # of how it was read
    lines: Sequence[int] = ()  # the number of each line in its file, where it has lines

    @property
    def comma(self) -> bool:
        """Whether decimals may follow commas in any cell."""
        return self.parting == ";"

    def numbers(self, name: str) -> Column:
        """A column as numbers, NaN where it holds nothing. Raises DataError."""
        cells = [cell.strip() for cell in self.cells[name]]
        nothing = nothing_in(set(cells), NO_VALUE)
        known = ["nan" if cell.lower() in nothing else cell for cell in cells]
        if not any("_" in cell for cell in known):  # which numpy reads over, as Python does
            with suppress(ValueError):
                plain = [cell.replace(",", ".") for cell in known] if self.comma else known
                return Column(np.array(plain, np.float64))
        if {cell.lower() for cell in known} <= SWITCHES.keys():
            return Column(np.array([SWITCHES[cell.lower()] for cell in known]))
        commas, read = number_in_each({*known}, self.parting)
        if any(number is None for number in read.values()):
            raise self._no_number(name, known, read)
        said = signed_among(known, commas)
        return Column(np.array([read[cell] for cell in known], np.float64), commas, said)

    def _no_number(self, name: str, known: Sequence[str], read: dict[str, float | None]) -> DataError:
        row, cell = next((row, cell) for row, cell in enumerate(known) if read[cell] is None)
        held = f"holds '{printable(cell)}' {self.where(row)}, which is no number"
        text = all(number is None for cell, number in read.items() if cell != "nan")
        clock = is_called_time(name) or _DATE.match(cell)
        way = "call it 'time' if it is the time" if clock else f"--label-column {printable(name)} leaves it out" * text
        way = f"; {way}" if way else ""
        return DataError(f"{self.file}: channel '{printable(name)}' {held}{way}")

    def where(self, row: int) -> str:
        """The place of a row, for people."""
        return f"in line {self.lines[row]:,}" if self.lines else f"in row {row + 1:,}"

    def found(self, *names: str) -> str | None:
        """The column of one of these names, in whatever letters."""
        return next(iter(named_like([*self.cells], names)), None)

    def __len__(self) -> int:
        return len(next(iter(self.cells.values()), []))


def read_columns(path: Path) -> Columns:
    """The table of a .csv, .tsv or .parquet. Raises DataError."""
    shown = printable(path.name)
    if path.suffix.lower() == ".parquet":
        header, cells = parquet.columns(path)
        return Columns(shown, dict(zip(header, cells)))
    lines, parting = read_cells(path)
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line]
    if not numbered:
        raise DataError(f"{shown} is empty")
    first = numbered[0][1]
    if odd := next(((number, line) for number, line in numbered if len(line) != len(first)), None):
        raise DataError(f"{shown}, line {odd[0]:,} has {len(odd[1])} cells, the first has {len(first)}")
    count = sum(as_number(cell) is not None for cell in first)
    rows = [line for _, line in numbered]
    named = has_names(rows, parting, rising=True) if len(rows) > 1 else count < len(first)
    notes = []
    if not named:
        notes.append("its first line is a row as well: columns have no names, and are called '0' and so on")
    elif 2 * count >= len(first):
        notes.append("its first line is taken for the names of its columns, though most of it are numbers")
    header = [cell.strip() for cell in first] if named else [str(place) for place in range(len(first))]
    if twice := [name for name in header if header.count(name) > 1]:
        raise DataError(f"{shown} has two columns named '{printable(twice[0])}'")
    numbered = numbered[1:] if named else numbered
    if not numbered:
        raise DataError(f"{shown} holds no lines but the names of its columns")
    cells = [[*column] for column in zip(*(line for _, line in numbered))]
    return Columns(shown, dict(zip(header, cells)), parting, notes, [number for number, _ in numbered])
