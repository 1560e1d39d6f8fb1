"""The times of points: numbers or dates, their order, and the steps between them."""

import re
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from selftaught.data.series.columns import Columns
from selftaught.data.sources.cells import NO_VALUE
from selftaught.system.errors import DataError
from selftaught.system.text import as_number, printable

EVEN = 0.01  # by how much of a step others may differ where points are evenly spaced
UNEVEN = "does not rise evenly; points are taken as if it did"
WAY = "write times as 2026-03-31T01:00:00+02:00 or as numbers"
MANY = 16  # lines, from which values that only rise may well be times

_WHOLE = re.compile(r"[+-]?\d{1,40}")
_ZONED = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d.*?)([+-])(\d\d):?(\d\d)?")
_LOCAL = re.compile(r"[\dT:. -]+|NaT")
_FINE = re.compile(r"\.\d{7}")  # of less than a microsecond


def notes_of_clocks(names: Sequence[str]) -> list[str]:
    """What to say of channels that may be times, where no column is."""
    return [f"column '{printable(name)}' is learnt from; call it 'time' if it is the time" for name in names]


def rises(values: NDArray[np.float64]) -> bool:
    """Whether numbers rise from line to line, as times do."""
    return len(values) >= MANY and bool((np.diff(values) > 0).all())


def moments_of(table: Columns, time: str) -> NDArray[np.float64]:
    """The time of each line behind the first one, in its own units, or in seconds of dates. Raises DataError."""
    cells = [cell.strip() for cell in table.cells[time]]
    if all(map(_WHOLE.fullmatch, cells)):  # nanoseconds since 1970 have more digits than a float
        first = int(cells[0])
        return np.array([int(cell) - first for cell in cells], np.float64)
    try:
        moments = table.numbers(time).values
    except DataError:
        moments = _dates(table, time, cells)
    if len(odd := np.flatnonzero(~np.isfinite(moments))):
        raise _no_time(table, time, int(odd[0]))
    return moments


def _no_time(table: Columns, time: str, row: int) -> DataError:
    cell, where = table.cells[time][row].strip(), table.where(row)
    if cell.lower() in NO_VALUE:
        return DataError(f"{table.file}: its column '{printable(time)}' holds nothing {where}: {WAY}")
    return DataError(f"{table.file}: column '{printable(time)}' holds '{printable(cell)}' {where}, no time: {WAY}")


def _dates(table: Columns, time: str, cells: Sequence[str]) -> NDArray[np.float64]:
    """Dates in seconds behind the first one, NaN where there is none."""
    unit = "ns" if any(map(_FINE.search, cells)) else "us"
    known = ["NaT" if cell.lower() in NO_VALUE else cell for cell in cells]
    try:
        whole = _since_1970(known, unit)
    except ValueError:
        neither = [row for row, cell in enumerate(known) if not _is_date(cell)]
        raise _no_time(
            table, time, next((row for row in neither if as_number(cells[row]) is None), neither[0])
        ) from None
    nothing = np.array([cell == "NaT" for cell in known])
    first = whole[~nothing][:1].sum()
    return np.where(nothing, np.nan, (whole - first) / (1e9 if unit == "ns" else 1e6))


def _since_1970(cells: Sequence[str], unit: str) -> NDArray[np.int64]:
    """Dates in these units. Raises ValueError. numpy warns of whatever may be a zone, and takes `now` for a date."""
    zoned = [_ZONED.fullmatch(cell) for cell in cells]
    local = [found[1].strip() if found else cell.removesuffix("Z") for cell, found in zip(cells, zoned)]
    if not all(map(_LOCAL.fullmatch, local)):
        raise ValueError("no date")
    minutes = [int(f"{found[2]}1") * (60 * int(found[3]) + int(found[4] or 0)) if found else 0 for found in zoned]
    offsets = np.array(minutes, "timedelta64[m]")
    return np.asarray((np.array(local, f"datetime64[{unit}]") - offsets).astype(np.int64))


def _is_date(cell: str) -> bool:
    with suppress(ValueError):
        _since_1970([cell], "us")
        return True
    return False


def in_order(keys: NDArray[np.str_], moments: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """The lines of each series by time, series in the order of their first lines."""
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    which = np.argsort(np.argsort(first))[which]
    return np.split(np.lexsort((moments, which)), np.cumsum(np.bincount(which))[:-1])


def steps_of(
    table: Columns, key: str, time: str | None, lines: NDArray[np.int64], moments: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The times between the points of a series, of these lines in order. Raises DataError where two are of one time."""
    steps = np.diff(moments[lines])
    if time and len(same := np.flatnonzero(steps == 0)):
        one, other = sorted(lines[same[0] : same[0] + 2].tolist())
        cell = table.cells[time][one].strip()
        held = f"series '{printable(key)}' has two lines of one time, '{printable(cell)}'"
        local = as_number(cell) is None and not _ZONED.fullmatch(cell) and not cell.endswith("Z")
        way = ": where clocks are put back, write times with their offset from UTC, as +02:00, or in UTC" * local
        raise DataError(f"{table.file}: {held}, {table.where(one)} and {table.where(other)}{way}")
    return steps


def rate_of(steps: NDArray[np.float64]) -> float | None:
    """Points in a unit of time; None where the steps between them differ."""
    if not len(steps):
        return None
    middle = float(np.median(steps))
    return 1 / middle if (np.abs(steps - middle) <= EVEN * middle).all() else None
