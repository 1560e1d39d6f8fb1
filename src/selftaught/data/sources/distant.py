"""A file that lies elsewhere, read block by block: each block is fetched once, kept on this disk, and asked for again
where that came to nothing, for about a minute."""

import errno
import io
import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache, cached_property
from pathlib import Path, PurePosixPath
from random import SystemRandom
from threading import Lock
from time import sleep as pause
from typing import IO, TypeVar

from selftaught.data.sources.blocks import BlockCache
from selftaught.data.sources.index import Tag
from selftaught.data.sources.source import Unsteady, digest
from selftaught.data.sources.stores import NO_PARTS, Facts, Fault, name_in, store_of
from selftaught.system import clock
from selftaught.system.addresses import copied
from selftaught.system.errors import Unreachable
from selftaught.system.files import cache_folder
from selftaught.system.interruption import poll_here
from selftaught.system.saying import say
from selftaught.system.text import printable

BLOCK = 8 << 20  # bytes of a request
THREADS = 8  # that fetch
HELD = 16  # blocks in memory: as many as a batch has lanes
TRIES = 12
SHORTEST, LONGEST = 0.5, 8.0  # seconds of the pauses between tries, which are doubled, and cut by chance to a half
SILENT, APART = 8.0, 1.0  # seconds without a word, at most, while somebody waits; and between words, at least
SLICE = 1.0  # seconds between looks whether to stop
HASH = (1 << 63) - 1

Made = TypeVar("Made")
chance = SystemRandom().uniform  # of the pauses; nothing that is learnt depends on it


class Distant:
    """A file elsewhere. It is a `Shard`, and has what readers of files ask a path."""

    def __init__(self, url: str, name: str = "", facts: Facts | None = None) -> None:
        """name: what it is called among others; facts: how it looks, where that is known."""
        self.url = self.place = url
        self.name = name or name_in(url)
        self.store, self.path = store_of(url)
        self.reader, self.poll = _reader(cache_folder() / "remote", copied.get()), poll_here()
        if facts is not None:
            self.facts = facts

    def __str__(self) -> str:
        return self.url

    @property
    def stem(self) -> str:
        return PurePosixPath(name_in(self.url)).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(name_in(self.url)).suffix

    @cached_property
    def facts(self) -> Facts:
        """How it looked when it was first asked for."""
        return self.reader.asked(self, lambda: self.store.facts(self.path))

    def stat(self) -> os.stat_result:
        """Of a file that would be another one with each content."""
        inode, size = int(digest(self.facts.mark)[:16], 16) & HASH, self.facts.size
        return os.stat_result((0, inode, 0, 1, 0, 0, size, 0, 0, 0), {"st_mtime_ns": 0, "st_ctime_ns": 0})

    def tag(self) -> Tag:
        status = self.stat()
        return 0, status.st_ino, status.st_size, 0, 0

    def open(self, mode: str = "rb") -> IO[bytes]:
        """To be read from any place."""
        return io.BufferedReader(_Stream(self), 1 << 16)

    def stream(self) -> IO[bytes]:
        return io.BufferedReader(_Stream(self, ahead=True), 1 << 16)

    def read(self, offset: int, size: int, ahead: bool = False) -> bytes:
        return self.reader.read(self, offset, min(offset + size, self.facts.size), ahead)

    def fetched(self, start: int, stop: int) -> bytes:
        """Bytes that were asked for once. Raises Fault where not all have come, Unsteady where they are of another."""
        data, now = self.store.read(self.path, start, stop)
        if now is not None and now.differ(self.facts):
            raise Unsteady(f"{printable(self.url)} has changed since this command first looked at it: say it again")
        if len(data) > stop - start:
            raise OSError(errno.EOPNOTSUPP, NO_PARTS)
        if len(data) < stop - start:
            raise Fault(f"{len(data):,} bytes came of {stop - start:,}")
        return data


def place_of(file: Path | Distant) -> str:
    """Where a file is, whatever it was called."""
    return file.place if isinstance(file, Distant) else os.path.realpath(file)


def readable(path: Path | Distant) -> Path | IO[bytes]:
    """What a library takes for a file."""
    return path.open() if isinstance(path, Distant) else path


class _Stream(io.RawIOBase):
    """A distant file from some place on."""

    def __init__(self, file: Distant, ahead: bool = False) -> None:
        self._file, self._at, self._ahead = file, 0, ahead

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.facts.size}[whence]
        return self._at

    def readinto(self, into: "memoryview | bytearray") -> int:  # type: ignore[override]
        data = self._file.read(self._at, len(into), self._ahead) if self._at < self._file.facts.size else b""
        into[: len(data)] = data
        self._at += len(data)
        return len(data)


