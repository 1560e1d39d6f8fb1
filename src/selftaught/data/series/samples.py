"""Series held in memory, as numbers, of which windows may overlap."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selftaught.data.opening import Chosen, Opened, Rows, chosen, refuse_broken, refuse_column
from selftaught.data.series.files import open_recordings
from selftaught.data.series.preparation import Preparation
from selftaught.data.series.recordings import THINGS, Recordings, Tally
from selftaught.data.series.views import Views
from selftaught.data.sources.labels import labels_for, plain, read_labels
from selftaught.data.sources.taken import without_own
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import printable

REMEDY = "say which column with --label-column, name a CSV of series,label, or add 'y' to the .npz"
TOLERANCE = 0.01  # the share of series that may be broken, where the user names none


class Series(Opened):
    """Series by number: stretches of `values`, which are as they were read."""

    values: Any  # (points of all, channels)
    starts: Rows
    lengths: Rows

    def keep(self, rows: Rows) -> None:
        self.starts, self.lengths = self.starts[rows], self.lengths[rows]
        self.groups = self.groups and [self.groups[row] for row in rows]

    def stretches(self, rows: Rows) -> NDArray[np.float32]:
        """Series (B, points, channels) as they were read; what is missing is NaN, and so is what is behind the end."""
        at = np.arange(self.preparation.length)
        inside = at < self.lengths[rows, None]
        values = self.values[np.where(inside, self.starts[rows, None] + at, 0)]
        return np.where(inside[..., None], values, np.float32(np.nan))

    def batch(self, rows: Rows) -> tuple[Tensor, ...]:
        """Series (B, channels, points): what is missing is zero, and what is shorter ends with what is missing."""
        return (torch.from_numpy(self.preparation.encoded(self.stretches(rows))),)

    def views(self, names: Sequence[str], *, options: Any = None, **how: Any) -> Views:
        """What makes these views of series; what of `how` concerns images is of no concern here."""
        return Views(names, self.preparation, options)


def open_samples(
    data: str | Path,
    *,
    like: Preparation | None = None,
    labels: Path | None = None,
    label_column: str | None = None,
    labelled: bool = False,
    limit: int | None = None,
    seed: int = 0,
    window: int | None = None,
    stride: int | None = None,
    tolerance: float = TOLERANCE,
    begun: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **others: Any,
) -> Series:
    """Read the series of `data`.

    like: the preparation of an existing encoder, used unchanged, its windows too; window, stride: points of the windows
    that recordings are cut into, and between their beginnings (default: as many); begun: whether a run has begun with
    these, which goes on by how it counted; the rest: see `chosen`. Raises DataError, BrokenData where more than
    `tolerance` of the recordings, or of their windows, cannot be used, and UsageError.
    """
    refuse_column(others.get("column"), data, THINGS)
    if like and like.stride:
        window, stride = like.length, like.stride
    whole = open_recordings(data, label_column if labels is None else None, like.taken if like else None)
    if labels is not None:
        _label(whole, labels, label_column)
    series = cut(like.refuse_other(whole) if like else whole, window, stride, lone=like is not None)
    # Earlier versions counted recordings that are lost among windows, and so took more of them.
    for things, usable, broken in [Tally(THINGS, len(series), series.unused)] if begun else series.tallies():
        refuse_broken(series.name, things, usable, broken, tolerance)
    named = labels if labels is not None and series.labels is None else None
    how: dict[str, Any] = {"labels": named, "label_column": label_column, "labelled": labelled}
    preparation = like or Preparation.of(series, (stride or window) if window else None)
    for note in preparation.told(series) if like else ():
        series.note(note)
    samples = _held(series, chosen(series, THINGS, REMEDY, limit=limit, seed=seed, named=data, **how), preparation)
    progress(samples.count, samples.count)
    return samples


def _held(series: Recordings, wanted: Chosen, preparation: Preparation) -> Series:
    samples = Series(wanted, preparation, quarantined=series.unused)
    samples.values = series.values
    samples.starts, samples.lengths, samples.groups = series.starts, series.lengths, series.groups
    samples.keep(np.asarray(wanted.rows))
    return samples


def cut(series: Recordings, window: int | None, stride: int | None, lone: bool = False) -> Recordings:
    """The series, in windows where these are wanted. Raises DataError and UsageError.

    lone: whether a single series will do, which nothing could be learnt from but which an encoder may be shown.
    """
    if stride and not window:
        raise UsageError(f"--stride {stride} needs --window, the points of a window")
    if window:
        return series.windows(window, stride or window)
    if len(series) == 1 and not series.broken and not lone:
        held = f"{printable(series.name)} holds one series of {series.lengths[0]:,} points"
        raise DataError(f"{held}: cut it into windows, such as by --window 256 --stride 128")
    return series


def _label(whole: Recordings, labels: Path, column: str | None) -> None:
    """Give recordings the labels of a file, where it names these; if it names windows, they are known only later."""
    known, whole.notes = {plain(key) for key in whole.keys}, without_own(whole.notes)
    if any(plain(line.key) in known for line in read_labels(labels, column).lines):
        whole.labels, whole.marks = labels_for(labels, whole.keys, THINGS, column, whole.note), None
    else:
        whole.labels = whole.marks = None
