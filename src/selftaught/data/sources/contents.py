"""Which content each sample has: a digest of its bytes, remembered for as long as nobody touches their file.

A file that was not touched has the device, inode, size and times of change that it had. So a second start reads nothing
to know what its samples are, whatever the files are called.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selftaught.system import clock
from selftaught.system.files import cache_folder, write_atomically

BYTES = 16  # of a digest
NUMBERS = 6  # of a stamp: device, inode, size, when content and entry were changed (ns), place of the sample inside
SIZE, TIMES = 2, slice(3, 5)  # places in a stamp
INODE = (1 << 63) - 1  # what of an inode's number fits
RECORD = np.dtype([("stamp", "<i8", NUMBERS), ("digest", "u1", BYTES)])
LARGEST = 1 << 30  # bytes of an index
LAYOUT = b"2"  # of an index; those of before may tell a content that is another sample's
SETTLED = 2.0  # seconds, the coarsest clock of a file system; what was changed since may change and keep its times
MIXED = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 3, 5, 7], np.uint64)  # odd

Rows = NDArray[np.int64]
Stamps = NDArray[np.int64]  # (N, 6)
Digests = NDArray[np.uint8]  # (N, 16)


def column_in(place: str, column: str) -> str:
    """The name for the contents of one column, or data set, of a file: the rows of another hold something else."""
    return f"{place}\0{column}"


def content_of(*parts: bytes | memoryview) -> bytes:
    """A digest of all parts, one after another."""
    found = hashlib.blake2b(digest_size=BYTES)
    for part in parts:
        found.update(part)
    return found.digest()


class Contents:
    """The digests of a source's samples, as far as they are known."""

    def __init__(self, count: int, name: str = "", stamps: Callable[[], Stamps] | None = None) -> None:
        """`name` and `stamps` tell the index of the source and its samples; without them nothing is remembered."""
        self.known, self.digests = np.zeros(count, np.bool_), np.zeros((count, BYTES), np.uint8)
        self._noted = np.zeros(count, np.bool_)  # by this process
        self._file = cache_folder() / "contents" / f"{content_of(os.fsencode(name)).hex()}.bin"
        self.name, self.stamps, self._stamped, self._new = name, stamps, np.zeros((0, NUMBERS), np.int64), False

    @classmethod
    def joined(cls, parts: "Sequence[Contents]", name: str) -> "Contents":
        """Those of several sources, one behind the other."""
        stamps = [part.stamps for part in parts if part.stamps]
        return cls(sum(len(part.known) for part in parts), name, lambda: np.concatenate([told() for told in stamps]))

    def recall(self) -> None:
        """Look up what earlier runs have read; only the first time."""
        if self.stamps is None or len(self._stamped):
            return
        self._now, self._stamped = clock.wall(), self.stamps()
        held = records_in(self._file)
        if len(held):
            places = _places(held["stamp"], self._stamped)
            recalled = (places >= 0) & ~self._noted  # what was read just now counts for more, and may stand in no index
            self.known |= recalled
            self.digests[recalled] = held["digest"][places[recalled]]

    def note(self, row: int, *parts: bytes | memoryview) -> None:
        """Know a sample by its bytes, which were read now for the first time; called by several threads.

        They count for more than what was remembered: the file may have changed since it was looked at.
        """
        if self._noted[row]:
            return
        found = np.frombuffer(content_of(*parts), np.uint8)
        if not self.known[row] or (self.digests[row] != found).any():
            self.digests[row], self._new = found, True
        self.known[row] = self._noted[row] = True

    def again(self, row: int, *parts: bytes | memoryview) -> bool:
        """Whether a sample is what it was when it was noted; it is noted now where it was not."""
        known = bool(self._noted[row])
        self.note(row, *parts)
        return not known or self.digests[row].tobytes() == content_of(*parts)

    def remember(self) -> None:
        """Keep what was read since, but of files that were changed just now; a full disk is no harm."""
        if not self._new or not len(self._stamped):
            return
        settled = self.known & (self._stamped[:, TIMES].max(axis=1) < (self._now - SETTLED) * 1e9)
        records = np.zeros(int(settled.sum()), RECORD)
        records["stamp"], records["digest"], self._new = self._stamped[settled], self.digests[settled], False
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            body = records.tobytes()
            write_atomically(self._file, seal(body) + body)


def seal(body: bytes) -> bytes:
    """What stands before the records of an index, and tells that they are whole and of today's layout."""
    return content_of(LAYOUT, body)


def records_in(file: Path) -> NDArray[np.void]:
    """The records of an index; none where it is damaged, and made anew then."""
    with suppress(OSError):
        if file.stat().st_size <= LARGEST:
            held = file.read_bytes()
            if held[:BYTES] == seal(held[BYTES:]) and not len(held[BYTES:]) % RECORD.itemsize:
                return np.frombuffer(held, RECORD, offset=BYTES)
    return np.zeros(0, RECORD)


def _places(held: Stamps, asked: Stamps) -> Rows:
    """Where each of the asked stamps stands among those held; -1 for none."""
    keys, wanted = ((stamps.astype(np.uint64) * MIXED).sum(axis=1) for stamps in (held, asked))
    order = np.argsort(keys, kind="stable")
    found = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(held) - 1)]
    return np.where((held[found] == asked).all(axis=1), found, -1)


def stamps_of(files: Iterable[str], count: int) -> Stamps:
    """The stamps of so many files with a sample each; those of a file that is gone have a size of -1."""
    return np.fromiter((_stamp(file) for file in files), np.dtype((np.int64, NUMBERS)), count)


def stamps_in(file: os.stat_result, places: Sequence[int] | Rows) -> Stamps:
    """The stamps of samples in one file, told apart by where they are in it."""
    stamps = np.tile(np.array(_numbers(file), np.int64), (len(places), 1))
    stamps[:, -1] = places
    return stamps


def _stamp(file: str) -> tuple[int, ...]:
    try:
        return _numbers(os.stat(file))  # noqa: PTH116 - Path is ten times as slow
    except OSError:
        return 0, 0, -1, 0, 0, 0


def _numbers(s: os.stat_result) -> tuple[int, ...]:
    return s.st_dev, s.st_ino & INODE, s.st_size, s.st_mtime_ns, s.st_ctime_ns, 0
