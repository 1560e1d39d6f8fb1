"""Images of an object in Python that gives an item for each number: a list, a torch Dataset, one of Hugging Face."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from selftaught.data.sources.arrays import CHANNELS, Arrays, axes_told, channels_first, labels_of
from selftaught.data.sources.contents import SIZE, Contents, stamps_of
from selftaught.data.sources.encoded import Encoded, Labels, Stored, parts_of
from selftaught.data.sources.files import Files
from selftaught.data.sources.folder import SUFFIXES, read_regular
from selftaught.data.sources.handed import MARK, Handed, columns_of, held, is_table
from selftaught.data.sources.labels import NO_LABEL, known_labels, label_cells, label_in_python, labels_among
from selftaught.data.sources.remote import listed
from selftaught.data.sources.shards import PARQUET, TAR, of_files, open_shards
from selftaught.data.sources.source import MAX_BYTES, Beside, Unsteady, digest
from selftaught.data.sources.wrapped import on_the_host
from selftaught.system.addresses import is_remote
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import printable

TRIED = 16  # items of which one has to show what all are like: the very first may be broken
PIXELS = (np.uint8, np.uint16)  # beside floating point
Column = str | int | None  # of a mapping its name, of a tuple its place; None: the item itself


def open_handed(name: str, label_column: str | None = None, column: str | None = None) -> Encoded | Arrays:
    """The images that a name of Python's stands for. Raises UsageError and DataError."""
    given = held(name)
    source = _source(given, label_column, column)
    if given.labels is not None:
        source.labels = known_labels(labels_of(given.labels, len(source), given.name), given.name, source.note)
    return source


OPENS = {MARK: open_handed}


def _source(given: Handed, label_column: str | None, column: str | None) -> Encoded | Arrays:
    if is_table(given.data):
        columns = printable(", ".join(map(str, columns_of(given.data))))
        raise UsageError(f"{given.name} is a table: say which of {columns} holds the images with --column")
    paths = isinstance(given.data, list) and all(isinstance(item, str | os.PathLike) for item in given.data)
    if not paths and not isinstance(given.data, np.ndarray):
        return Items(given.name, given.data, column, label_column)
    if paths and all(map(is_remote, given.data)):
        return of_files(listed(given.data), given.name, label_column, column)
    if paths and all(os.fspath(item).lower().endswith((TAR, PARQUET)) for item in given.data):
        return open_shards([os.fspath(item) for item in given.data], given.name, label_column, column)
    for flag, asked in (("column", column), ("label_column", label_column)):
        if asked not in (None, NO_LABEL):
            raise UsageError(f"--{flag.replace('_', '-')} {printable(asked)}: {given.name} has no columns")
    return _of_paths(given) if paths else Arrays(given.name, given.data)


def _of_paths(given: Handed) -> Files:
    """Files that somebody has listed, in their order, named from the folder that they all lie in."""
    paths = [os.path.abspath(os.fspath(item)) for item in given.data]  # noqa: PTH100 - Path is ten times as slow
    root = os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120
    keys = [os.path.relpath(path, root) for path in paths]
    known = Contents(len(keys), f"{root}/{digest(*paths, between=b'/')}", lambda: stamps_of(paths, len(paths)))

    def sizes() -> list[int]:
        return stamps_of(paths, len(paths))[:, SIZE].tolist()

    source = Files(Path(root).name or given.name, keys, sizes, lambda row: read_regular(Path(paths[row])), (), known)
    if len(set(keys)) < len(keys):
        source.keys = list(map(str, range(len(keys))))
    return source


class Items(Encoded):
    """What an object gives for the numbers from 0; it is asked by one thread at a time."""

    def __init__(self, name: str, data: Any, column: str | None, label_column: str | None) -> None:
        """column: which part of an item is the image; label_column: which is the label."""
        self._data, self._alone = _undecoded(data, column), Lock()
        keys = list(map(str, range(len(data))))
        super().__init__(name, keys, lambda: [0] * len(keys), self._given, (), Contents(len(keys)), self._told)
        self._like = self._example()
        self._column = _image_in(self._like, column, name)
        self._asked = label_column
        image = _part(self._like, self._column)
        if isinstance(image, np.ndarray) and image.ndim == 3 and (told := axes_told(image.shape)):
            self.note(told)

    def _given(self, row: int) -> Stored:
        """Raises Unsteady where it is another one than before."""
        with self._alone:
            value = _part(self._data[row], self._column)
            if isinstance(value, Image):
                value.load()
        sample = stored(value)
        if not self.contents.again(row, *parts_of(sample)):
            way = "leave out its random transforms (views are made here), or save what it gives"
            raise Unsteady(f"{printable(self.name)} gives another sample {row} each time that it is asked: {way}")
        return sample

    def _example(self) -> Any:
        """An item, of the first of which one can be read."""
        why = ""
        for row in range(min(TRIED, len(self._data))):
            try:
                return self._data[row]
            except Exception as error:  # of somebody's own code
                why = why or f"item {row}: {type(error).__name__}: {error}".splitlines()[0]
        raise DataError(f"{printable(self.name)} gives none of its first items; {printable(why)}")

    def _told(self) -> Labels:
        columns = _labels_in(self._like, self._column, self._asked, printable(self.name))
        if not columns:
            return None
        cells = [self._cells(column) for column in columns]
        named = [str(column) for column in columns]
        return known_labels(label_cells(cells, named, printable(self.name)), ", ".join(named), self.note)

    def beside(self) -> Beside:
        """The other parts of items that have parts by name, where these are values; to read one all items are read."""
        if not isinstance(self._like, Mapping):
            return {}
        labels = _labels_in(self._like, self._column, self._asked, printable(self.name))
        others = {name: value for name, value in self._like.items() if name not in (self._column, *labels)}
        return {str(name): partial(self._cells, name) for name, value in others.items() if not _is_nested(value)}

    def _cells(self, column: Column) -> list[str]:
        """A part of every item as text, by the names that Hugging Face's ClassLabel has for its numbers."""
        features = _features(self._data)
        feature = features.get(column)
        names = dict(enumerate(getattr(getattr(feature, "feature", feature), "names", None) or ()))
        names = {-1: "", **names} if names else {}
        rows = range(len(self._data))
        values = self._data[column] if features else (self._value(row, column) for row in rows)
        return [label_in_python(value, names) for value in values]

    def _value(self, row: int, column: Column) -> Any:
        with suppress(Exception), self._alone:  # said when it is decoded
            return _part(self._data[row], column)
        return None


