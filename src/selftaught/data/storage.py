"""Where decoded images are: in memory, in a cache file shared between runs, or decoded again for every batch.

All three give the same pixels for the same row, so which one is used changes no result.
"""

import contextlib
import math
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from selftaught.system import clock
from selftaught.system.errors import DataError
from selftaught.system.files import TEMPORARY, cache_folder, left_behind, replacing, write_json
from selftaught.system.reading import json_in
from selftaught.system.saying import say
from selftaught.system.text import filesize, printable

MEMORY = 2 << 30  # bytes of decoded images that are held in memory
CACHE = 100 << 30  # bytes of the cache folder, where the disk has twice as much left
WORTH_CACHING = 32 << 20  # bytes; less is decoded again in a moment
RECORD, RECORD_EACH = 1 << 20, 1 << 11  # bytes of what is noted of images, beside those of each: a key and a reason
BATCHED = 256  # images handed to the decoding threads at once
ABANDONED = 24 * 3600  # seconds after which a half-built cache file has no builder any more
ENTRY = re.compile(r"[0-9a-f]{32}\.npy")  # no other file of the folder is ours

Rows = NDArray[np.int64]
Pixels = NDArray[Any]
Decoded = tuple[Pixels, float] | str  # an image on the canvas and its true aspect, or why there is none
Failures = list[tuple[str, str]]  # key and reason
Refuse = Callable[[Failures], None]  # raises where too many images failed
Progress = Callable[[int, int], None]  # takes how many are done, and of how many


class Storage(Protocol):
    """Decoded images by row."""

    shape: tuple[int, int, int]  # (H, W, C)
    dtype: np.dtype

    def take(self, rows: Rows) -> tuple[Pixels, NDArray[np.float32]]:
        """Pixels (N, H, W, C) and true aspects (N,), width to height."""

    def prefetch(self, rows: Rows) -> None:
        """A hint that these rows will be taken soon."""


class Resident(Storage):
    """Images in an array, which may be a memory-mapped file; of another type than `dtype` until they are taken."""

    def __init__(self, pixels: Pixels, aspect: NDArray[np.float32], dtype: np.dtype | None = None) -> None:
        self.pixels, self.aspect = pixels, aspect
        self.shape, self.dtype = pixels.shape[1:], dtype or pixels.dtype

    def take(self, rows: Rows) -> tuple[Pixels, NDArray[np.float32]]:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is looked for
            return np.ascontiguousarray(self.pixels[rows], self.dtype), self.aspect[rows]

    def prefetch(self, rows: Rows) -> None:
        """They are here already."""


class Streamed(Storage):
    """Images decoded whenever they are wanted, by threads that work ahead."""

    def __init__(self, work: "Work", kept: Rows) -> None:
        self.shape, self.dtype = work.shape, work.dtype
        self._work, self._kept = work, kept
        self._pool = ThreadPoolExecutor(work.workers or os.cpu_count(), thread_name_prefix="decode")
        self._coming: dict[int, Future[Decoded]] = {}

    def take(self, rows: Rows) -> tuple[Pixels, NDArray[np.float32]]:
        self.prefetch(rows)
        pixels = np.empty((len(rows), *self.shape), self.dtype)
        aspect = np.empty(len(rows), np.float32)
        for place, row in enumerate(rows.tolist()):
            made = self._coming[row].result()
            if isinstance(made, str):  # it was whole when the run began
                key = printable(self._work.keys[self._kept[row]])
                raise DataError(f"an image that was whole when the run began is so no more: {key}: {made}")
            pixels[place], aspect[place] = made
        for row in rows.tolist():
            self._coming.pop(row, None)
        return pixels, aspect

    def prefetch(self, rows: Rows) -> None:
        for row in rows.tolist():
            if row not in self._coming:
                self._coming[row] = self._pool.submit(self._work.read, int(self._kept[row]))


