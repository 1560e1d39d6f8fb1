"""A folder of recordings, a file each: arrays, or tables with a line for each point."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selftaught.data.series.lines import Points, read_recording
from selftaught.data.series.moments import EVEN, notes_of_clocks
from selftaught.data.series.recordings import Channels, Failures, Recording, Recordings, as_numbers
from selftaught.data.sources.arrays import read_arrays
from selftaught.data.sources.folder import NO_IMAGE, walk
from selftaught.data.sources.labels import NO_LABEL
from selftaught.data.sources.taken import OwnLabels, Taken
from selftaught.system.errors import DataError, UsageError
from selftaught.system.ownership import refuse_as_data
from selftaught.system.text import printable, some_of

COLUMNS = (".csv", ".tsv", ".parquet")
NO_RECORDING = "not named like a recording"


def open_folder(path: Path, label_column: str | None = None, taken: Taken | None = None) -> Recordings:
    """A recording a file, .npy of (points,) or (channels, points) or a table of a line a point.

    Folders are labels, unless a column was asked for, now or when an encoder was taught; of what lies in none the label
    is that of its own column. Raises DataError and UsageError.
    """
    refuse_as_data(path)
    keys, ignored = walk(os.fspath(path), (".npy", *COLUMNS))
    if not keys:
        raise DataError(f"{printable(str(path))} holds no recordings: files of .npy, .csv, .tsv or .parquet")
    if not any(_is_table(key) for key in keys):
        refuse_column(label_column, printable(str(path)))
    given, broken, read = list[Recording](), Failures(), list[Points]()
    names = learnt = taken.named if taken else ()
    asked = taken.label if taken and label_column is None else label_column
    for key in keys:
        try:
            points = _recording(path / key, label_column, taken, names)
        except (DataError, UsageError) as error:
            if isinstance(error, UsageError) and not read:  # a column that the very first has not is a slip
                raise
            broken.append((key, f"cannot be read: {error}"))
            continue
        if not any(names):  # of arrays and of what was learnt from them, whose channels are all called ""
            names = points.channels.names
        own = points.given[0]
        if "/" in key and (asked in (None, NO_LABEL) or not points.label):
            own, points = own._replace(label=key.partition("/")[0]), points._replace(told=_by_folder(points))
        given.append(own._replace(key=key))
        read.append(points)
    others = [(key, NO_RECORDING if reason == NO_IMAGE else reason) for key, reason in ignored]
    notes = [*_notes(read, learning=not learnt), *_by_order(read, names)]
    known: dict[str, Any] = {"broken": broken, "ignored": others, "notes": notes, "label": label_column}
    made = Recordings.of(path.resolve().name, given, comma=any(points.comma for points in read), **known)
    # Of arrays of another number of channels, which may come first, those names tell nothing.
    names = names if len(names) == made.values.shape[1] else made.channels.names
    made.channels = Channels(tuple(names), rate=_rate(read))
    return made


def refuse_column(label_column: str | None, shown: str) -> None:
    """Raise UsageError where a column of labels is named of what has none."""
    if label_column not in (None, NO_LABEL):
        raise UsageError(f"--label-column {printable(str(label_column))}: {shown} has no columns with names")


def _is_table(name: str) -> bool:
    return name.lower().endswith(COLUMNS)


def _recording(file: Path, label_column: str | None, taken: Taken | None, wanted: Sequence[str]) -> Points:
    if _is_table(file.name):
        return read_recording(file, label_column, taken, wanted)
    values = as_numbers(read_arrays(file)["x"], printable(file.name))
    values = values[:, None] if values.ndim == 1 else values.T
    if values.ndim != 2:
        raise DataError(f"{printable(file.name)} has shape {values.shape[::-1]}; a recording is (channels, points)")
    return Points([Recording("", values)], Channels(("",) * values.shape[1]), [], [], None, [])


def _by_folder(points: Points) -> list[str]:
    """What to say of a column of labels in whose place that of the folder stands."""
    label = printable(points.label or "")
    way = f"column {label!r} is not learnt from, and --label-column {label} takes those it has"
    return [OwnLabels(f"labels are those of folders; {way}")] * bool(label)


def _rate(read: Sequence[Points]) -> float | None:
    """That of all recordings; None where one differs, or does not tell."""
    first, *others = [points.channels.rate for points in read]
    alike = first is not None and all(rate is not None and abs(rate - first) <= EVEN * first for rate in others)
    return first if alike else None


def _by_order(read: Sequence[Points], names: Sequence[str]) -> list[str]:
    """What to say of arrays beside tables, whose channels have names."""
    count = sum(not any(points.channels.names) for points in read)
    if not count or not any(names):
        return []
    return [f"{count:,} of {len(read):,} files name no channels, and are taken for {some_of(names)} in this order"]


def _notes(read: Sequence[Points], learning: bool) -> list[str]:
    """What to say of several recordings, each once, with how many it is true of."""
    counts = Counter(note for points in read for note in (*points.notes, *points.told))
    of = f"of {len(read):,} files"
    notes = [f"{note} ({count:,} {of})" if count < len(read) else note for note, count in counts.items()]
    rates = [points.channels.rate for points in read if points.channels.rate is not None]
    if rates and max(rates) - min(rates) > EVEN * min(rates):
        span = f"from {min(rates):g} to {max(rates):g} points in a unit of time"
        notes.append(f"its recordings differ in rate, {span}; they are taken as if they did not")
    if learning and (tables := [points.clocks for points in read if any(points.channels.names)]):
        notes += notes_of_clocks([name for name in tables[0] if all(name in clocks for clocks in tables)])
    spare = Counter(name for points in read for name in points.spare) if learning else Counter[str]()
    why = f"{of} have it, and the first has not"
    return notes + [f"channel '{printable(name)}' is left out: {count:,} {why}" for name, count in spare.items()]
