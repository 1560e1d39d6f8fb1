"""Freed memory kept for the next step: on a CPU, asking the system for fresh pages is a quarter of a step."""

import ctypes
import os
import sys
from contextlib import suppress

MMAP_MAX, TRIM_THRESHOLD = -4, -1  # parameters of glibc's mallopt


def keep_freed_memory() -> None:
    """Let glibc keep what is freed instead of giving it back to the system and asking for it again.

    Every step allocates and frees the same large tensors. glibc maps large blocks one by one and unmaps them when
    they are freed, so each step would touch fresh pages, which the kernel must find and zero. Peak memory grows by
    about a quarter. Does nothing where another allocator is in place, or where MALLOC_ variables say what is wanted.
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    with suppress(OSError, AttributeError):  # not glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, -1)


def give_back() -> None:
    """Give what was freed back to the system at once, which counts it as taken while it is kept."""
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
