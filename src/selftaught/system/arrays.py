"""The door for files of numbers: .npy, .npz and safetensors, whose headers say what they hold before any of it is read.

All raise ValueError, in one line, where a file is not what it should be, and OSError where it cannot be read.
"""

import io
import math
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from selftaught.system.bombs import refuse_bomb
from selftaught.system.regular import opened

SUFFIX = ".npy"  # of every member of a .npz
LARGEST_HEAD = 1 << 14  # bytes of what says the shape and type of an array
LARGEST_HEADER = 16 << 20  # bytes of what safetensors says of its tensors; of thousands it is a few hundred thousand

Header = tuple[tuple[int, ...], np.dtype]


class Stored(Protocol):
    """A file that lies elsewhere than on a disk."""

    name: str

    def open(self, mode: str, /) -> IO[bytes]: ...


class Npz(Mapping[str, NDArray[Any]]):
    """The arrays of a .npz by name; each is read when it is asked for, and no other is."""

    def __init__(self, file: "Path | Stored", links: bool = False) -> None:
        """links: whether one may lead to the file, as where the user has named it."""
        self.file, self.links = file, links
        self.headers: dict[str, Header] = {}
        with self._archive() as archive:
            for member in archive.namelist():
                if member.endswith(SUFFIX):
                    with archive.open(member) as stream:
                        self.headers[member.removesuffix(SUFFIX)] = header_of(stream)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Those of all arrays, of which none is read for that."""
        return {name: shape for name, (shape, _) in self.headers.items()}

    @contextmanager
    def _archive(self) -> Iterator[zipfile.ZipFile]:
        try:
            with self._opened() as file, zipfile.ZipFile(file) as archive:
                yield archive
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
            raise ValueError(str(error) or type(error).__name__) from None

    def _opened(self) -> IO[bytes]:
        if isinstance(self.file, Path):
            return os.fdopen(opened(self.file, os.O_RDONLY, self.links), "rb")
        return self.file.open("rb")

    def __getitem__(self, name: str) -> NDArray[Any]:
        shape, kind = self.headers[name]
        with self._archive() as archive:
            info = archive.getinfo(name + SUFFIX)
            if (announced := math.prod(shape) * kind.itemsize) > info.file_size:
                raise ValueError(f"{name!r} says that it is of shape {shape}, and holds fewer bytes")
            refuse_bomb(announced, info.compress_size, repr(name))
            with archive.open(info) as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)

    def __contains__(self, name: object) -> bool:
        return name in self.headers  # nothing is read for that

    def __iter__(self) -> Iterator[str]:
        return iter(self.headers)

    def __len__(self) -> int:
        return len(self.headers)


def header_of(stream: IO[bytes]) -> Header:
    """Shape and type of an array, by the header at which a stream stands."""
    return _head(stream)[0]


def _head(stream: IO[bytes]) -> tuple[Header, int]:
    """The header at which a stream stands, and how many bytes it takes."""
    stream = io.BytesIO(stream.read(LARGEST_HEAD))  # or what says that it is longer would be believed
    try:
        old = np.lib.format.read_magic(stream) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
        shape, _, kind = read(stream)
    except Exception as error:  # it is a line of Python, which is wrong in as many ways as Python can be
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"it has no header of an array: {reason}") from None
    return (shape, kind), stream.tell()


def npy(values: NDArray[Any]) -> bytes:
    """The bytes of a .npy."""
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def array_in(file: Path, largest: int) -> NDArray[Any]:
    """The array of a .npy of at most so many bytes."""
    with os.fdopen(opened(file, os.O_RDONLY), "rb") as stream:
        if os.fstat(stream.fileno()).st_size > largest:
            raise ValueError(f"it holds more than {largest:,} bytes")
        return array_of(stream, largest)


def array_of(stream: IO[bytes], largest: int) -> NDArray[Any]:
    """The array of a .npy, open at its start, of at most so many bytes."""
    shape, kind = header_of(stream)
    if math.prod(shape) * kind.itemsize > largest:
        raise ValueError(f"it says that it is of shape {shape}, and holds fewer bytes")
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


class Pages:
    """The array (N, ...) of a .npy, which stays on the disk: rows are read when they are asked for.

    A memory map would end the process by SIGBUS where somebody cuts the file meanwhile; here what is cut off is zeros.
    """

    shape: tuple[Any, ...]

    def __init__(self, file: Path) -> None:
        """Raises OSError and ValueError where it is no such file."""
        self._stream = os.fdopen(opened(file, os.O_RDONLY), "rb")  # closed with the last who holds it
        (self.shape, self.dtype), self._begin = _head(self._stream)
        self._alone, self._bytes = Lock(), math.prod(self.shape[1:]) * self.dtype.itemsize
        if not self.shape or self._begin + self.shape[0] * self._bytes > os.fstat(self._stream.fileno()).st_size:
            raise ValueError("it holds less than it says")

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """(len(rows), ...)."""
        values = np.zeros((len(rows), *self.shape[1:]), self.dtype)
        into = values.reshape(len(rows), -1).view(np.uint8)
        for place, row in enumerate(rows.tolist()):
            self._read(self._begin + row * self._bytes, into[place].data)
        return values

    def span(self, start: int, stop: int) -> NDArray[Any]:
        """Rows that follow each other (stop - start, ...), in one read."""
        values = np.zeros((stop - start, *self.shape[1:]), self.dtype)
        self._read(self._begin + start * self._bytes, values.reshape(-1).view(np.uint8).data)
        return values

    def _read(self, begin: int, into: memoryview) -> None:
        if hasattr(os, "preadv"):
            os.preadv(self._stream.fileno(), [into], begin)
        else:  # on Windows, where a file has one place at a time
            with self._alone:
                self._stream.seek(begin)
                self._stream.readinto(into)


def refuse_odd_weights(file: Path, links: bool = False) -> None:
    """Raise ValueError where a safetensors file says more of its tensors than any has to say."""
    with os.fdopen(opened(file, os.O_RDONLY, links), "rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
    if size > LARGEST_HEADER:
        raise ValueError(f"its header has {size:,} bytes, more than the {LARGEST_HEADER:,} that tensors take to name")
