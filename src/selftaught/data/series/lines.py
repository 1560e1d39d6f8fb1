"""Series in tables: a line for each point, of one series or of many, or a line for each series."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from selftaught.data.series.columns import TIME, Columns, is_called_time, read_columns
from selftaught.data.series.moments import (
    UNEVEN,
    in_order,
    moments_of,
    notes_of_clocks,
    rate_of,
    rises,
    steps_of,
)
from selftaught.data.series.recordings import Channels, Recording, Recordings, others_of
from selftaught.data.sources.labels import INDEX, LABELS, NO_LABEL, known_labels, label_cells, named_like
from selftaught.data.sources.numbers import notes_of_cells
from selftaught.data.sources.taken import Taken, label_columns, notes_of_labels
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import printable

SERIES, GROUP = "series", "group"
NAMES, NUMBERS = ("id", "key", SERIES), ("index", *INDEX)  # of lines that are series
IDS = (*NAMES, *NUMBERS)


def is_long(header: Sequence[str]) -> bool:
    """Whether a first line is that of a table with a line for each point of each series."""
    return len(header) > 2 and header[0].lower() == SERIES and header[1].lower() in TIME


class Roles(NamedTuple):
    """The columns of a table that are no channels, and what to say of labels."""

    time: str | None
    series: str | None
    group: str | None
    labels: Sequence[str]
    left_out: Sequence[str]
    told: list[str]

    @classmethod
    def of(cls, table: Columns, label_column: str | None, taken: Taken | None) -> "Roles":
        """By their names, unless an encoder has learnt from a column. Raises UsageError."""
        header = [*table.cells]
        labels, others = label_columns(header, label_column, taken, table.file, axes=True)
        notes = notes_of_labels(header, labels, others, label_column, taken)
        named = table.found(*TIME), table.found(SERIES), table.found(GROUP)
        return cls(*named, labels, [*others, *named_like(header, INDEX)], notes)


class Points(NamedTuple):
    """What a table with a line for each point comes to."""

    given: list[Recording]
    channels: Channels
    notes: list[str]
    told: list[str]  # of its labels
    label: str | None  # the column that labels come from; several by commas
    spare: list[str]  # columns that could be channels, and are not wanted
    comma: bool = False  # whether decimals may follow commas
    clocks: Sequence[str] = ()  # channels that may be times, where no column is


def open_columns(path: Path, label_column: str | None, taken: Taken | None) -> Recordings:
    """The series of a table; `label_column`, `taken`: see `open_recordings`. Raises DataError and UsageError."""
    table = read_columns(path)
    roles = Roles.of(table, label_column, taken)
    if roles.series is None and roles.time is None:
        return _wide(path, table, roles, label_column, taken)
    points = _long(path, table, roles, taken.named if taken else (), taken)
    notes = [*points.notes, *points.told, *(notes_of_clocks(points.clocks) if taken is None else [])]
    known: dict[str, Any] = {"notes": notes, "label": points.label}
    return Recordings.of(path.stem, points.given, points.channels, points.comma, **known)


def read_recording(path: Path, label_column: str | None, taken: Taken | None, wanted: Sequence[str]) -> Points:
    """A table with a line for each point of one recording; wanted: names of its channels, where these are known.

    Raises DataError and UsageError.
    """
    table = read_columns(path)
    roles = Roles.of(table, label_column, taken)
    if roles.series and not (taken and roles.series in taken.columns):
        if len({*map(str.strip, table.cells[roles.series])}) > 1:
            told = f"{table.file} holds several series by its column '{printable(roles.series)}'"
            raise DataError(f"{told}: in a folder each has a file of its own; name the file itself as DATA")
        roles = roles._replace(series=None, left_out=[*roles.left_out, roles.series])
    return _long(path, table, roles._replace(series=None), wanted, taken)


def _said(table: Columns, labels: Sequence[str]) -> NDArray[Any] | None:
    """The label of each line."""
    if not labels:
        return None
    cells = label_cells([table.cells[label] for label in labels], labels, table.file)
    return np.array(known_labels(cells, ", ".join(labels), parting=None), np.str_)  # numbers: see `Recordings.of`


def _long(path: Path, table: Columns, roles: Roles, wanted: Sequence[str], taken: Taken | None) -> Points:
    """Recordings of a line a point, in the order of their first lines, and what is known of their channels."""
    time, series, group = roles.time, roles.series, roles.group
    learnt = taken.named if taken else ()
    others = [time, series, group, *roles.labels, *(name for name in roles.left_out if name not in learnt)]
    open_to = [name for name in table.cells if name not in others]
    names = _names(table, open_to, wanted)
    read = [table.numbers(name) for name in names]
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is counted
        points = np.stack([column.values for column in read], axis=1).astype(np.float32)
    keys = np.array([cell.strip() for cell in table.cells[series]] if series else [path.stem] * len(table), np.str_)
    moments = moments_of(table, time) if time else np.arange(float(len(table)))
    lines = in_order(keys, moments)
    steps = [steps_of(table, str(keys[own[0]]), time, own, moments) for own in lines]
    said, groups = _said(table, roles.labels), table.cells[group] if group else None
    given = [
        Recording(str(keys[own[0]]), points[own], _one_or_each(said, own), groups[own[0]] if groups else None)
        for own in lines
    ]
    rate = rate_of(np.concatenate(steps)) if time else None
    uneven = [f"its column '{printable(time)}' {UNEVEN}"] * bool(time and rate is None)
    channels, label = Channels(tuple(names), (), rate), ",".join(roles.labels) or None
    spare = [name for name in open_to if name not in names]
    clocks = [name for name, column in zip(names, read) if is_called_time(name) or rises(column.values)]
    notes = [*table.notes, *notes_of_cells(dict(zip(names, read))), *uneven]
    return Points(given, channels, notes, roles.told, label, spare, table.comma, [] if time else clocks)


def _names(table: Columns, open_to: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The columns that are channels; those that are wanted, where they are known. Raises DataError."""
    if not any(wanted) and not open_to:
        raise DataError(f"{table.file} has no channels: its columns are {printable(', '.join(table.cells))}")
    if any(wanted) and (lacking := [name for name in wanted if name not in open_to]):
        lacks = f"{table.file} has no channel '{printable(lacking[0])}', which is wanted"
        raise DataError(f"{lacks}{others_of(open_to, wanted)}")
    return [*wanted] if any(wanted) else [*open_to]


