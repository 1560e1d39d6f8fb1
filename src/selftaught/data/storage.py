"""Where decoded images are: in memory, in a cache file shared between runs, or decoded again for every batch.

All three give the same pixels for the same row, so which one is used changes no result.
"""

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any, Protocol
from uuid import uuid4
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from selftaught.data.cache import Facts, make_room
from selftaught.data.first_pass import Every
from selftaught.data.sources.source import Progress
from selftaught.system.arrays import Pages
from selftaught.system.errors import DataError
from selftaught.system.files import cache_folder, temporary_for
from selftaught.system.saying import say, say_once
from selftaught.system.text import filesize, printable

MEMORY = 2 << 30  # bytes of decoded images that are held in memory
WORTH_CACHING = 32 << 20  # bytes; less is decoded again in a moment
BATCHED = 256  # images handed to the decoding threads at once

Rows = NDArray[np.int64]
Pixels = NDArray[Any]
Decoded = tuple[Pixels, float] | str  # an image on the canvas and its true aspect, or why there is none
Failures = list[tuple[str, str]]  # key and reason
Refuse = Callable[[Failures], None]  # raises where too many images failed


class Storage(Protocol):
    """Decoded images by row."""

    shape: tuple[int, int, int]  # (H, W, C)
    dtype: np.dtype

    def take(self, rows: Rows) -> tuple[Pixels, NDArray[np.float32]]:
        """Pixels (N, H, W, C) and true aspects (N,), width to height."""

    def prefetch(self, rows: Rows) -> None:
        """A hint that these rows will be taken soon."""


class Resident(Storage):
    """Images in an array, which may be on the disk; of another type than `dtype` until they are taken."""

    def __init__(self, pixels: Pixels | Pages, aspect: NDArray[np.float32], dtype: np.dtype | None = None) -> None:
        self.pixels, self.aspect = pixels, aspect
        self.shape, self.dtype = pixels.shape[1:], dtype or pixels.dtype

    def take(self, rows: Rows) -> tuple[Pixels, NDArray[np.float32]]:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is looked for
            return np.ascontiguousarray(self.pixels[rows], self.dtype), self.aspect[rows]

    def prefetch(self, rows: Rows) -> None:
        """They are here already."""


class Cached(Resident):
    """Images in a file of the cache, each compared with its checksum whenever it is read from the disk.

    One that is damaged there is decoded again, each time, and the file is not used by another run.
    """

    def __init__(self, file: Path, pixels: Pixels | Pages, facts: Facts, work: "Work") -> None:
        super().__init__(pixels, np.array(facts.aspect, np.float32))
        self._file, self._work, self._kept = file, work, facts.kept
        self._sums = np.array(facts.sums, np.uint32)
        # What is in memory is read once; of what stays on the disk somebody may change a row after it was seen.
        self._seen, self._warned = np.zeros(len(facts.kept), np.bool_), False

    def take(self, rows: Rows) -> tuple[Pixels, NDArray[np.float32]]:
        pixels, aspect = super().take(rows)
        for place in np.flatnonzero(~self._seen[rows]).tolist():
            row = int(rows[place])
            if _sum(pixels[place]) != self._sums[row]:
                self._warn()
                pixels[place] = self._again(row)
            elif not isinstance(self.pixels, Pages):
                self._seen[row] = True
        return pixels, aspect

    def _warn(self) -> None:
        if not self._warned:
            say(f"warning: {printable(str(self._file))} is damaged; what is damaged there is decoded again")
            with contextlib.suppress(OSError):
                self._file.with_suffix(".json").unlink()
        self._warned = True

    def _again(self, row: int) -> Pixels:
        made = self._work.read(self._kept[row])
        if isinstance(made, str) or _sum(made[0]) != self._sums[row]:
            raise self._work.changed(self._kept[row], made if isinstance(made, str) else "it has changed since")
        return made[0]


def _sum(pixels: Pixels) -> int:
    """A checksum of one image."""
    return crc32(np.ascontiguousarray(pixels).data.cast("B"))