@dataclass
class Work:
    """A decoding to be done: what to read, in which shape, under which name it may be cached."""

    read: Callable[[int], Decoded]
    shape: tuple[int, int, int]  # of one, as it is stored
    dtype: np.dtype
    name: str  # of the cache file
    keys: Sequence[str]
    refuse: Refuse
    workers: int | None
    progress: Progress
    quarantined: Failures = field(default_factory=list)
    remarks: dict[str, list[str]] = field(default_factory=dict)  # by key, what of a file is not used

    @property
    def full_shape(self) -> tuple[int, ...]:
        """Of all of them together."""
        return (len(self.keys), *self.shape)


def stored(work: Work, memory: int, cache: int | None) -> tuple[Storage, Rows]:
    """The images of a work, decoded or found in the cache, and which of its rows they are.

    memory: bytes to hold at most; cache: bytes the cache folder may take (default: CACHE, or half of what is left
    on the disk); what fits neither is streamed. Fills `work.quarantined`.
    """
    needed = math.prod(work.full_shape) * work.dtype.itemsize
    file = cache_folder() / f"{work.name}.npy"
    if known := _cached(file, work, needed <= memory):
        work.refuse(work.quarantined)  # whoever filled the cache may have tolerated more
        return known
    if goes_to_cache(needed, memory):
        try:
            problem = _make_room(file.parent, needed, cache)
            if not problem:
                built = _built(file, work)
                return _cached(file, work, needed <= memory) or built
        except OSError as error:
            problem, work.quarantined = f"cannot be cached in {file.parent}: {error}", []
        if needed > memory:
            say(f"streaming: {filesize(needed)} of decoded images {problem}; they are decoded again for every batch")
            return _checked(work)
    return _resident(work, np.empty(work.full_shape, work.dtype))


def goes_to_cache(needed: int, memory: int) -> bool:
    """Whether so many bytes of decoded images are kept in a file, so that the next run need not decode them."""
    return needed > WORTH_CACHING or needed > memory


def _resident(work: Work, pixels: Pixels) -> tuple[Resident, Rows]:
    """Decode into `pixels`, packed: what fails leaves no gap."""
    kept: list[int] = []
    aspect = np.empty(len(work.keys), np.float32)
    for row, (image, own_aspect) in _decoded(work):
        pixels[len(kept)], aspect[len(kept)] = image, own_aspect
        kept.append(row)
    return Resident(pixels[: len(kept)], aspect[: len(kept)]), np.array(kept, np.int64)


def _checked(work: Work) -> tuple[Streamed, Rows]:
    """Decode everything once, only to know what is whole: so streaming leaves out what the others leave out."""
    notes = cache_folder() / f"{work.name}.whole.json"  # not the name of a cache file's: another job may build one
    if known := recorded(notes, work):
        work.quarantined = known.quarantined
        work.remarks |= known.remarks
        work.refuse(work.quarantined)
        kept = np.array(known.kept, np.int64)
    else:
        kept = np.array([row for row, _ in _decoded(work)], np.int64)
        with contextlib.suppress(OSError):  # the next run checks again
            notes.parent.mkdir(parents=True, exist_ok=True)
            write_json(notes, _record(kept, None, work))
    return Streamed(work, kept), kept


def _decoded(work: Work) -> Iterator[tuple[int, tuple[Pixels, float]]]:
    """Every whole image with its row, in order; decoded by threads a bounded number ahead."""
    count = len(work.keys)
    with ThreadPoolExecutor(work.workers or os.cpu_count()) as pool:
        for start in range(0, count, BATCHED):
            rows = range(start, min(start + BATCHED, count))
            for row, image in zip(rows, pool.map(work.read, rows)):
                if isinstance(image, str):
                    work.quarantined.append((work.keys[row], image))
                else:
                    yield row, image
                work.progress(row + 1, count)
    work.refuse(work.quarantined)


class Record(BaseModel):
    """What was found when images were decoded: which are whole, their aspects, and what is wrong with the others."""

    model_config = ConfigDict(allow_inf_nan=False)

    kept: list[int]
    aspect: list[Annotated[float, Field(gt=0)]] | None
    quarantined: list[tuple[str, str]]
    remarks: dict[str, list[str]] = {}  # by key, what of a file is not used

    def is_of(self, count: int) -> bool:
        """Whether it accounts for so many images, each of them once."""
        rising = all(before < after for before, after in zip([-1, *self.kept], [*self.kept, count]))
        aspects = self.aspect is None or len(self.aspect) == len(self.kept)
        return rising and aspects and len(self.kept) + len(self.quarantined) == count


