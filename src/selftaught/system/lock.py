"""Who writes: one process at a time in a run folder, known by its host, its number and when it started."""

import json
import os
import platform
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from selftaught.system.errors import UsageError
from selftaught.system.reading import parsed
from selftaught.system.regular import kind_of, opened, read_at, write_at
from selftaught.system.text import printable

if sys.platform != "win32":  # which has no such lock, and no harmless way to ask for a process
    import fcntl

LOCK = "lock"  # the file in a run folder
BEGINS, LONGEST = b'{"host": "', 4096  # how what it holds begins, and bytes that are read of it
# File systems of one machine, whose kernel knows of every lock there is; whatever else, a network may lie between.
LOCAL = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "bcachefs", "f2fs", "jfs", "overlay", "tmpfs", "ramfs"}
LOCAL |= {"vfat", "exfat", "ntfs3"}
TRIES, PAUSE = 10, 0.01  # to lock, and seconds between: whoever only looks is in the way for a moment

_alone: set[tuple[int, str]] = set()  # by process, as a fork holds nothing: folders that are its, says the kernel


def signature() -> str:
    """This process, as it signs its temporary files: host, number and birth."""
    return f"{host()}-{os.getpid()}-{birth(os.getpid())}"


def is_gone(signed: str) -> bool:
    """Whether the process that signed so is known to have ended; of another host's nothing is known."""
    try:
        where, number, born = signed.rsplit("-", 2)
        if where != host() or sys.platform == "win32":
            return False
        with suppress(PermissionError):  # it is somebody else's
            os.kill(int(number), 0)
        return born != birth(int(number))
    except ProcessLookupError:
        return True
    except (ValueError, OverflowError):
        return False


def is_others(signed: str) -> bool:
    """Whether a signature is that of another process than this one, wherever it is."""
    return signed != signature() and re.fullmatch(r".+-\d+-[0-9a-f]+", signed) is not None


@cache
def host() -> str:
    """The name of this machine, fit for file names."""
    return "".join(c if c.isalnum() or c in "_." else "_" for c in platform.node()) or "unknown"


