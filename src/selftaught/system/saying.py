"""Lines for people: on standard error, and in the log of the run that is going on."""

import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, TextIO, cast

from rich.console import Console

from selftaught.system.context import holding
from selftaught.system.errors import SelftaughtError
from selftaught.system.regular import TO_THE_END, opened


class Person:
    """Standard error; a terminal that has gone away, or a pipe that nobody reads, is no reason to end the work."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            if stream := _stderr():
                stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            if stream := _stderr():
                stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(_stderr(), name)


def _stderr() -> TextIO | None:
    """What it is at the moment, behind what shows a progress bar there; None where it was closed."""
    return getattr(sys.stderr, "rich_proxied_file", sys.stderr)


person = Person()
LAST_WORDS = "SELFTAUGHT_LAST_WORDS"  # in the environment: a file for what ends the work, told by whoever started it
console = Console(file=cast(TextIO, person), highlight=False, emoji=False)  # names are shown as they are
_log: list[TextIO] = []
QUIET = "SELFTAUGHT_QUIET"  # in the environment: 1 for a process that is to say no more than it must
ALOUD = ("warning: ", "note: ")  # how lines begin that everybody should know
_quiet = ContextVar("_quiet", default=False)
_calm = ContextVar("_calm", default=False)


def quiet() -> AbstractContextManager[None]:
    """Say no more of the work inside than warnings and notes; the log of a run gets every line all the same."""
    return holding(_calm, True)


def is_quiet() -> bool:
    """Whether a person is to be told no more than that."""
    return _calm.get() or os.environ.get(QUIET, "0") not in ("", "0")


def quietly() -> AbstractContextManager[None]:
    """Show a person nothing of the work inside; the log of a run gets every line all the same."""
    return holding(_quiet, True)


@contextmanager
def writing_to(file: Path) -> Iterator[None]:
    """Also append every line that `say` tells to `file`, and what ended the work before its end."""
    stream = os.fdopen(opened(file, TO_THE_END), "a", encoding="utf-8")
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
    if _quiet.get() or (is_quiet() and not line.startswith(ALOUD)):
        return
    if console.is_terminal:
        console.print(line, markup=False, soft_wrap=True)
    else:
        person.write(line + "\n")
        person.flush()


@cache
def say_once(line: str) -> None:
    """The same, of what is met again and again, once a process."""
    say(line)


def is_watched() -> bool:
    """Whether a person sits at a terminal that can write a line anew, and is to be shown what goes on."""
    return console.is_terminal and not console.is_dumb_terminal and not _quiet.get() and not is_quiet()


def in_notebook() -> bool:
    """Whether a person looks at a notebook, which shows what is handed to it, and is to be shown what goes on."""
    return console.is_jupyter and not _quiet.get() and not is_quiet()