def recorded(file: Path, work: Work) -> Record | None:
    """What an earlier run has found; None where there is none that fits, so that it is found anew."""
    try:
        known = Record.model_validate(json_in(file, limit=RECORD + RECORD_EACH * len(work.keys)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        known = None
    if known is None or not known.is_of(len(work.keys)):
        say(f"warning: {file} is damaged, and is made anew")
        return None
    return known


def _record(kept: Rows, aspect: NDArray[np.float32] | None, work: Work) -> dict[str, object]:
    listed = [(printable(key), reason) for key, reason in work.quarantined]
    aspects = None if aspect is None else aspect.tolist()
    return {"kept": kept.tolist(), "aspect": aspects, "quarantined": listed, "remarks": work.remarks}


def _built(file: Path, work: Work) -> tuple[Resident, Rows]:
    """Decode into a file of the cache, which appears under its name only when it is whole."""
    with replacing(file) as temporary:
        pixels = np.lib.format.open_memmap(temporary, "w+", work.dtype, work.full_shape)
        if hasattr(os, "posix_fallocate"):  # claim the blocks: a full disk is an error now, not a crash later
            with temporary.open("r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, temporary.stat().st_size)
        made, kept = _resident(work, pixels)
        np.memmap.flush(pixels)
        write_json(file.with_suffix(".json"), _record(kept, made.aspect, work))
    return made, kept


def _cached(file: Path, work: Work, in_memory: bool) -> tuple[Resident, Rows] | None:
    """What an earlier run has decoded, if it is there and whole."""
    try:
        known = recorded(file.with_suffix(".json"), work)
        if known is None or known.aspect is None:
            return None
        pixels = np.load(file, mmap_mode=None if in_memory else "r", allow_pickle=False)
        if pixels.shape != work.full_shape or pixels.dtype != work.dtype:
            return None
        work.quarantined = known.quarantined
        work.remarks |= known.remarks
    except (OSError, ValueError):
        return None
    kept, aspect = np.array(known.kept, np.int64), np.array(known.aspect, np.float32)
    with contextlib.suppress(OSError):  # a cache that others filled, for reading only
        os.utime(file)  # used now: the last to be evicted
    return Resident(pixels[: len(kept)], aspect), kept


def _stats(files: Iterable[Path]) -> dict[Path, os.stat_result]:
    """Size and time of last use of each file that is still there; other jobs evict and build here, too."""
    known = {}
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            known[file] = file.stat()
    return known


def _half_built(folder: Path) -> set[Path]:
    """Temporary files of entries whose builder has ended, or that nobody has written to for a day."""
    named = ((path, TEMPORARY.fullmatch(path.name)) for path in folder.glob(".*~*~*"))
    temporaries = _stats(path for path, match in named if match and ENTRY.fullmatch(match["of"]))
    ended = set(left_behind(folder))
    return {path for path, s in temporaries.items() if path in ended or clock.wall() - s.st_mtime > ABANDONED}


def _make_room(folder: Path, needed: int, budget: int | None) -> str | None:
    """Evict what was used longest ago until `needed` bytes fit; the problem where they cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    for abandoned in _half_built(folder):
        abandoned.unlink(missing_ok=True)
    entries = _stats(path for path in folder.glob("*.npy") if ENTRY.fullmatch(path.name))
    free = shutil.disk_usage(folder).free
    held = sum(entry.st_size for entry in entries.values())
    allowed = min(CACHE, held + free // 2) if budget is None else min(budget, held + free)
    if needed > allowed:
        return f"are more than the {filesize(allowed)} that the cache in {folder} may take (--cache)"
    for entry in sorted(entries, key=lambda entry: entries[entry].st_mtime):
        if held + needed <= allowed:
            break
        held -= entries[entry].st_size
        entry.unlink(missing_ok=True)
        entry.with_suffix(".json").unlink(missing_ok=True)
    return None