def birth(number: int) -> str:
    """What tells a process from a later one of the same number, even after a reboot; "0" where that cannot be known."""
    try:
        # The command's name, in brackets, may hold anything; the start, in ticks since boot, is the 20th word after it.
        ticks = (
            Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
        return _boot() + ticks
    except (OSError, IndexError):
        return "0"


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")[:8]


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Be the only process that writes in `folder`, which exists; a usage error where another one does.

    The kernel's lock ends with its process, so what a killed one leaves is taken over, whatever it called its host: a
    container has another name each time. Where other machines write in the same file system, of which this kernel may
    not know, a lock that names another host stays until somebody removes it.
    """
    file = folder / LOCK
    handle = _locked(file)
    own, ours = (os.getpid(), os.path.realpath(folder)), False
    try:
        holder, known = _holder(handle, file), is_told_by_kernel(handle)
        if (known and _is_held_from_afar(handle)) or (not known and holder.get("host", host()) != host()):
            raise UsageError(_refusal(folder, holder))
        os.ftruncate(handle, 0)
        write_at(handle, _description(), 0)
        if known:
            _alone.add(own)
        ours = True
        try:
            yield
        finally:
            with suppress(OSError):  # the kernel's lock ends all the same
                file.unlink()
    finally:
        _alone.discard(own)
        os.close(handle)
        if ours and sys.platform == "win32":  # where nothing can be removed that is open
            with suppress(OSError):
                file.unlink()


def is_alone_in(folder: Path) -> bool:
    """Whether this process holds the lock of `folder`, or of one that it lies in, and the kernel vouches for it."""
    place = Path(os.path.realpath(folder))
    return any((os.getpid(), str(path)) in _alone for path in (place, *place.parents))


def may_be_written(folder: Path) -> bool:
    """Whether a process may be writing in `folder`, as far as is known here; asking is in no writer's way."""
    try:
        handle = opened(folder / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        if is_told_by_kernel(handle):
            return _is_held(handle) or _is_held_from_afar(handle)
        holder = parsed(read_at(handle, LONGEST, 0))
        return not is_gone(f"{holder['host']}-{holder['pid']}-{holder['birth']}")
    except (OSError, ValueError, KeyError, TypeError):  # it is being written in this moment, for one
        return True
    finally:
        os.close(handle)


def refuse_held(folder: Path) -> None:
    """A usage error where another process writes in `folder`; asked before long work, to say so early."""
    if os.path.lexists(folder / LOCK):
        with only_writer(folder):
            pass


def is_told_by_kernel(handle: int) -> bool:
    """Whether this kernel knows of every lock on an open file: it lies on a file system of this machine alone."""
    return sys.platform != "win32" and _file_system(handle) in LOCAL


def _file_system(handle: int) -> str:
    """The type of the file system that an open file lies on, such as ext4; nothing where that cannot be known."""
    with suppress(OSError, IndexError):
        facts = Path(f"/proc/self/fdinfo/{handle}").read_text(encoding="utf-8").partition("mnt_id:")[2].split()
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.split(" ", 1)[0] == facts[0]:
                return line.partition(" - ")[2].split()[0]
    return ""


def _is_held(handle: int) -> bool:
    """Whether another handle of the file is locked; for the moment of asking nobody else can lock it."""
    if sys.platform != "win32":  # where the kernel tells nothing
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(handle, fcntl.LOCK_UN)
        except BlockingIOError:
            return True
    return False


def _is_held_from_afar(handle: int) -> bool:
    """Whether a client to which this machine exports the folder has locked the file: servers lock it by ranges."""
    if sys.platform != "win32":  # where the kernel tells nothing
        try:
            fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.lockf(handle, fcntl.LOCK_UN)
        except (BlockingIOError, PermissionError):
            return True
    return False


def _locked(file: Path) -> int:
    """The lock file, open and locked by this process."""
    while True:
        handle = _opened(file)
        with ExitStack() as unless_locked:
            unless_locked.callback(os.close, handle)
            if not _has_locked(handle):
                raise UsageError(_refusal(file.parent, _holder(handle, file)))
            if os.fstat(handle).st_nlink:  # or the one who held it removed it in this moment: lock its successor
                unless_locked.pop_all()
                return handle


def _opened(file: Path) -> int:
    try:
        return opened(file, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        if kind_of(file):
            raise UsageError(f"{printable(file)} {error.strerror}: remove it, or choose another --out") from None
        raise


def _has_locked(handle: int) -> bool:
    """Whether this process has the file's lock now, or there are no such locks."""
    if sys.platform != "win32":
        for _ in range(TRIES):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                time.sleep(PAUSE)
        return False
    return True


def _holder(handle: int, file: Path) -> dict[str, Any]:
    """What the file says of the process that holds the lock, or held it last; nothing where its writer was cut short.

    Raises UsageError where it is somebody's own file of that name, which is left alone.
    """
    content = read_at(handle, LONGEST, 0).strip(b"\0")
    if content[: len(BEGINS)] != BEGINS[: len(content)]:
        raise UsageError(f"{printable(file)} is not a lock of selftaught's; move it away, or choose another --out")
    try:
        holder = parsed(content or b"{}")
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _description() -> bytes:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    own = {"host": host(), "pid": os.getpid(), "birth": birth(os.getpid()), "started": now}
    return (json.dumps(own) + "\n").encode()


def _refusal(folder: Path, holder: dict[str, Any]) -> str:
    pid, where, started = (printable(holder.get(name, "?")) for name in ("pid", "host", "started"))
    line = f"{printable(folder)} is being written by process {pid} on {where} since {started}"
    if holder.get("host") in (None, host()):
        return f"{line}; wait for it, or choose another --out"
    return f"{line}, which cannot be seen from {host()}; if it has ended, remove {printable(folder / LOCK)}"