class Streamed(Storage):
    """Images decoded whenever they are wanted, by threads that work ahead."""

    def __init__(self, work: "Work", kept: Rows | Every) -> None:
        self.shape, self.dtype = work.shape, work.dtype
        self._work, self._kept = work, kept
        self._pool = ThreadPoolExecutor(work.workers or os.cpu_count(), thread_name_prefix="decode")
        self._coming: dict[int, Future[Decoded]] = {}
        self._alone = RLock()  # a batch may be made ahead while a look takes another

    def take(self, rows: Rows) -> tuple[Pixels, NDArray[np.float32]]:
        with self._alone:
            self.prefetch(rows)
            coming = [self._coming[row] for row in rows.tolist()]
            for row in rows.tolist():
                self._coming.pop(row, None)
        pixels = np.empty((len(rows), *self.shape), self.dtype)
        aspect = np.empty(len(rows), np.float32)
        for place, row in enumerate(rows.tolist()):
            made = coming[place].result()
            if isinstance(made, str):  # it was whole when the run began
                raise self._work.changed(int(self._kept[row]), made)
            pixels[place], aspect[place] = made
        return pixels, aspect

    def prefetch(self, rows: Rows) -> None:
        with self._alone:
            for row in rows.tolist():
                if row not in self._coming:
                    self._coming[row] = self._pool.submit(self.decoded, int(self._kept[row]))

    def decoded(self, row: int) -> Decoded:
        """The image of a row of the work; called by the threads."""
        return self._work.read(row)


@dataclass
class Work:
    """A decoding to be done: what to read, in which shape, and under which name it may be cached."""

    read: Callable[[int], Decoded]
    shape: tuple[int, int, int]  # of one, as it is stored
    dtype: np.dtype
    name: Callable[[], str | None]  # of what is made, by the content of all; None as long as that is not known
    keys: Sequence[str]
    refuse: Refuse
    workers: int | None
    progress: Progress
    quarantined: Failures = field(default_factory=list)
    noted: dict[int, list[str]] = field(default_factory=dict)  # by row, what of a file is not used

    @property
    def full_shape(self) -> tuple[int, ...]:
        """Of all of them together."""
        return (len(self.keys), *self.shape)

    @property
    def remarks(self) -> dict[str, list[str]]:
        """By key, what of a file is not used."""
        return {printable(self.keys[row]): self.noted[row] for row in sorted(self.noted)}

    def changed(self, row: int, reason: str) -> DataError:
        """What to raise where an image is no more what it was."""
        key = printable(self.keys[row])
        return DataError(f"an image that was whole when the run began is so no more: {key}: {reason}")

    def take_over(self, facts: Facts) -> None:
        """List what is broken and what is not used, by an earlier run; it may have tolerated more."""
        self.noted.update(facts.noted)
        self.quarantined = [(self.keys[row], reason) for row, reason in facts.quarantined]
        self.refuse(self.quarantined)


def stored(work: Work, memory: int, cache: int | None) -> tuple[Storage, Rows]:
    """The images of a work, decoded or found in the cache, and which of its rows they are.

    memory: bytes to hold at most; cache: bytes the cache folder may take (default: CACHE, or half of what is left
    on the disk); what fits neither is streamed. Fills `work.quarantined`.
    """
    needed = math.prod(work.full_shape) * work.dtype.itemsize
    if goes_to_cache(needed, memory):
        if known := _cached(work, needed <= memory):
            return known
        folder = cache_folder()
        try:
            problem = make_room(folder, needed, cache)
            if not problem:
                return _built(folder, work, needed <= memory)
        except OSError as error:
            problem, work.quarantined = f"cannot be cached in {printable(folder)}: {printable(error)}", []
            if needed <= memory:
                say_once(
                    f"warning: decoded images {problem}; the next run decodes them again ($SELFTAUGHT_CACHE moves it)"
                )
        if needed > memory:
            say(f"streaming: {filesize(needed)} of decoded images {problem}; they are decoded again for every batch")
            return _checked(work)
    pixels = np.empty(work.full_shape, work.dtype)
    return _resident(pixels, _filled(work, pixels))


def goes_to_cache(needed: int, memory: int) -> bool:
    """Whether so many bytes of decoded images are kept in a file, so that the next run need not decode them."""
    return needed > WORTH_CACHING or needed > memory


