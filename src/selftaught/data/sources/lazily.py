"""Arrays that stay in their files: rows are read when they are asked for, a chunk at a time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.data.sources.labels import NO_LABEL
from selftaught.data.sources.source import MAX_BYTES, reading
from selftaught.system.bombs import refuse_bomb
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import printable

IMAGES, LABELS = ("x", "images"), ("y", "labels")  # names that arrays have in a file of several
KEY = 100  # bytes that the key of a sample takes in memory, about
LISTED = 10  # names, in one line
NUMBERS = "uif"  # kinds of number types that images have

Shapes = dict[str, tuple[tuple[int, ...], np.dtype]]  # of arrays by name


@dataclass(frozen=True)
class Slabs:
    """An array (N, ...) of which `read(start, stop)` gives rows; it is asked as numpy's are, and raises DataError."""

    file: str
    kind: str  # of the file, in errors
    read: Callable[[int, int], NDArray[Any]]
    shape: tuple[int, ...]
    dtype: np.dtype
    chunk: int  # rows that are stored together
    order: tuple[int, ...] = ()  # of the axes, where they are moved
    widened: bool = False  # by an axis of channels

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def transpose(self, *order: int) -> "Slabs":
        """With axes in another order, of which rows stay the first."""
        return replace(self, shape=tuple(self.shape[axis] for axis in order), order=order)

    def __getitem__(self, rows: Any) -> Any:
        """Some rows; with (..., None) all, with an axis at the end."""
        if isinstance(rows, tuple):
            return replace(self, shape=(*self.shape, 1), widened=True)
        if isinstance(rows, slice):
            return self._rows(np.arange(*rows.indices(len(self))))
        return self._rows(np.asarray(rows)) if np.ndim(rows) else self._rows(np.asarray([rows]))[0]

    def _rows(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        if not len(rows):
            return np.empty((0, *self.shape[1:]), self.dtype)
        wanted, back = np.unique(rows, return_inverse=True)
        values = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        # Of one chunk all at once; of what has none, what lies side by side.
        groups = wanted - np.arange(len(wanted)) if self.chunk == 1 else wanted // self.chunk
        for places in np.split(np.arange(len(wanted)), np.flatnonzero(np.diff(groups)) + 1):
            start, stop = (int(wanted[place]) for place in (places[0], places[-1]))
            with reading(self.file, self.kind):
                values[places] = self._moved(self.read(start, stop + 1))[wanted[places] - start]
        return values[back]

    def _moved(self, values: NDArray[Any]) -> NDArray[Any]:
        values = values[..., None] if self.widened else values
        return values.transpose(self.order) if self.order else values


def refuse_vast(shown: str, shape: Sequence[int], dtype: np.dtype, chunk: Sequence[int], stored: int) -> None:
    """Raise DataError where an array in so many bytes has more images, or larger ones, than could be held."""
    if math.prod(shape[1:]) * dtype.itemsize > MAX_BYTES:
        raise DataError(f"{shown} has images of {math.prod(shape[1:]):,} values, more than any image takes")
    refuse_bomb(KEY * shape[0], stored, f"names of the {shape[0]:,} images in {shown}")
    refuse_bomb(math.prod(chunk) * dtype.itemsize, stored, f"a chunk of {shown}")


def images_among(held: Shapes, asked: str | None, shown: str) -> str:
    """The name of the array of images: the one asked for, x or images, or the only one that could be.

    Raises DataError and UsageError.
    """
    fitting = [name for name, (shape, kind) in held.items() if len(shape) in (3, 4) and kind.kind in NUMBERS]
    if asked is not None and asked.strip("/") not in held:
        raise UsageError(f"--column {printable(asked)} is no data set of {shown}; it has {_listed(list(held))}")
    if asked is not None:
        return asked.strip("/")
    named = [name for name in fitting if name in IMAGES] or fitting
    if len(named) != 1:
        way = ": say which with --column" * bool(named)
        raise DataError(
            f"{shown} must hold its images as 'x' or 'images'; it holds {_listed(named or list(held))}{way}"
        )
    return named[0]


def labels_among_arrays(held: Shapes, images: str, asked: str | None, shown: str) -> str | None:
    """The name of the array of labels: the one asked for, or y or labels beside the images."""
    if asked == NO_LABEL:
        return None
    if asked is not None and asked.strip("/") not in held:
        raise UsageError(f"--label-column {printable(asked)} is no data set of {shown}; it has {_listed(list(held))}")
    folder = images.rpartition("/")[0]
    beside = (f"{folder}/{name}".lstrip("/") for name in LABELS)
    return asked.strip("/") if asked else next((name for name in beside if name in held), None)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return (", ".join(map(printable, names[:LISTED])) or "nothing") + more


def words(values: NDArray[Any]) -> NDArray[Any]:
    """Labels as they are, bytes as the text that they are."""
    return np.char.decode(values, "utf-8", "surrogateescape") if values.dtype.kind == "S" else values
