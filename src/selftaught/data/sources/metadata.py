"""What is known of samples beside what they hold: columns of a file, of a table in Python, or of the source itself."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from selftaught.contracts.findings import ColumnFacts
from selftaught.data.sources import handed, parquet
from selftaught.data.sources.cells import nothing_in, read_cells, says_anything
from selftaught.data.sources.contents import Rows
from selftaught.data.sources.labels import (
    BETWEEN,
    KEYS,
    LABELS,
    NO_LABEL,
    Line,
    agreeing,
    finder,
    label_text,
    named_like,
    parted,
)
from selftaught.data.sources.parts import whole_of
from selftaught.data.sources.source import Beside, Source
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import as_number, printable

KEYED = (*KEYS, "id", "index")  # names of a column that says which sample a line is of
FEW = 20  # whole numbers, up to so many of which name things, as scanners are numbered, and measure nothing

Cells = list[str]  # of each sample, "" where nothing is known


@dataclass(frozen=True)
class Column:
    """A column of metadata: what is known of each sample."""

    name: str
    cells: Cells
    numbers: NDArray[np.float64] | None  # (N,), NaN where nothing is known, of what measures something

    @property
    def kind(self) -> Literal["number", "category"]:
        return "category" if self.numbers is None else "number"

    @property
    def missing(self) -> int:
        return sum(not cell for cell in self.cells)

    @property
    def codes(self) -> NDArray[np.int32]:
        """Of each sample the number of its value (N,), those of numbers in their order; -1 where nothing is known."""
        known = np.array([bool(cell) for cell in self.cells], dtype=np.bool_)
        values = np.array(self.cells, dtype=object).astype(str) if self.numbers is None else self.numbers
        codes = np.full(len(self.cells), -1, np.int32)
        codes[known] = np.unique(values[known], return_inverse=True)[1].reshape(-1)
        return codes


def column_of(name: str, cells: Cells) -> Column:
    """A column by its cells: of numbers, of times (seconds), or of names, as which up to FEW whole numbers count."""
    values = [_value(cell) for cell in cells if cell]
    if not values or any(value is None for value in values):
        return Column(name, cells, None)
    if len(set(values)) <= FEW and all(_is_whole(cell) for cell in cells if cell):
        return Column(name, cells, None)
    left = iter(values)
    return Column(name, cells, np.array([next(left) if cell else math.nan for cell in cells], dtype=np.float64))


def _is_whole(cell: str) -> bool:
    number = as_number(cell)
    return number is not None and number.is_integer()  # else it is a time


def _value(cell: str) -> float | None:
    """A number, or the seconds of a time as ISO 8601 has it."""
    if (value := as_number(cell)) is None:
        try:
            time = datetime.fromisoformat(cell)
        except ValueError:
            return None
        value = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    return value if math.isfinite(value) else None


def facts_of(source: Source, metadata: str | None, things: str) -> list[ColumnFacts] | None:
    """What is in each column of `metadata`, and in those beside the samples; None where none is named."""
    if metadata is None:
        return None
    beside = columns_beside(source, metadata, things)
    return [_facts(column_of(name, list(read()))) for name, read in beside.items()]


def _facts(column: Column) -> ColumnFacts:
    known = {cell for cell in column.cells if cell}
    numbers = column.numbers
    low, high = (None, None) if numbers is None else (float(np.nanmin(numbers)), float(np.nanmax(numbers)))
    about: dict[str, Any] = {"kind": column.kind, "missing": column.missing, "distinct": len(known)}
    return ColumnFacts(name=printable(column.name), **about, min=low, max=high)


WAY = "labels never reach pre-training"


def columns_beside(source: Source, metadata: str | None, things: str) -> Beside:
    """The columns of a source, and those of `metadata`, which go first where both have one of a name.

    Each is (N,) in the order of the source. Raises DataError and UsageError.
    """
    own: Beside = {
        name: lambda read=read: _known(read())  # type: ignore[misc]
        for name, read in source.beside().items()
    }
    return {**own, **_columns_of(source, metadata, things)} if metadata else own


def one_column(
    name: str,
    beside: Beside,
    rows: Rows,
    labels: Callable[[], Sequence[str] | None],
    asked: str | None,
    shown: str,
) -> Column:
    """The column of this name, of these rows. Raises UsageError where there is none, or where it holds the labels.

    labels: those of the source, which are compared and go no further; asked: see `refuse_unnamed`.
    """
    refuse_unnamed(name, beside, asked, shown)
    called, of_labels = _called(name), _of_labels(beside, asked)
    cells = _taken(beside[name](), rows)
    if len({*cells} - {""}) < 2:
        raise UsageError(f"{called} tells nothing apart: it holds {_alone(cells)} for all of {shown}")
    told = None if asked == NO_LABEL else labels()
    copied = any(same_parts(cells, _taken(beside[one](), rows)) for one in of_labels if one in beside)
    if copied or (told is not None and _says_labels(cells, _taken(told, rows), several=len(of_labels) > 1)):
        free = f"if these are none, as folders may be, say --label-column {NO_LABEL}"
        raise UsageError(f"{called} parts {shown} as its labels do, and {WAY}: leave it out; {free}")
    return column_of(name, cells)


def refuse_unnamed(name: str, beside: Beside, asked: str | None, shown: str) -> None:
    """Raise UsageError where there is no column of this name, or where its name is that of labels.

    asked: what --label-column says, a column or several by commas, of which "none" means that what looks like labels
    is none.
    """
    called = _called(name)
    if asked != NO_LABEL and (name in (asked, *_of_labels(beside, asked)) or named_like([name], LABELS)):
        raise UsageError(f"{called} is named as the labels of {shown}, and {WAY}: leave it out")
    if name not in beside:
        known = ", ".join(map(printable, list(beside)[:20])) or "none; name a file with --metadata"
        raise UsageError(f"there is no {called} for {shown}; there are: {known}")


def _called(name: str) -> str:
    return f"column '{printable(name)}' of metadata"


def _of_labels(beside: Beside, asked: str | None) -> list[str]:
    return [] if asked is None or asked == NO_LABEL else parted(list(beside), asked)


def _taken(cells: Sequence[str], rows: Rows) -> Cells:
    return [cells[row] for row in rows.tolist()]


def _alone(cells: Cells) -> str:
    held = next((cell for cell in cells if cell), None)
    return "nothing" if held is None else repr(printable(held))


def _says_labels(cells: Cells, labels: Cells, several: bool) -> bool:
    """Whether a column says the same as labels do, or as one of `several` that a sample may have at a time."""
    several = several or any(BETWEEN in label for label in labels)
    return same_parts(cells, labels) or (several and _says_one_of(cells, labels))


def _says_one_of(cells: Cells, labels: Cells) -> bool:
    """Whether a column of two values tells which samples have a certain label, and which have not."""
    both = [(cell, label) for cell, label in zip(cells, labels) if cell and label]
    whole = Counter(cell for cell, _ in both)
    held = Counter((name, cell) for cell, label in both for name in {*label.split(BETWEEN)} if name)
    return len(whole) == 2 and any(
        count == whole[cell] and all(one == cell or (name, one) not in held for one in whole)
        for (name, cell), count in held.items()
    )


def same_parts(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two columns say the same by whatever names, of all of which both say something."""
    both = [(a, b) for a, b in zip(one, other) if a and b]
    pairs = {*both}
    if len(pairs) == len(both):  # all differ, as measured numbers do: only the very same say the same
        return bool(both) and all(a == b for a, b in both)
    return len(pairs) > 1 and len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _known(cells: Sequence[str]) -> Cells:
    """Cells without what says that nothing is known."""
    nothing = nothing_in({cell.strip() for cell in cells})
    return ["" if (known := cell.strip()) in nothing else known for cell in cells]


