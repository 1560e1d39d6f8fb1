"""What can go wrong, each kind with the exit code the command line reports for it."""

import errno
import sys

OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
OF_THE_PATH = (
    *(errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EROFS),
    *(errno.ELOOP, errno.ENXIO),  # of a link, a pipe or a device
)


class SelftaughtError(Exception):
    """An error with one clear line for the user: what was wrong, its value, and the fix."""

    exit_code = 1


class UsageError(SelftaughtError):
    """A wrong name, option or combination; nothing was started."""

    exit_code = 2


class DataError(SelftaughtError):
    """The data cannot be used as given."""

    exit_code = 3


class BrokenData(DataError):  # noqa: N818 - what is broken is the data
    """Too many samples cannot be used; `quarantined` lists them with the reasons, `summary` counts and names a few."""

    def __init__(self, summary: str, name: str, quarantined: list[tuple[str, str]]) -> None:
        super().__init__(f"{summary}; `selftaught check` on this data lists all")
        self.summary, self.name, self.quarantined = summary, name, quarantined


class DivergedError(SelftaughtError):
    """The loss or a gradient stopped being finite; the last good state is kept."""

    exit_code = 4


class OutOfMemory(SelftaughtError):  # noqa: N818 - the field's word
    """The batch does not fit the memory."""

    exit_code = 5


class MemoryFull(OutOfMemory):
    """Found out at work; whoever knows what was asked for says what takes less."""


class Interrupted(SelftaughtError):  # noqa: N818 - not a fault
    """Stopped by a signal or a time limit; the state is saved and can be resumed."""

    exit_code = 75


class Stopped(Interrupted):
    """Stopped where there was nothing to save; whoever knows what was asked for says how to go on."""


class Unsaved(Interrupted):
    """The state could not be written, on a full disk for one; the last good one is kept and can be resumed."""


class Unreachable(Interrupted):
    """Data that lies elsewhere could not be read for a while, and may be later."""


class CompanionError(SelftaughtError):
    """Another of the processes that work together has ended, or does not answer: `rank` is its number.

    The exit code is the one it has ended with. `gone`: whether it was ended from outside, by no error of its own, so
    that the same work goes on without a change.
    """

    def __init__(self, line: str, rank: int, exit_code: int, gone: bool = False) -> None:
        super().__init__(line)
        self.rank, self.exit_code, self.gone = rank, exit_code, gone


def is_of_the_disk(error: BaseException) -> bool:
    """Whether a disk is full, broken or not to be written."""
    return isinstance(error, OSError) and error.errno in OF_THE_DISK


def remedy(error: OSError) -> str:
    """What lets a disk take what it did not."""
    return "let files be larger (ulimit -f)" if error.errno == errno.EFBIG else "make room"


def is_of_the_path(error: BaseException) -> bool:
    """Whether a file cannot be where somebody wants it."""
    return isinstance(error, OSError) and error.errno in OF_THE_PATH


def exit_code_of(error: BaseException) -> int:
    """The exit code that an error ends a process with."""
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        return error.code or 0
    return getattr(error, "exit_code", 1)


def memory_full(error: BaseException) -> MemoryFull:
    """What an error of torch's or Python's says of memory, in its first line."""
    return MemoryFull(f"out of memory: {str(error).partition(chr(10))[0] or 'none left'}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, a device or torch's allocator on the CPU had no memory left."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