class Reader:
    """What the threads of a process read of distant files, by way of blocks that all of them share."""

    def __init__(self, kept: BlockCache) -> None:
        self._kept, self._alone = kept, Lock()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")
        self._coming: dict[str, Future[bytes]] = {}
        self._held: OrderedDict[str, bytes] = OrderedDict()  # those that came last
        self._said = -SILENT
        self._given_up = False  # and nothing has come since

    def read(self, file: Distant, start: int, stop: int, ahead: bool = False) -> bytes:
        """Bytes of a file; `ahead` where what follows will be asked for next."""
        numbers = range(start // BLOCK, -(-stop // BLOCK))
        if ahead and len(numbers) and numbers.stop * BLOCK < file.facts.size:
            self._fetch_ahead(file, numbers.stop)
        return b"".join(self._part(file, n, max(start - n * BLOCK, 0), min(stop - n * BLOCK, BLOCK)) for n in numbers)

    def _part(self, file: Distant, number: int, start: int, stop: int) -> bytes:
        name, length = _name(file, number), _length(file, number)
        with self._alone:
            held = self._held.get(name)
        if held is None:
            part = self._kept.part(name, length, start, stop)
            if part is not None:
                return part
            held = self._awaited(file, self._begun(file, number, name))
        return held[start:stop]

    def _fetch_ahead(self, file: Distant, number: int) -> None:
        if not self._kept.holds(name := _name(file, number)):
            self._begun(file, number, name)

    def _begun(self, file: Distant, number: int, name: str) -> "Future[bytes]":
        with self._alone:
            if name in self._held:
                done: Future[bytes] = Future()
                done.set_result(self._held[name])
                return done
            if name not in self._coming:
                self._coming[name] = self._pool.submit(self._come, file, number, name)
            return self._coming[name]

    def _come(self, file: Distant, number: int, name: str) -> bytes:
        """A block, from the disk where another thread or process has meanwhile kept it."""
        length, start = _length(file, number), number * BLOCK
        try:
            data = self._kept.part(name, length, 0, length) if self._kept.holds(name) else None
            if data is None:
                data = self._tried(file, lambda: file.fetched(start, start + length))
                self._kept.keep(name, data)
            with self._alone:
                self._held[name] = data
                if len(self._held) > HELD:
                    self._held.popitem(last=False)
            return data
        finally:
            with self._alone:
                self._coming.pop(name, None)

    def _awaited(self, file: Distant, coming: "Future[Made]") -> Made:
        began = clock.now()
        while not wait([coming], SLICE).done:
            file.poll()
            if clock.now() - began >= SILENT:
                self._say(f"waiting for {printable(file.url)}, {clock.now() - began:.0f} s by now", SILENT)
        return coming.result()

    def asked(self, file: Distant, ask: Callable[[], Made]) -> Made:
        """What a store says, which is waited for."""
        return self._awaited(file, self._pool.submit(self._tried, file, ask))

    def _tried(self, file: Distant, ask: Callable[[], Made]) -> Made:
        """What comes of asking a store, again after each fault. Raises Unreachable after the last.

        Where one has been given up, others are not asked for again, until something comes.
        """
        shown = printable(file.url)
        for number in range(1, TRIES + 1):
            try:
                made = ask()
                self._given_up = False
                return made
            except Fault as fault:
                if number == TRIES or self._given_up:
                    self._given_up = True
                    raise Unreachable(f"{shown} cannot be reached: {fault}") from None
                seconds = min(LONGEST, SHORTEST * 2 ** (number - 1)) * chance(0.5, 1)
                self._say(f"warning: {shown}: {fault}; trying again in {seconds:.1f} s ({number} of {TRIES})", APART)
                _rest(seconds, file.poll)
        raise AssertionError("not reached: the last try returns or raises")

    def _say(self, line: str, apart: float) -> None:
        """Say a line, unless another one was said just now."""
        with self._alone:
            due = clock.now() - self._said >= apart
            self._said = clock.now() if due else self._said
        if due:
            say(line)


def _rest(seconds: float, poll: Callable[[], None]) -> None:
    """Pause, unless the work is to end."""
    while seconds > 0:
        poll()
        pause(min(seconds, SLICE))
        seconds -= SLICE


def _length(file: Distant, number: int) -> int:
    return min(BLOCK, file.facts.size - number * BLOCK)


def _name(file: Distant, number: int) -> str:
    return digest(file.url, file.facts.mark, str(file.facts.size), str(BLOCK), str(number), between=b"\n")


@cache
def _reader(folder: Path, most: int | None) -> Reader:
    """One for all files of a process that are kept in the same folder."""
    return Reader(BlockCache(folder, most))
