"""Series in tables: a line for each point, of one series or of many, or a line for each series."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from selftaught.data.series.recordings import Channels, Recording, Recordings
from selftaught.data.sources import parquet
from selftaught.data.sources.cells import NO_VALUE, nothing_in, read_cells
from selftaught.data.sources.labels import LABELS, NO_LABEL, known_labels, label_cells, labels_among, named_like
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import printable

SERIES, TIME, GROUP = "series", ("time", "timestamp", "datetime", "date"), "group"
IDS = ("id", "key", SERIES)  # of a line that is a series
EVEN = 0.01  # by how much of a step others may differ where points are evenly spaced


class Columns(NamedTuple):
    """A table: the cells of every column by its name."""

    file: str
    cells: dict[str, list[str]]
    comma: bool = False  # whether decimals may follow commas

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column as numbers, NaN where it holds nothing. Raises DataError."""
        cells = [cell.strip() for cell in self.cells[name]]
        nothing = nothing_in(set(cells), NO_VALUE)
        known = ["nan" if cell.lower() in nothing else cell for cell in cells]
        known = [cell.replace(",", ".") for cell in known] if self.comma else known
        try:
            return np.array(known, np.float64)
        except ValueError:
            place, cell = next((i, cell) for i, cell in enumerate(known) if not _is_number(cell))
            held = f"holds {printable(cell)!r} at its point {place + 1:,}, which is no number"
            raise DataError(f"{self.file}: channel {printable(name)!r} {held}") from None

    def found(self, *names: str) -> str | None:
        """The column of one of these names, in whatever letters."""
        return next(iter(named_like([*self.cells], names)), None)

    def __len__(self) -> int:
        return len(next(iter(self.cells.values()), []))


def is_long(header: Sequence[str]) -> bool:
    """Whether a first line is that of a table with a line for each point of each series."""
    return len(header) > 2 and header[0].lower() == SERIES and header[1].lower() in TIME


def open_columns(path: Path, label_column: str | None, wanted: Sequence[str]) -> Recordings:
    """The series of a table; `label_column`, `wanted`: see `open_recordings`. Raises DataError and UsageError."""
    table = _read(path)
    labels = _labels(table, label_column)
    series, time = table.found(SERIES), table.found(*TIME)
    if series is None and time is None:
        return _wide(path, table, labels)
    given, channels, notes = _long(path, table, series, time, labels, wanted)
    return Recordings.of(path.stem, given, channels, notes=notes)


def read_recording(path: Path, wanted: Sequence[str]) -> tuple[NDArray[np.float32], Channels]:
    """A table with a line for each point of one recording. Raises DataError."""
    table = _read(path)
    given, channels, _ = _long(path, table, None, table.found(*TIME), [], wanted)
    return given[0].values, channels


def _read(path: Path) -> Columns:
    shown = printable(path.name)
    if path.suffix.lower() == ".parquet":
        header, cells = parquet.columns(path)
        return Columns(shown, dict(zip(header, cells)))
    lines, parting = read_cells(path)
    rows = [line for line in lines if line]
    if not rows:
        raise DataError(f"{shown} is empty")
    if odd := next((number for number, line in enumerate(rows, 1) if len(line) != len(rows[0])), None):
        raise DataError(f"{shown}, line {odd} has {len(rows[odd - 1])} cells, the first has {len(rows[0])}")
    named = not all(map(_is_number, rows[0]))
    header = [cell.strip() for cell in rows[0]] if named else [str(place) for place in range(len(rows[0]))]
    if twice := [name for name in header if header.count(name) > 1]:
        raise DataError(f"{shown} has two columns named {printable(twice[0])!r}")
    rows = rows[1:] if named else rows
    if not rows:
        raise DataError(f"{shown} holds no lines but the names of its columns")
    return Columns(shown, {name: [*cells] for name, cells in zip(header, zip(*rows))}, parting == ";")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _labels(table: Columns, asked: str | None) -> list[str]:
    """The columns that hold labels: those that were asked for, else the first of a usual name."""
    if asked is None:
        return named_like([*table.cells], LABELS)[:1]
    return [] if asked == NO_LABEL else labels_among([*table.cells], asked, table.file)


def _said(table: Columns, labels: Sequence[str]) -> NDArray[Any] | None:
    """The label of each line."""
    if not labels:
        return None
    cells = label_cells([table.cells[label] for label in labels], labels, table.file)
    return np.array(known_labels(cells, ", ".join(labels)), np.str_)


