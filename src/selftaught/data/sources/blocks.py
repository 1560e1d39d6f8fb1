"""Blocks of files that lie elsewhere, kept on this disk: for all processes of a machine, within a budget.

What was used longest ago goes first. Each part that is read of a block is compared with its checksum, so that what the
disk has damaged is fetched again. Nothing but what is called as a block is ever removed, and only in this folder.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from zlib import crc32

from selftaught.system.files import TEMPORARY, cache_folder, created, left_behind, temporary_for
from selftaught.system.regular import opened, read_at, write_at
from selftaught.system.saying import say
from selftaught.system.text import printable

if sys.platform != "win32":  # where a budget may be exceeded, if several processes fill the folder at a time
    import fcntl

MOST = 100 << 30  # bytes, where nobody says how many, and the disk has twice as much left
ENTRY = re.compile(r"[0-9a-f]{32}\.block")
LEDGER = "held"  # a file with the bytes of all blocks, which whoever adds one locks
PAGE = 1 << 16  # bytes with a checksum of their own
SLACK = 16  # a part of the budget that is freed as well, so that the folder need not be looked through each time


class BlockCache:
    """A folder of blocks; a full disk ends the keeping, and nothing else."""

    def __init__(self, folder: Path | None = None, most: int | None = None) -> None:
        """`most`: bytes that the folder may take; default: MOST, or half of what is left on the disk."""
        self.folder, self._most = folder or cache_folder() / "remote", most
        self._allowed: int | None = None
        self._off = most == 0

    def holds(self, name: str) -> bool:
        """Whether a block is there; it may be gone in the next moment."""
        return not self._off and self._file(name).is_file()

    def part(self, name: str, length: int, start: int, stop: int) -> bytes | None:
        """Bytes of a block of so many; None where it is not there, or no more what it was."""
        if self._off:
            return None
        first, last, file = start // PAGE, -(-stop // PAGE), self._file(name)
        wanted = min(last * PAGE, length) - first * PAGE
        try:
            with os.fdopen(opened(file, os.O_RDONLY), "rb", 0) as stream:
                stream.seek(first * PAGE)
                pages = stream.read(wanted)
                stream.seek(length + SUM * first)
                sums = stream.read(SUM * (last - first))
        except OSError:
            return None
        if len(pages) != wanted or sums != _sums(pages):  # of nothing, as a cut file has there, nothing is the sum
            say(f"warning: {printable(str(file))} is damaged; what it holds is fetched again")
            file.unlink(missing_ok=True)
            return None
        with suppress(OSError):  # used now: the last to go
            os.utime(file)
        return pages[start - first * PAGE : stop - first * PAGE]

    def keep(self, name: str, data: bytes) -> None:
        """Keep a block, as far as there is room for it."""
        if self._off:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with _alone_with(self.folder / LEDGER) as ledger:
                if self._makes_room(ledger, len(data) + len(sums := _sums(data))):
                    self._write(self._file(name), data, sums)
        except OSError as error:
            self._off = True
            say(f"warning: nothing more is kept in {printable(str(self.folder))}: {printable(str(error))}")

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.block"

    def _write(self, file: Path, data: bytes, sums: bytes) -> None:
        temporary = temporary_for(file)
        try:
            with created(temporary) as stream:
                stream.write(data)
                stream.write(sums)
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)

    def _makes_room(self, ledger: int, size: int) -> bool:
        """Whether so many bytes more are allowed, which are counted from now on; old blocks go where they have to."""
        held = _number_in(ledger)
        if held is None or self._allowed is None or held + size > self._allowed:
            held = self._evict(size)
        fits = held + size <= (self._allowed or 0)
        write_at(ledger, b"%020d" % (held + size * fits), 0)
        return fits

    def _evict(self, size: int) -> int:
        """Look through the folder, and remove until so many bytes fit; the bytes that stay."""
        for path in left_behind(self.folder):
            if (match := TEMPORARY.fullmatch(path.name)) and ENTRY.fullmatch(match["of"]):
                path.unlink(missing_ok=True)
        entries = dict(_entries(self.folder))
        held, free = sum(status.st_size for status in entries.values()), shutil.disk_usage(self.folder).free
        self._allowed = min(MOST, held + free // 2) if self._most is None else min(self._most, held + free)
        if held + size <= self._allowed or size > self._allowed:
            return held
        for path in sorted(entries, key=lambda path: entries[path].st_mtime_ns):
            path.unlink(missing_ok=True)
            held -= entries[path].st_size
            if held + size <= self._allowed - self._allowed // SLACK:
                break
        return held


SUM = 4  # bytes of a checksum


def _sums(pages: bytes) -> bytes:
    """The checksum of each page."""
    view = memoryview(pages)
    return b"".join(crc32(view[at : at + PAGE]).to_bytes(SUM, "little") for at in range(0, len(view), PAGE))


def _entries(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    with os.scandir(folder) as found:
        for entry in found:
            with suppress(FileNotFoundError):
                if ENTRY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    yield folder / entry.name, entry.stat(follow_symlinks=False)


@contextmanager
def _alone_with(file: Path) -> Iterator[int]:
    """A handle of a file that no other thread or process has meanwhile."""
    handle = opened(file, os.O_RDWR | os.O_CREAT)
    try:
        if sys.platform != "win32":
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _number_in(ledger: int) -> int | None:
    """What the ledger says; None where it is new, or was cut short."""
    told = read_at(ledger, 21, 0)
    return int(told) if re.fullmatch(rb"\d{20}", told) else None