def stored(value: Any) -> Stored:
    """An image as it is stored: bytes, or of a path those of its file, an open picture, or pixels (H, W, C).

    Raises OSError where it is none.
    """
    if isinstance(value, Mapping) and "bytes" in value:  # as Hugging Face has an image that is not decoded
        value = value["bytes"] if value["bytes"] is not None else value.get("path")
    if isinstance(value, str | os.PathLike):
        return read_regular(Path(value))
    if isinstance(value, Image):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        if len(value) > MAX_BYTES:
            raise OSError(f"{len(value):,} bytes are more than any image takes")
        return bytes(value)
    return _pixels(value)


def _pixels(value: Any) -> NDArray[Any]:
    """Pixels (H, W, C) of an array (H, W), (H, W, C) or (C, H, W), or of a tensor, whose channels come first."""
    tensor = hasattr(value, "detach")
    pixels = np.asarray(on_the_host(value)) if hasattr(value, "__array__") else None
    if pixels is None or pixels.ndim not in (2, 3) or not pixels.size:
        shown = type(value).__name__ if pixels is None else f"an array of shape {pixels.shape}"
        raise OSError(f"{shown} is no image")
    if pixels.dtype not in PIXELS and pixels.dtype.kind != "f":
        raise OSError(f"pixels are uint8, uint16 or floating point, not {pixels.dtype}")
    if pixels.ndim == 2:
        return pixels[..., None]
    last = pixels.shape[2] <= CHANNELS < pixels.shape[0]
    first = not last if tensor else channels_first(pixels.shape)
    return pixels.transpose(1, 2, 0) if first else pixels


def _part(item: Any, column: Column) -> Any:
    return item if column is None else item[column]


def _parts(item: Any) -> dict[Any, Any]:
    """The parts of an item by name or place; none where it is an image itself."""
    if isinstance(item, Mapping):
        return {} if _is_image(item) else dict(item)
    return dict(enumerate(item)) if isinstance(item, tuple | list) else {}


def _is_nested(value: Any) -> bool:
    """Whether a part has parts by name itself, or is a list of such, as boxes are."""
    return any(isinstance(one, Mapping) for one in (value if isinstance(value, list | tuple) else [value]))


def _is_image(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "bytes" in value and set(value) <= {"bytes", "path"}
    if isinstance(value, str | os.PathLike):
        return os.fspath(value).lower().endswith(SUFFIXES)
    return isinstance(value, Image | bytes | bytearray) or getattr(value, "ndim", 0) in (2, 3)


def _image_in(item: Any, asked: str | None, name: str) -> Column:
    """Which part of an item is the image. Raises UsageError where that is not to be told."""
    parts, shown = _parts(item), printable(name)
    listed = ", ".join(printable(str(part)) for part in parts) or "none"
    if asked is not None:
        if (found := next((part for part in parts if str(part) == asked), None)) is None:
            raise UsageError(f"--column {printable(asked)} is no part of the items of {shown}; they have {listed}")
        return found
    if not parts:
        if not _is_image(item):
            raise UsageError(f"{shown} gives {type(item).__name__}, and samples are images, arrays, bytes or paths")
        return None
    images = [part for part, value in parts.items() if _is_image(value)]
    if not images and all(isinstance(value, int | float | str | None) for value in parts.values()):
        way = "give rows as a table: np.array(rows), or, where their parts have names, pandas.DataFrame(rows)"
        raise UsageError(f"{shown} gives items of {len(parts)} numbers or words, and none is an image: {way}")
    if len(images) != 1:
        raise UsageError(f"{shown} gives items with {len(images)} images: say which of {listed} with --column")
    return images[0]


def _labels_in(item: Any, column: Column, asked: str | None, shown: str) -> Sequence[Column]:
    """Which parts of an item are its labels: those asked for, by name, or the only other part of a tuple."""
    others = {str(part): part for part in _parts(item) if part != column}
    if isinstance(item, tuple | list) and asked is None:
        return list(others.values()) if len(others) == 1 else []
    return [others[name] for name in labels_among(list(others), asked, shown)]


def _features(data: Any) -> Mapping[Any, Any]:
    """What a data set of Hugging Face says of its columns; nothing of any other."""
    features = getattr(data, "features", None)
    return features if isinstance(features, Mapping) and hasattr(data, "column_names") else {}


def _undecoded(data: Any, column: str | None) -> Any:
    """A data set of Hugging Face whose images come as they are stored: its own decoder stops at a broken one."""
    for name, feature in _features(data).items():
        if getattr(feature, "decode", False) and column in (None, name) and type(feature).__name__ == "Image":
            data = data.cast_column(name, type(feature)(decode=False))
    return data
