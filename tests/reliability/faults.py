"""Faults at every call that touches a file, found by counting them as they happen, in this or in a forked child."""

import errno
import os
import posix
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# What changes a disk, by the names of Python's own functions; which of them are called, and when, is counted.
TOUCHING = {
    "serialize_file",  # of safetensors
    "write",
    "pwrite",
    "truncate",
    "ftruncate",
    "flush",
    "fsync",
    "mkdir",
    "rmdir",
    "rename",
    "replace",
    "unlink",
    "remove",
    "link",
    "symlink",
}
WRITERS = ("posix", "_io", "safetensors._safetensors_rust", None)  # modules of such functions; None: methods of files


def is_touching(function: Any) -> bool:
    """Whether a C function is one that changes a disk."""
    owner = type(getattr(function, "__self__", None)).__name__
    if function.__name__ not in TOUCHING or getattr(function, "__module__", None) not in WRITERS:
        return False
    return function.__module__ is not None or owner in ("BufferedWriter", "BufferedRandom", "FileIO", "TextIOWrapper")


@contextmanager
def at_point(number: int | None, strike: Callable[[str], None]) -> Iterator[list[str]]:
    """Call `strike` in place of the `number`-th touching call (from 0); yields the names of the calls so far."""
    met: list[str] = []

    def watch(frame: FrameType, event: str, function: Any) -> None:
        if event != "c_call" or not is_touching(function):
            return
        met.append(function.__name__)
        if len(met) - 1 == number:
            strike(function.__name__)

    before, of_threads, flush = sys.getprofile(), threading.getprofile(), os.fsync
    os.fsync = posix.fsync  # which other tests do without
    sys.setprofile(watch)
    threading.setprofile(watch)  # saves are written in a thread of their own
    try:
        yield met
    finally:
        os.fsync = flush
        sys.setprofile(before)
        threading.setprofile(of_threads)  # type: ignore[arg-type]


def failing(code: int) -> Callable[[str], None]:
    """A strike that the system reports as an error."""

    def strike(name: str) -> None:
        raise OSError(code, os.strerror(code), name)

    return strike


def dying(name: str) -> None:
    """A strike that ends the process at once, as a power cut would."""
    os._exit(99)


def points(work: Callable[[], Any]) -> list[str]:
    """The touching calls that `work` makes, in order."""
    with at_point(None, lambda name: None) as met:
        work()
    return list(met)


def in_child(work: Callable[[], Any]) -> int:
    """What a forked child that does `work` exits with: 0, 1 where it raised, or the number it died by."""
    pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """A real limit of the kernel: a write past it stops half-way with an error. Only for a forked child."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


CODES = (errno.ENOSPC, errno.EIO)