def _resident(pixels: Pixels, facts: Facts) -> tuple[Resident, Rows]:
    return Resident(pixels[: len(facts.kept)], np.array(facts.aspect, np.float32)), np.array(facts.kept, np.int64)


def _filled(work: Work, pixels: Pixels) -> Facts:
    """Decode into `pixels`, packed: what fails leaves no gap."""
    facts = Facts(kept=[], quarantined=[])
    for row, (image, aspect) in _decoded(work, facts):
        pixels[len(facts.kept)] = image
        facts.aspect.append(aspect)
        facts.sums.append(_sum(pixels[len(facts.kept)]))
        facts.kept.append(row)
    return facts


def _checked(work: Work) -> tuple[Streamed, Rows]:
    """Decode everything once, only to know what is whole: so streaming leaves out what the others leave out."""
    if (name := work.name()) and (known := _known(work, _notes(name))):
        work.take_over(known)
        return Streamed(work, kept := np.array(known.kept, np.int64)), kept
    facts = Facts(kept=[], quarantined=[])
    facts.kept = [row for row, _ in _decoded(work, facts)]
    if name := work.name():
        with contextlib.suppress(OSError):  # the next run checks again
            _notes(name).parent.mkdir(parents=True, exist_ok=True)
            facts.write(_notes(name))
    return Streamed(work, kept := np.array(facts.kept, np.int64)), kept


def _known(work: Work, file: Path) -> Facts | None:
    """What an earlier run has noted in a file of the same images."""
    facts = Facts.read(file, len(work.keys))
    return facts and facts.as_now(work.read)


def _notes(name: str) -> Path:
    return cache_folder() / f"{name}.whole.json"  # not the name of a cache file's: another job may build one


def _decoded(work: Work, facts: Facts) -> Iterator[tuple[int, tuple[Pixels, float]]]:
    """Every whole image with its row, in order, and the others into the facts; threads work a bounded number ahead."""
    count = len(work.keys)
    with ThreadPoolExecutor(work.workers or os.cpu_count()) as pool:
        for start in range(0, count, BATCHED):
            rows = range(start, min(start + BATCHED, count))
            for row, image in zip(rows, pool.map(work.read, rows)):
                if isinstance(image, str):
                    facts.quarantined.append((row, image))
                else:
                    yield row, image
                work.progress(row + 1, count)
    facts.noted = dict(work.noted)
    work.take_over(facts)


def _built(folder: Path, work: Work, in_memory: bool) -> tuple[Storage, Rows]:
    """Decode into a file of the cache, which appears under its name only when it is whole."""
    temporary = temporary_for(folder / f"{uuid4().hex}.npy")  # all must be read before its name is known
    try:
        pixels = np.lib.format.open_memmap(temporary, "w+", work.dtype, work.full_shape)
        if hasattr(os, "posix_fallocate"):  # claim the blocks: a full disk is an error now, not a crash later
            with temporary.open("r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, temporary.stat().st_size)
        facts = _filled(work, pixels)
        np.memmap.flush(pixels)
        if known := _cached(work, in_memory):  # the same pictures lie under other names as well
            return known
        if name := work.name():
            facts.write(folder / f"{name}.json")
            temporary.replace(folder / f"{name}.npy")
    finally:
        temporary.unlink(missing_ok=True)
    return _cached(work, in_memory) or _resident(pixels, facts)


def _cached(work: Work, in_memory: bool) -> tuple[Cached, Rows] | None:
    """What an earlier run has decoded of the same content, if it is there and whole."""
    name = work.name()
    file = cache_folder() / f"{name}.npy"
    if not name or not (facts := _known(work, file.with_suffix(".json"))):
        return None
    try:
        pages = Pages(file)
        own = pages.shape == work.full_shape and pages.dtype == work.dtype
        if not own or not len(facts.kept) == len(facts.aspect) == len(facts.sums):
            return None
        pixels = pages[np.arange(len(facts.kept))] if in_memory else pages
    except (OSError, ValueError):
        return None
    work.take_over(facts)
    with contextlib.suppress(OSError):  # a cache that others filled, for reading only
        os.utime(file)  # used now: the last to be evicted
    return Cached(file, pixels, facts, work), np.array(facts.kept, np.int64)