def _one_or_each(said: NDArray[Any] | None, lines: NDArray[np.int64]) -> str | NDArray[Any] | None:
    """The label of all points of a series, or those of each where they differ."""
    if said is None:
        return None
    own = said[lines]
    return str(own[0]) if (own == own[0]).all() else own


def _ways(
    table: Columns, roles: Roles, label_column: str | None, taken: Taken | None
) -> list[tuple[Roles, Sequence[str]]]:
    """What is no point of a wide table, and what a column of its lines' names is called: of a new one, then of others.

    Encoders of earlier versions have learnt from the numbers of lines, and from a second column of labels, as from
    points; and who learnt with no label to be left out may be shown series that have one.
    """
    new, numbers = (roles, IDS), named_like([*table.cells], INDEX)
    if taken is None or taken.length is None:
        return [new]
    if taken.label is None:  # as of all encoders of before
        labels = [name for name in roles.left_out if name not in numbers]
        numbered, second = roles._replace(left_out=labels), roles._replace(left_out=numbers)  # those kept as a point
        return [new, (numbered, NAMES), (second, IDS), (roles._replace(left_out=[]), NAMES)]
    if taken.label == NO_LABEL and label_column is None:
        told = Roles.of(table, None, replace(taken, label=None))
        return [new, (told, IDS), (told._replace(left_out=numbers), IDS)]
    return [new]


def _columns_of_points(table: Columns, roles: Roles, ids: Sequence[str]) -> list[str]:
    others = (table.found(*ids), roles.group, *roles.labels, *roles.left_out)
    return [name for name in table.cells if name not in others]


def _wide(path: Path, table: Columns, roles: Roles, label_column: str | None, taken: Taken | None) -> Recordings:
    """A series a line, of one channel, of as many points as an encoder has learnt from where columns can be so told."""
    ways = [(*way, _columns_of_points(table, *way)) for way in _ways(table, roles, label_column, taken)]
    roles, ids, names = next((way for way in ways if taken and len(way[-1]) == taken.length), ways[0])
    key, group = table.found(*ids), roles.group
    if not names:
        raise UsageError(f"{table.file} has no columns of values")
    read = [table.numbers(name) for name in names]
    values = np.stack([column.values for column in read], axis=1)[..., None]
    said = _said(table, roles.labels)
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
    named = notes_of_clocks([name for name in names if is_called_time(name)]) if taken is None else []
    told = "each of its lines is a series of one channel; columns 'series' and 'time' would make a line a point"
    odd = named_like(names, (*LABELS, *NUMBERS)) if taken else []
    fed = [f"column '{printable(name)}' is given to the encoder as a point" for name in odd]
    # Its points have no names by which later commands could tell that a column was learnt from.
    asked = taken.label if taken and label_column is None else label_column
    label = ",".join(roles.labels) or (NO_LABEL if asked == NO_LABEL else None)
    notes = [told, *table.notes, *notes_of_cells(dict(zip(names, read))), *roles.told, *fed, *named]
    return Recordings.of(path.stem, given, comma=table.comma, notes=notes, label=label)
