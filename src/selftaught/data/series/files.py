"""Which names are those of series, and what is read by each: arrays, texts, and folders of them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.data import opening
from selftaught.data.series.folders import COLUMNS, open_folder, refuse_column
from selftaught.data.series.lines import is_long, open_columns
from selftaught.data.series.recordings import THINGS, Channels, Recording, Recordings, as_numbers
from selftaught.data.series.ts import open_ts
from selftaught.data.sources import handed
from selftaught.data.sources.arrays import SUFFIXES as ARRAYS
from selftaught.data.sources.arrays import labels_of, read_arrays
from selftaught.data.sources.labels import known_labels
from selftaught.data.sources.source import is_folder, no_data, reading
from selftaught.data.sources.taken import Taken
from selftaught.system.errors import DataError
from selftaught.system.reading import head_in
from selftaught.system.text import printable

MARK = f"{THINGS}:"  # of what could be taken for images or rows: series:signals.npy
TS = ".ts"
SHAPES = "(N, points), (N, channels, points), or (points,) of one"
HELD = "'x' of shape " + SHAPES + ", or 'values' (points of all, channels) with 'offsets' (N + 1,)"
HEAD = 1 << 16  # bytes that a first line takes at most


def recognises(data: Any) -> bool:
    """Whether this names series: by its mark, as a .ts, or as a table with a line for each point of each series."""
    if not isinstance(data, str):
        return False
    if data.startswith(handed.MARK):
        return handed.is_a(data, "series")
    path = Path(data)
    if data.startswith(MARK) or (path.suffix.lower() == TS and path.is_file()):
        return True
    return path.suffix.lower() in COLUMNS[:2] and path.is_file() and is_long(_first_line(path))


def _first_line(path: Path) -> list[str]:
    try:
        first = re.split(r"[\r\n]", head_in(path, HEAD), maxsplit=1)[0]
        return [cell.strip().strip('"') for cell in re.split(r"[,;\t|]", first)]
    except (OSError, ValueError):  # said by whoever opens it
        return []


def open_recordings(data: str | Path, label_column: str | None = None, taken: Taken | None = None) -> Recordings:
    """The series that DATA names, before they are cut into windows.

    label_column: of tables, the column of labels, or "none"; taken: the channels that an encoder has learnt from, and
    what its labels were. Raises DataError and UsageError.
    """
    if str(data).startswith(handed.MARK):
        return _from_python(handed.held(str(data)), label_column)
    path = Path(str(data).removeprefix(MARK))
    folder = is_folder(path)
    if not folder and not path.is_file():
        raise no_data(path)
    openers: dict[str, Callable[[Path], Recordings]] = {TS: open_ts, **dict.fromkeys(ARRAYS, open_arrays)}
    suffix = path.suffix.lower()
    if suffix in COLUMNS and not folder:
        return open_columns(path, label_column, taken)
    if folder:
        return open_folder(path, label_column, taken)
    refuse_column(label_column, printable(str(path)))
    if suffix not in openers:
        endings = ", ".join([*openers, *COLUMNS])
        raise DataError(
            f"{printable(str(path))} is neither a folder nor a file of these, which series lie in: {endings}"
        )
    with reading(path.name):
        return openers[suffix](path)


def open_arrays(path: Path) -> Recordings:
    """Series of a .npy or .npz. Raises DataError."""
    return _of_arrays(read_arrays(path), path.stem, printable(path.name))


def _from_python(given: handed.Handed, label_column: str | None) -> Recordings:
    """Series that somebody holds, with their labels where these came beside them."""
    refuse_column(label_column, given.name)
    labels = {} if given.labels is None else {"y": given.labels}
    return _of_arrays({**given.data.arrays, **labels}, given.name, given.name)


def _of_arrays(held: Mapping[str, NDArray[Any]], name: str, shown: str) -> Recordings:
    """Series of arrays that are named as in a .npz. Raises DataError."""
    values = list(_arrays(held, shown))
    count, known = len(values), {key: _some(held, key, len(values), name) for key in ("keys", "groups")}
    keys = known["keys"] or [str(row) for row in range(count)]
    none: list[str | None] = [None] * count
    labels = known_labels(labels_of(held["y"], count, name), name, parting=None) if "y" in held else none
    groups = known["groups"] or none
    given = [Recording(*one) for one in zip(keys, values, labels, groups)]
    return Recordings.of(name, given, _channels(held, values))


def _arrays(held: Mapping[str, NDArray[Any]], shown: str) -> Iterator[NDArray[np.float32]]:
    """Each series (points, channels)."""
    if "values" in held and "offsets" in held:
        values, offsets = as_numbers(held["values"], shown), held["offsets"].reshape(-1)
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2 or offsets.dtype.kind not in "iu" or not _in_order(offsets, len(values)):
            raise DataError(f"{shown}: 'offsets' must rise from 0 to the {len(values):,} points of 'values'")
        yield from (values[start:end] for start, end in pairwise(offsets.tolist()))
        return
    if "x" not in held:
        raise DataError(f"{shown} must hold series as {HELD}; it holds {printable(', '.join(held)) or 'nothing'}")
    x = as_numbers(held["x"], shown)
    x = x[None, None] if x.ndim == 1 else x[:, None] if x.ndim == 2 else x
    if x.ndim != 3 or 0 in x.shape:
        raise DataError(f"{shown} has shape {held['x'].shape}; series are {SHAPES}")
    lengths = held["lengths"].reshape(-1) if "lengths" in held else np.full(len(x), x.shape[2])
    if (
        lengths.shape != (len(x),)
        or lengths.dtype.kind not in "iu"
        or (lengths > x.shape[2]).any()
        or (lengths < 0).any()
    ):
        raise DataError(f"{shown}: 'lengths' must be one of 0 to {x.shape[2]:,} points for each of {len(x):,} series")
    yield from (series[:, :length].T for series, length in zip(x, lengths.tolist()))


def _in_order(offsets: NDArray[Any], points: int) -> bool:
    return len(offsets) > 1 and offsets[0] == 0 and offsets[-1] == points and bool((np.diff(offsets) >= 0).all())


def _some(held: Mapping[str, NDArray[Any]], key: str, count: int, name: str) -> list[str]:
    return labels_of(held[key], count, f"{name}, in {key!r},") if key in held else []


def _channels(held: Mapping[str, NDArray[Any]], values: Sequence[NDArray[np.float32]]) -> Channels | None:
    """What a .npz tells of its channels: their names as 'channels', their 'units', and the 'rate' of points."""
    count = values[0].shape[1] if values else 0
    names = [str(name) for name in held["channels"].reshape(-1)] if "channels" in held else [""] * count
    units = [str(unit) for unit in held["units"].reshape(-1)] if "units" in held else []
    if len(names) != count or len(units) not in (0, count):
        raise DataError(f"'channels' and 'units' must be one for each of the {count} channels")
    return Channels(tuple(names), tuple(units), _rate(held["rate"]) if "rate" in held else None)


def _rate(held: NDArray[Any]) -> float:
    rate = float(held.reshape(-1)[0]) if held.size == 1 and held.dtype.kind in "fiu" else 0.0
    if not 0 < rate < np.inf:
        raise DataError("'rate' must be a single number above 0: the points in a unit of time")
    return rate


def labels_by_key(labelled: str) -> dict[str, str]:
    """Labels of series by their keys, from labelled series or a CSV of series,label. Raises DataError."""
    if recognises(labelled):
        return opening.labels_in(open_recordings(labelled), labelled)
    return opening.labels_by_key(open_recordings, labelled)