def _columns_of(source: Source, metadata: str, things: str) -> Mapping[str, Callable[[], Cells]]:
    """The columns of a file, or of a table in Python, by the samples that its lines name."""
    shown, header, cells = _read(metadata)
    key = next(iter(named_like(header, KEYED)), None)
    in_python = metadata.startswith(handed.MARK)
    key = header[0] if key is None and not in_python else key
    names = [str(row) for row in range(len(cells[0]))] if key is None else cells[header.index(key)]
    rows = _rows(names, source, shown, things, key)

    def read(name: str) -> Cells:
        lines = [Line(row + 2, source.keys[found], cells[header.index(name)][row]) for row, found in rows]
        known = _known([line.label for line in lines])
        said = agreeing((line._replace(label=cell) for line, cell in zip(lines, known)), shown)
        return [said.get(sample, "") for sample in source.keys]

    return {name: lambda name=name: read(name) for name in header if name != key}  # type: ignore[misc]


def _rows(names: Sequence[str], source: Source, shown: str, things: str, key: str | None) -> list[tuple[int, int]]:
    """Lines and the samples that they name, all parts of a thing that have no line of their own by the thing.

    Raises DataError where they name none; what names another is noted.
    """
    keys = list(source.keys)
    places = {name: place for place, name in enumerate(keys)}
    # By what it is called a sample may lack folder or ending; by its number it must be called just that.
    find = places.get if key is None else _by_name(keys, places)
    rows = [(row, place) for row, name in enumerate(names) if (place := find(name)) is not None]
    if key is None and (not rows or len(names) != len(keys)):
        told = f"{shown} has {len(names):,} rows and no column of names, such as {', '.join(KEYED[:3])}"
        raise DataError(f"{told}, and there are {len(keys):,} {things}, the first of which is '{printable(keys[0])}'")
    rows += _by_whole(names, keys, rows) if key is not None else []
    if not rows:
        told = f"{shown} names none of the {len(keys):,} {things} by its column '{printable(key or '')}'"
        raise DataError(f"{told}; the first of these is '{printable(keys[0])}'")
    if others := len(names) - len({row for row, _ in rows}):
        source.note(f"{others:,} of the {len(names):,} lines of {shown} are of other {things}")
    return rows


