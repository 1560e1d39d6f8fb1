"""Numbers as people write them in tables: 1,234.5 or 1.234,5, $3, 3 %, <0.5, and what is no number."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from selftaught.data.sources.cells import NO_VALUE, nothing_in
from selftaught.system.text import as_number, printable

NEARLY = 0.95  # share of cells that are numbers, from which a column is one of numbers
HALF = 0.5  # share from which it is told that a column of text is not
SHOWN = 3  # cells in a note
NOTED = 5  # columns that a note is written of

# A bound is taken for the value, as of what lies below what an instrument can tell.
_SIGN, _MONEY, _DIGITS = r"(?:[<>≤≥~]=?)?\s*([+-]?)\s*", r"\s*[%$€£¥]?", r"(\d[\d.,'’\s]*|[.,]\d+)(e[+-]?\d+)?"
_WRITTEN = re.compile(f"{_SIGN}{_MONEY}\\s*{_DIGITS}{_MONEY}", re.IGNORECASE)
_POINTED = re.compile(r"(\d{1,3}(?:[,'’\s]\d{3})+|\d+)?(?:\.(\d*))?")
_COMMAED = re.compile(r"(\d{1,3}(?:[.'’\s]\d{3})+|\d+)?(?:,(\d*))?")
_DECIMAL_COMMA = re.compile(r"[^,]*\d,\d+[^\d.,]*")
_THOUSANDS = re.compile(r"[^,\d]*\d{1,3}(,\d{3})+[^\d.,]*")
COUNTED, RISING = 3, 8  # numbers in a first line, from which they are names if they count the columns, or only rise
STEADY = 0.05  # of a step, by which others may differ where numbers rise evenly


class Column(NamedTuple):
    """Cells as numbers (N,), NaN where there is none, or as text, "nan" where there is none; and what to say of it."""

    values: NDArray[Any]
    commas: bool = False  # whether decimals were written with commas
    said: str = ""
    odd: tuple[str, ...] = ()  # of numbers, the cells that hold something and are none, the commonest first


def cleaned(cells: Sequence[str]) -> list[str]:
    """Cells without space around them, "nan" where they hold nothing."""
    stripped = [cell.strip() for cell in cells]
    nothing = nothing_in(set(stripped), NO_VALUE)
    return ["nan" if cell.lower() in nothing else cell for cell in stripped]


def column_of(cells: Sequence[str], parting: str = "") -> Column:
    """Numbers where nearly every cell that holds anything is one, else text.

    parting: the character between cells where they come from a text file; where it is a semicolon, commas are decimal.
    """
    given = cleaned(cells)
    if not any("_" in cell for cell in given):  # which numpy reads over, as Python does
        with suppress(ValueError):
            return Column(np.array(given, dtype=np.float64))
    return _by_hand(given, parting)


def as_learnt(cells: Sequence[str], parting: str, missing: Collection[str]) -> Column:
    """A column of text as an encoder takes it that has learnt numbers from it: cell by cell, however many are none.

    parting: as of `column_of`; missing: cells that were taken for missing then. Text where no cell is a number and some
    are none of these, for which the column may be another one.
    """
    if (values := once_read(cells)) is not None:
        return Column(values, said="cells such as 1_2 are read as 12, as the encoder has learnt them")
    return _by_hand(cleaned(cells), parting, missing)


def notes_of_cells(read: Mapping[str, Column]) -> list[str]:
    """What to say of columns whose cells could be mistaken."""
    said = [f"column '{printable(name)}': {column.said}" for name, column in read.items() if column.said]
    commas = ["its decimals are written with commas"] * any(column.commas for column in read.values())
    return commas + noted(said)


def noted(said: list[str]) -> list[str]:
    """Of what is said of columns one by one the first few lines, and of how many more it could be."""
    return said[:NOTED] + [f"{len(said) - NOTED:,} more columns hold such cells"] * (len(said) > NOTED)


def once_read(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """A column of text as earlier versions read it, which took 1_2 for 12, as Python does; None where it was text."""
    then = [_without_underscores(cell) for cell in cells]
    values = column_of(then).values
    return values if then != [*cells] and values.dtype.kind == "f" else None


def _without_underscores(cell: str) -> str:
    """A cell without underscores, where Python reads a number over them."""
    with suppress(ValueError):
        float(cell)
        return cell.replace("_", "")
    return cell


def _by_hand(given: Sequence[str], parting: str, missing: Collection[str] | None = None) -> Column:
    """missing: what is known to be so, of a column that is one of numbers wherever it holds any."""
    counts = Counter(given)
    total = len(given) - counts.pop("nan", 0)
    commas, read = number_in_each(counts, parting)
    odd = {cell: count for cell, count in counts.most_common() if read[cell] is None}
    share = 1 - sum(odd.values()) / total
    if missing is not None and not share and not odd.keys() <= {*missing}:
        return Column(np.array(given, dtype=np.str_), said=f"text where numbers were: {cells_such_as(odd)}")
    if missing is None and share < NEARLY:
        said = f"text, as only {share:.0%} of its cells are numbers: not {cells_such_as(odd)}" if share >= HALF else ""
        return Column(np.array(given, dtype=np.str_), said=said)
    values = np.array([read.get(cell) for cell in given], dtype=np.float64)  # None is NaN
    signed = signed_among([cell for cell in given if read.get(cell) is not None], commas)
    notes = [signed] * bool(signed)
    notes += [f"no numbers, and so taken for missing: {cells_such_as(odd)}"] * bool(odd)
    return Column(values, commas, "; ".join(notes), tuple(odd))


def number_in_each(cells: Iterable[str], parting: str) -> tuple[bool, dict[str, float | None]]:
    """Whether decimals follow commas in cells of one column, and the number that each holds, None where it has none."""
    different = [*dict.fromkeys(cells)]
    commas = any(_has_decimal_comma(cell, parting) for cell in different)
    return commas, {cell: number_in(cell, commas) for cell in different}


def signed_among(cells: Iterable[str], commas: bool) -> str:
    """What to say of cells that hold more than a number alone; empty where none does."""
    signed = {cell: count for cell, count in Counter(cells).items() if not _is_bare(cell, commas)}
    return f"read by their numbers alone: {cells_such_as(signed)}" if signed else ""


def number_in(cell: str, commas: bool = False) -> float | None:
    """The number that a cell holds, with its signs; None where it holds none. `commas`: decimals follow commas."""
    if not (found := _WRITTEN.fullmatch(cell.replace("−", "-"))):
        return as_number(cell)
    sign, digits, power = found.groups(default="")
    parts = (_COMMAED if commas else _POINTED).fullmatch(digits.strip())
    if not parts or not digits.strip():
        return None if commas else as_number(cell)
    whole = re.sub(r"\D", "", parts[1] or "0")  # \d is of any script, and so is float
    return float(f"{sign}{whole}.{parts[2] or 0}{power}")


def _has_decimal_comma(cell: str, parting: str) -> bool:
    if not _DECIMAL_COMMA.fullmatch(cell) or number_in(cell, True) is None:
        return False
    return parting == ";" or not _THOUSANDS.fullmatch(cell)


def _is_bare(cell: str, commas: bool) -> bool:
    return as_number(cell.replace(",", ".") if commas else cell) is not None


def cells_such_as(counts: Mapping[str, int]) -> str:
    """How many cells, and the first few of them."""
    total = sum(counts.values())
    named = ", ".join(repr(printable(cell)) for cell in list(counts)[:SHOWN])
    return f"{total:,} cell{'s' * (total > 1)} such as {named}"


def has_names(lines: Sequence[Sequence[str]], parting: str, rising: bool = False) -> bool:
    """Whether the first line names columns: a row has numbers, and text that is found again in the rows below.

    rising: whether the numbers of a row may well rise, as a measurement over time does: names rise evenly then.
    """
    first, below = lines[0], lines[1:]
    numbers = [_in_either(cell.strip(), parting) for cell in first]
    known = [number for number in numbers if number is not None]
    if not below or 2 * len(known) < len(first) or _counts_columns(known, rising):
        return True
    texts = [place for place, number in enumerate(numbers) if number is None and cleaned([first[place]]) != ["nan"]]
    again = (any(len(line) > place and line[place] == first[place] for line in below) for place in texts)
    return not all(again)


def _in_either(cell: str, parting: str) -> float | None:
    """The number in a cell; beside semicolons decimals follow commas, or points as elsewhere."""
    number = number_in(cell, parting == ";")
    return number_in(cell) if number is None else number


def _counts_columns(numbers: Sequence[float], evenly: bool) -> bool:
    """Whether numbers are names: how pandas counts columns, or many that rise, as wavelengths do."""
    steps = [b - a for a, b in pairwise(numbers)]
    rise = all(step > 0 for step in steps)
    counted = numbers[:1] in ([0.0], [1.0]) and numbers[-1:] == [numbers[0] + len(numbers) - 1]
    if evenly and rise and steps and max(steps) - min(steps) > STEADY * min(steps):
        return False
    return rise and len(numbers) >= (COUNTED if counted else RISING)
