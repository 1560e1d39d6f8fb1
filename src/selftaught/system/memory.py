"""How much memory the machine has, and how much of it nobody uses."""

import os
import sys


def machine_memory() -> int:
    """Bytes of the machine."""
    if sys.platform != "win32":
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    import psutil

    return psutil.virtual_memory().total


def unused_memory() -> int:
    """Bytes that nobody uses, as the system says; what Linux merely remembers of files is not counted."""
    if sys.platform == "linux":
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    import psutil  # as macOS has no such number, and Windows has neither

    return psutil.virtual_memory().available
