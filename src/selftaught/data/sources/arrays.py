"""Arrays in `.npy` and `.npz` files, read without running anything that such a file can hold."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from selftaught.data.sources.contents import Contents, Digests, Rows, stamps_in
from selftaught.data.sources.distant import Distant, place_of
from selftaught.data.sources.encoded import parts_of
from selftaught.data.sources.labels import known_labels, label_text
from selftaught.data.sources.source import Progress, Source, digest, reading
from selftaught.system.arrays import Npz, array_of, header_of
from selftaught.system.errors import DataError
from selftaught.system.text import number_of, printable

SUFFIXES = (".npy", ".npz")
NOT_FINITE = "holds values that are not finite (NaN or infinite)"  # why an image cannot be used
LABELLED = ("y", "labels")  # names of arrays that hold labels
CHANNELS = 4  # of an image, at most, where they are thought to come first
HASHED = 256  # images at a time: those of a file on the disk may be more than the memory holds


def labels_of(values: NDArray[Any], count: int, name: str) -> list[str]:
    """The labels of so many samples as text. Raises DataError where they are not one each."""
    if values.shape not in ((count,), (count, 1)):
        raise DataError(f"{name} has labels of shape {values.shape}; {count} samples take ({count},), one each")
    return [label_text(label) for label in values.reshape(-1).tolist()]


def dimensions(path: Path) -> int:
    """Axes of the array that `read_arrays` calls "x", by its header alone; 0 where it has none that can be read."""
    try:
        with path.open("rb") as file, ExitStack() as inside:
            member: IO[bytes] = file
            if path.suffix.lower() == ".npz":
                member = inside.enter_context(inside.enter_context(ZipFile(file)).open("x.npy"))
            return len(header_of(member)[0])
    except Exception:  # of as many kinds as below; said clearly by whoever opens it
        return 0


def read_arrays(path: Path | Distant) -> Mapping[str, NDArray[Any]]:
    """The arrays of a file by name; the one of a .npy has the name "x" and stays on the disk. Raises DataError.

    Those of a .npz are read one by one, when they are asked for.
    """
    with reading(path.name):
        if path.suffix.lower() == ".npy":
            if isinstance(path, Distant):
                with path.open() as stream:
                    return {"x": array_of(stream, path.facts.size)}
            return {"x": np.load(path, mmap_mode="r", allow_pickle=False)}
        return AskedFor(path, links=True)


class AskedFor(Npz):
    """The arrays of a .npz that somebody names. Raises DataError where one cannot be read."""

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self:
            raise KeyError(name)
        with reading(self.file.name):
            return super().__getitem__(name)


class Arrays(Source):
    """Images that are already pixels: (N, H, W, C) of uint8, uint16 or float, in whatever order of bytes they lie.

    Also (N, C, H, W), where the shape tells so much; see `channels_first`.
    """

    contents: Contents

    def __init__(
        self,
        name: str,
        images: NDArray[Any],
        labels: NDArray[Any] | None = None,
        file: tuple[str, os.stat_result] | None = None,
    ) -> None:
        """`file`: what tells where the images are, and the file as it was before it was read."""
        if images.shape[:1] == (0,):
            raise DataError(f"{name} holds no images")
        if images.ndim == 3:
            if images.shape[2] <= CHANNELS < images.shape[0]:
                count, height, width = images.shape
                taken = f"its shape {images.shape} is taken for {count:,} grey images of {height} x {width} px"
                self.note(f"{taken}; a single image in colour is x[None]")
            images = images[..., None]
        if images.ndim != 4 or 0 in images.shape:
            raise DataError(f"{name} has shape {images.shape}; images are (N, H, W), (N, H, W, C) or (N, C, H, W)")
        native = images.dtype.newbyteorder("=")
        if native not in (np.uint8, np.uint16) and not np.issubdtype(native, np.floating):
            raise DataError(f"{name} holds {images.dtype}; images are uint8, uint16 or floating point")
        # The type of the pixels once they are read, which nobody does of all of them at a time: they may fill a disk.
        self.dtype = native if native in (np.uint8, np.uint16, np.float16) else np.dtype(np.float32)
        self.name = name
        if told := axes_told(images.shape):
            self.note(told)
        self.images = images.transpose(0, 2, 3, 1) if channels_first(images.shape) else images
        self.keys = [str(i) for i in range(len(images))]
        if labels is not None:
            self.labels = known_labels(labels_of(labels, len(images), name), name, self.note)
        self.contents = Contents(len(images))
        if file:
            place, status = file
            self.contents = Contents(len(images), place, lambda: stamps_in(status, np.arange(len(images))))

    def fingerprint(self) -> str:
        rows = np.linspace(0, len(self.images) - 1, min(len(self.images), 1024)).astype(int)
        taken = self.images[rows]
        if taken.dtype.kind == "f" and taken.dtype not in (np.float16, np.float32, np.float64):
            taken = taken.astype(np.float32)
        return digest(f"{self.images.shape}{taken.dtype}", taken.tobytes())

    def digests(self, rows: Rows, progress: Progress = lambda done, total: None) -> Digests:
        self.contents.recall()
        unknown = rows[~self.contents.known[rows]]
        for start in range(0, len(unknown), HASHED):
            some = unknown[start : start + HASHED]
            for row, image in zip(some.tolist(), np.ascontiguousarray(self.images[some])):
                self.contents.note(row, *parts_of(image))
            progress(start + len(some), len(unknown))
        self.contents.remember()
        return self.contents.digests[rows]


def channels_first(shape: tuple[int, ...]) -> bool:
    """Whether (..., a, b, c) is (..., C, H, W): few at first, more than that at the end, no square before the end."""
    *_, a, b, c = shape
    return a <= CHANNELS < c and a != b


def axes_told(shape: tuple[int, ...]) -> str:
    """What to say of the axes of images (N, a, b, c), or of one (a, b, c), where they could be mistaken."""
    *many, a, b, c = shape
    if channels_first(shape):
        taken = "(N, C, H, W): images" if many else "(C, H, W): an image"
        return f"its shape {shape} is taken for {taken} of {b} x {c} px with {number_of(a, 'channel')}"
    # Of many channels that come first, the last axis is a width: seldom fewer than they are, or as many as are high.
    odd = c > CHANNELS and a != b and (c > a or b == c)
    if a <= CHANNELS < b or odd:
        taken = "(N, H, W, C): images" if many else "(H, W, C): an image"
        way = f"save it as x.transpose{(0, 2, 3, 1)}" if many else f"give x.transpose{(1, 2, 0)}"
        told = f"its shape {shape} is taken for {taken} of {a} x {b} px with {number_of(c, 'channel')}"
        return f"{told}; if channels come first, {way}"
    return ""


def open_arrays(path: Path | Distant) -> Arrays:
    with reading(path.name):
        status = path.stat()
    held = read_arrays(path)
    images = [name for name in held if name in ("x", "images")]
    if isinstance(held, Npz):
        images = images or [name for name, shape in held.shapes.items() if len(shape) in (3, 4)]
    if len(images) != 1:
        listed = printable(", ".join(held)) or "nothing"
        raise DataError(f"{printable(path.name)} must hold its images as 'x' or 'images'; it holds {listed}")
    labels = next((held[name] for name in LABELLED if name in held), None)
    source = Arrays(path.stem, held[images[0]], labels, (place_of(path), status))
    if isinstance(held, Npz):
        count = len(source)
        others = [name for name, shape in held.shapes.items() if shape == (count,) and name not in LABELLED]
        source.extra = {name: partial(_beside, held, name, count) for name in others}
    return source


def _beside(held: Mapping[str, NDArray[Any]], name: str, count: int) -> list[str]:
    return labels_of(held[name], count, name)


OPENS = {".npy": open_arrays, ".npz": open_arrays}
