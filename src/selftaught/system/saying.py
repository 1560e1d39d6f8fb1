"""Lines for people: on standard error, and in the log of the run that is going on."""

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TextIO

from rich.console import Console

from selftaught.system.context import holding
from selftaught.system.errors import SelftaughtError

console = Console(stderr=True, highlight=False)
_log: list[TextIO] = []
_quiet = ContextVar("_quiet", default=False)


def quietly() -> AbstractContextManager[None]:
    """Show a person nothing of the work inside; the log of a run gets every line all the same."""
    return holding(_quiet, True)


@contextmanager
def writing_to(file: Path) -> Iterator[None]:
    """Also append every line that `say` tells to `file`, and what ended the work before its end."""
    stream = file.open("a", encoding="utf-8")
    _log.append(stream)
    try:
        yield
    except BaseException as error:
        known = isinstance(error, SelftaughtError | KeyboardInterrupt)
        line = f"error: {error or type(error).__name__}\n" if known else "".join(traceback.format_exception(error))
        with suppress(OSError):
            stream.write(time.strftime("%Y-%m-%d %H:%M:%S ") + line)
        raise
    finally:
        _log.remove(stream)
        with suppress(OSError):  # what a full disk did not take
            stream.close()


def say(line: str) -> None:
    """One plain line to a person, on standard error, and to the log of the run that is going on."""
    for stream in _log:
        with suppress(OSError):  # the line is still told to the person
            stream.write(time.strftime("%Y-%m-%d %H:%M:%S ") + line + "\n")
            stream.flush()
    if _quiet.get():
        return
    if console.is_terminal:
        console.print(line, markup=False, soft_wrap=True)
    else:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def is_watched() -> bool:
    """Whether a person sits at a terminal and is to be shown what goes on."""
    return console.is_terminal and not _quiet.get()
