"""Where each sample of many shards is: a table on the disk, made once, of which a row is read when it is asked for.

It takes no memory to speak of, however many samples there are. A shard that was changed is read anew, the others are
taken over from the table that there was.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from selftaught.data.sources.contents import BYTES
from selftaught.data.sources.encoded import Passed
from selftaught.data.sources.source import digest
from selftaught.system.arrays import Pages
from selftaught.system.files import cache_folder, replacing, write_json
from selftaught.system.reading import json_in
from selftaught.system.regular import opened

# Of a sample: its bytes in the shard, its name among all names, and what tells its label, a .cls and a .json (of size
# 0 where there is none).
PLACES, SIZES = ("offset", "cls", "json", "name"), ("size", "cls_size", "json_size", "length")
ROW = np.dtype([*((name, "<i8") for name in PLACES), *((name, "<u4") for name in SIZES)])
FORMAT = 3  # another number where the same shards give another table
LARGEST = 256 << 20  # bytes of what a table says of its shards: a million of these
CHUNK = 1 << 24

Table = NDArray[np.void]  # (N,) of ROW
Tag = tuple[int, ...]


class Part(NamedTuple):
    """The samples of one shard."""

    rows: Table  # whose names begin at 0
    names: bytes
    passed: Sequence[Passed] = ()  # over


class Known(BaseModel):
    """A shard in a table: what it was called, how it looked, and how many samples and bytes of names it has there."""

    model_config = ConfigDict(extra="forbid")

    name: str
    tag: tuple[int, ...]
    count: int
    letters: int
    passed: list[Passed] = []


class Head(BaseModel):
    """What a table holds, and digests of its files."""

    model_config = ConfigDict(extra="forbid")

    format: int
    shards: list[Known]
    rows: str
    names: str
    seal: str = ""

    def sealed(self) -> str:
        return digest(self.model_dump_json(exclude={"seal"}))


class Index:
    """The table of some shards; `starts` (S + 1,) are the numbers of each shard's first sample."""

    def __init__(self, file: Path) -> None:
        """Raises OSError and ValueError where there is none that is whole."""
        self.head = Head.model_validate(json_in(file.with_suffix(".json"), limit=LARGEST))
        files = file, file.with_suffix(".names")
        sound = self.head.seal == self.head.sealed() and self.head.format == FORMAT
        if not sound or (self.head.rows, self.head.names) != tuple(map(_digest_of, files)):
            raise ValueError("it is damaged")
        self._pages = Pages(file)
        self._names, self._alone = os.fdopen(opened(files[1], os.O_RDONLY), "rb"), Lock()
        counts = [shard.count for shard in self.head.shards]
        self.starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
        letters = [shard.letters for shard in self.head.shards]
        self.name_starts = np.concatenate([[0], np.cumsum(letters, dtype=np.int64)]).astype(np.int64)
        if self._pages.dtype != ROW or self._pages.shape != (int(self.starts[-1]),):
            raise ValueError("it is of other shards")

    def __len__(self) -> int:
        return int(self.starts[-1])

    def shard_of(self, row: int) -> int:
        """The number of the shard that holds a sample."""
        return int(np.searchsorted(self.starts, row, side="right")) - 1

    def row(self, row: int) -> np.void:
        """What is known of a sample."""
        return self._pages[np.array([row])][0]

    def rows(self, start: int, stop: int) -> Table:
        """What is known of samples that follow each other."""
        return self._pages.span(start, stop)

    def name(self, row: int) -> str:
        """What a sample is called in its shard, as the shard has it."""
        known, first = self.row(row), int(self.name_starts[self.shard_of(row)])
        return os.fsdecode(self._letters(first + int(known["name"]), int(known["length"])))

    def part(self, shard: int) -> Part:
        """All samples of one shard."""
        first, last = (int(self.name_starts[shard + more]) for more in (0, 1))
        rows = self.rows(int(self.starts[shard]), int(self.starts[shard + 1]))
        return Part(rows, self._letters(first, last - first), self.head.shards[shard].passed)

    def _letters(self, start: int, size: int) -> bytes:
        with self._alone:
            self._names.seek(start)
            return self._names.read(size)


class Keys(Sequence[str]):
    """The names of all samples, each behind that of its shard; read when somebody asks for them."""

    def __init__(self, index: Index, shards: Sequence[str]) -> None:
        self._index, self._shards = index, shards

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[str]:
        for shard, name in enumerate(self._shards):  # whole, which is a hundred times as fast as one by one
            part = self._index.part(shard)
            for known in part.rows:
                yield f"{name}/{os.fsdecode(part.names[int(known['name']) : int(known['name'] + known['length'])])}"

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[place] for place in range(*row.indices(len(self)))]
        place = range(len(self))[row]
        return f"{self._shards[self._index.shard_of(place)]}/{self._index.name(place)}"


def file_for(*told: str) -> Path:
    """Where the table is kept that is told by these."""
    return cache_folder() / "shards" / f"{digest(*map(os.fsencode, told), between=b'/')}.npy"


def known_in(file: Path) -> Index | None:
    """The table in a file, if there is one that is whole."""
    with contextlib.suppress(OSError, ValueError):
        return Index(file)
    return None


def written(file: Path, shards: Iterator[tuple[str, Tag, Part]]) -> None:
    """Make a table of shards with their names and tags; one shard is in memory at a time."""
    listed = list[Known]()
    with replacing(file) as rows_file, replacing(file.with_suffix(".names")) as names_file:
        with rows_file.open("wb") as rows, names_file.open("wb") as names:
            _begin(rows, 0)
            for name, tag, part in shards:
                rows.write(part.rows.tobytes())
                names.write(part.names)
                count, letters, passed = len(part.rows), len(part.names), [*part.passed]
                listed.append(Known(name=name, tag=tag, count=count, letters=letters, passed=passed))
            rows.seek(0)
            _begin(rows, sum(shard.count for shard in listed))
        head = Head(format=FORMAT, shards=listed, rows=_digest_of(rows_file), names=_digest_of(names_file))
    write_json(file.with_suffix(".json"), head.model_copy(update={"seal": head.sealed()}).model_dump(mode="json"))


def _begin(rows: IO[bytes], count: int) -> None:
    """Write the header of a .npy; that of a longer array takes the same place, as numpy leaves room for it to grow."""
    about = {"descr": np.lib.format.dtype_to_descr(ROW), "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(rows, about)


def _digest_of(file: Path) -> str:
    found = blake2b(digest_size=BYTES)
    with os.fdopen(opened(file, os.O_RDONLY), "rb") as stream:
        while chunk := stream.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()