def _by_whole(names: Sequence[str], keys: Sequence[str], named: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Lines and the samples, of those that are not named, which are parts of what they name."""
    known, wholes = {place for _, place in named}, dict[str, list[int]]()
    for place, key in enumerate(keys):
        if (thing := whole_of(key)) != key:
            wholes.setdefault(thing, []).append(place)
    find = finder(list(wholes))
    found = ((row, wholes[whole]) for row, name in enumerate(names) if (whole := find(name)) is not None)
    return [(row, place) for row, own in found for place in own if place not in known]


def _by_name(keys: Sequence[str], places: Mapping[str, int]) -> Callable[[str], int | None]:
    find = finder(keys)
    return lambda name: None if (key := find(name)) is None else places[key]


def _read(metadata: str) -> tuple[str, list[str], list[list[str]]]:
    """How a file or a table is called, the names of its columns, and their cells as text. Raises DataError."""
    shown = printable(metadata)
    if metadata.startswith(handed.MARK):
        held = handed.cells_of(handed.held(metadata).data)
        header, cells = list(held), [[_text(cell) for cell in column] for column in held.values()]
    elif metadata.lower().endswith(".parquet"):
        header, cells = parquet.columns(_file(metadata))
    else:
        lines = [line for line in read_cells(_file(metadata), names=True).lines if says_anything(line)]
        header = [name.strip() for name in lines[0]] if lines else []
        if bad := next((number for number, line in enumerate(lines, 1) if len(line) != len(header)), None):
            raise DataError(f"{shown}: line {bad} that is not empty has not as many cells as the header, {len(header)}")
        cells = [[cell.strip() for cell in column] for column in zip(*lines[1:])]
    if twice := next((name for name, count in Counter(header).items() if count > 1), None):
        raise DataError(f"{shown} has two columns named '{printable(twice)}'")
    if not cells or not cells[0]:
        raise DataError(f"{shown} tells nothing of any sample: it needs a line with the names of columns, and others")
    return shown, header, cells


def _file(metadata: str) -> Path:
    if not Path(metadata).is_file():
        raise DataError(f"{printable(metadata)} does not exist, or is no file")
    return Path(metadata)


def _text(cell: Any) -> str:
    return "" if cell is None else label_text(cell)