def _long(
    path: Path, table: Columns, series: str | None, time: str | None, labels: Sequence[str], wanted: Sequence[str]
) -> tuple[list[Recording], Channels, list[str]]:
    """Recordings of a line a point, in the order of their first lines; what is known of channels, and notes."""
    group = table.found(GROUP)
    names = _names(table, (series, time, group, *labels), wanted)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is counted
        points = np.stack([table.numbers(name) for name in names], axis=1).astype(np.float32)
    keys = np.array([cell.strip() for cell in table.cells[series]] if series else [path.stem] * len(table), np.str_)
    moments = _moments(table, time) if time else np.arange(float(len(table)))
    lines = _apart(keys, moments)
    steps = [_steps(table, str(keys[own[0]]), moments[own]) for own in lines]
    said, groups = _said(table, labels), table.cells[group] if group else None
    given = [
        Recording(str(keys[own[0]]), points[own], _one_or_each(said, own), groups[own[0]] if groups else None)
        for own in lines
    ]
    rate = _rate(np.concatenate(steps)) if time else None
    uneven = [f"its column {printable(time)!r} does not rise evenly; points are taken as if it did"]
    return given, Channels(tuple(names), (), rate), uneven * bool(time and rate is None)


def _names(table: Columns, others: Sequence[str | None], wanted: Sequence[str]) -> list[str]:
    """The columns that are channels; those that are wanted, where they are known. Raises DataError."""
    names = [name for name in table.cells if name not in others]
    if not any(wanted) and not names:
        raise DataError(f"{table.file} has no channels: its columns are {printable(', '.join(table.cells))}")
    if any(wanted) and (lacking := [name for name in wanted if name not in names]):
        raise DataError(f"{table.file} has no channel {printable(lacking[0])!r}, which is wanted")
    return [*wanted] if any(wanted) else names


def _apart(keys: NDArray[Any], moments: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """The lines of each series by time, series in the order of their first lines."""
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    which = np.argsort(np.argsort(first))[which]
    return np.split(np.lexsort((moments, which)), np.cumsum(np.bincount(which))[:-1])


def _steps(table: Columns, key: str, moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """The times between the points of a series. Raises DataError where two are of one time."""
    steps = np.diff(moments)
    if (steps == 0).any():
        raise DataError(f"{table.file}: series {printable(key)!r} has two lines of one time")
    return steps


def _one_or_each(said: NDArray[Any] | None, lines: NDArray[np.int64]) -> str | NDArray[Any] | None:
    """The label of all points of a series, or those of each where they differ."""
    if said is None:
        return None
    own = said[lines]
    return str(own[0]) if (own == own[0]).all() else own


def _moments(table: Columns, time: str) -> NDArray[np.float64]:
    """The time of each line, in its own units, or in seconds where it is written as a date. Raises DataError."""
    try:
        moments = table.numbers(time)
    except DataError:
        try:
            dates = np.array([cell.strip().removesuffix("Z") for cell in table.cells[time]], "datetime64[us]")
        except ValueError as error:
            raise DataError(f"{table.file}: column {printable(time)!r} holds no time: {printable(error)}") from None
        moments = np.where(np.isnat(dates), np.nan, dates.astype(np.int64) / 1e6)
    if not np.isfinite(moments).all():
        raise DataError(f"{table.file}: a line has nothing in its column {printable(time)!r}")
    return moments


def _rate(steps: NDArray[np.float64]) -> float | None:
    """Points in a unit of time; None where the steps between them differ."""
    if not len(steps):
        return None
    middle = float(np.median(steps))
    return 1 / middle if (np.abs(steps - middle) <= EVEN * middle).all() else None


def _wide(path: Path, table: Columns, labels: Sequence[str]) -> Recordings:
    """A series a line, of one channel."""
    key, group = table.found(*IDS), table.found(GROUP)
    names = [name for name in table.cells if name not in (key, group, *labels)]
    if not names:
        raise UsageError(f"{table.file} has no columns of values")
    values = np.stack([table.numbers(name) for name in names], axis=1)[..., None]
    said = _said(table, labels)
    keys = table.cells[key] if key else [str(row) for row in range(len(values))]
    given = [
        Recording(
            keys[row],
            own.astype(np.float32),
            None if said is None else str(said[row]),
            table.cells[group][row] if group else None,
        )
        for row, own in enumerate(values)
    ]
    told = "each of its lines is a series of one channel; columns 'series' and 'time' would make a line a point"
    return Recordings.of(path.stem, given, notes=[told])
