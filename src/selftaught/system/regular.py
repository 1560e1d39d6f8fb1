"""Files opened for what they seem: no link is followed, and no pipe or device is waited for."""

import errno
import os
import stat
import sys
from pathlib import Path
from typing import IO

CHUNK = 1 << 20  # bytes that are read at a time
# Where a system has no such flag, the look before has to do.
GUARDED = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
GUARDED |= getattr(os, "O_BINARY", 0)
TO_THE_END = os.O_WRONLY | os.O_APPEND | os.O_CREAT
LINK, ODD = "is a link, which is not followed", "is no regular file"


def kind_of(file: str | Path, links: bool = False) -> str | None:
    """What keeps a path from being a regular file, such as LINK; None where it is one, or nothing is there."""
    try:
        status = os.stat(file, follow_symlinks=links)  # noqa: PTH116 - Path has no such choice in Python 3.11
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(status.st_mode):
        return LINK
    return None if stat.S_ISREG(status.st_mode) else ODD


def opened(file: Path, flags: int, links: bool = False) -> int:
    """A handle of a regular file, to be closed; `flags` as of os.open, and `links` says whether one may lead there.

    Raises OSError where it is none: with ELOOP of a link, with ENXIO of a pipe, a device or a folder.
    """
    if fault := kind_of(file, links):  # before it is opened, as even that may change a device
        raise _odd(file, fault)
    guarded = GUARDED & ~getattr(os, "O_NOFOLLOW", 0) if links else GUARDED
    handle = os.open(file, flags | guarded, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _odd(file, ODD)
    return handle


def _odd(file: Path, fault: str) -> OSError:
    return OSError(errno.ELOOP if fault == LINK else errno.ENXIO, fault, str(file))


def regular_bytes(file: Path, limit: int, links: bool = False) -> bytes:
    """What a regular file holds. Raises ValueError for more than `limit` bytes, and OSError."""
    with os.fdopen(opened(file, os.O_RDONLY, links), "rb") as stream:
        return bounded(stream, limit)


def bounded(stream: IO[bytes], limit: int) -> bytes:
    """What is left of a stream. Raises ValueError for more than `limit` bytes."""
    held = bytearray()
    while content := stream.read(min(CHUNK, limit + 1 - len(held))):  # not at once: so much memory would be taken first
        held += content
    if len(held) > limit:
        raise ValueError(f"it holds more than {limit:,} bytes")
    return bytes(held)


def created(file: Path) -> IO[bytes]:
    """A file that was not there, to be written. Raises FileExistsError where anything is, a link to nothing as well."""
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | GUARDED, 0o666), "wb")


def read_at(handle: int, count: int, place: int) -> bytes:
    """So many bytes of an open file at the most, from a place on."""
    if sys.platform != "win32":
        return os.pread(handle, count, place)
    os.lseek(handle, place, os.SEEK_SET)
    return os.read(handle, count)


def write_at(handle: int, content: bytes, place: int) -> None:
    """Put bytes into an open file, from a place on."""
    if sys.platform != "win32":
        os.pwrite(handle, content, place)
        return
    os.lseek(handle, place, os.SEEK_SET)
    os.write(handle, content)
