"""Who writes: one process at a time in a run folder, known by its host, its number and when it started."""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from selftaught.system.errors import UsageError
from selftaught.system.text import printable

try:
    import fcntl
except ImportError:  # Windows has no such lock, and no harmless way to ask for a process
    fcntl = None  # type: ignore[assignment]

LOCK = "lock"  # the file in a run folder


def signature() -> str:
    """This process, as it signs its temporary files: host, number and birth."""
    return f"{host()}-{os.getpid()}-{birth(os.getpid())}"


def is_gone(signed: str) -> bool:
    """Whether the process that signed so is known to have ended; of another host's nothing is known."""
    try:
        where, number, born = signed.rsplit("-", 2)
        if where != host() or not fcntl:
            return False
        with suppress(PermissionError):  # it is somebody else's
            os.kill(int(number), 0)
        return born != birth(int(number))
    except ProcessLookupError:
        return True
    except (ValueError, OverflowError):
        return False


@cache
def host() -> str:
    """The name of this machine, fit for file names."""
    return "".join(c if c.isalnum() or c in "_." else "_" for c in platform.node()) or "unknown"


def birth(number: int) -> str:
    """What tells a process from a later one of the same number, even after a reboot; "0" where that cannot be known."""
    try:
        # The command's name, in brackets, may hold anything; the start, in ticks since boot, is the 20th word after it.
        ticks = Path(f"/proc/{number}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
        return _boot() + ticks
    except (OSError, IndexError):
        return "0"


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Be the only process that writes in `folder`, which exists; a usage error where another one does.

    The kernel's lock ends with its process, so what a killed one leaves is taken over. Of a process on another host
    only what the file says is known, so its lock stays until somebody removes it.
    """
    file = folder / LOCK
    handle = _opened(file)
    try:
        holder = _holder(handle)
        if holder and holder.get("host") != host():
            raise UsageError(_refusal(folder, holder))
        os.ftruncate(handle, 0)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        own = {"host": host(), "pid": os.getpid(), "birth": birth(os.getpid()), "started": now}
        os.pwrite(handle, (json.dumps(own) + "\n").encode(), 0)
        try:
            yield
        finally:
            with suppress(OSError):  # the kernel's lock ends all the same
                file.unlink()
    finally:
        os.close(handle)


def may_be_written(folder: Path) -> bool:
    """Whether a process may be writing in `folder`, as far as is known here; asking is in no writer's way."""
    try:
        holder = json.loads((folder / LOCK).read_bytes()[:4096])
        return not is_gone(f"{holder['host']}-{holder['pid']}-{holder['birth']}")
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError):  # it is being written in this moment, for one
        return True


def refuse_held(folder: Path) -> None:
    """A usage error where another process writes in `folder`; asked before long work, to say so early."""
    if (folder / LOCK).exists():
        with only_writer(folder):
            pass


def _opened(file: Path) -> int:
    """The lock file, open and locked by this process."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        with ExitStack() as unless_locked:
            unless_locked.callback(os.close, handle)
            try:
                if fcntl:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(_refusal(file.parent, _holder(handle))) from None
            if os.fstat(handle).st_nlink:  # or the one who held it removed it in this moment: lock its successor
                unless_locked.pop_all()
                return handle


def _holder(handle: int) -> dict[str, Any]:
    """What the file says of the process that holds the lock, or held it last; nothing where it cannot be read."""
    try:
        holder = json.loads(os.pread(handle, 4096, 0) or b"{}")
    except ValueError:  # its writer was cut short
        return {}
    return holder if isinstance(holder, dict) else {}


def _refusal(folder: Path, holder: dict[str, Any]) -> str:
    pid, where, started = (printable(holder.get(name, "?")) for name in ("pid", "host", "started"))
    line = f"{printable(folder)} is being written by process {pid} on {where} since {started}"
    if holder.get("host") in (None, host()):
        return f"{line}; wait for it, or choose another --out"
    return f"{line}, which cannot be seen from {host()}; if it has ended, remove {printable(folder / LOCK)}"
