"""One progress bar at a time on standard error; plain lines where nobody watches a terminal."""

import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from selftaught.system.errors import SelftaughtError

console = Console(stderr=True, highlight=False)
PLAIN_EVERY = 15.0  # seconds between plain lines


class Progress:
    """Shows how far some work is, how fast it goes and when it will be done."""

    def __init__(self, what: str, total: int, unit: str, start: int = 0) -> None:
        self.what, self.total, self.unit, self.done = what, total, unit, start
        self._first, self._began, self._said = start, time.monotonic(), time.monotonic()
        self._bar: Bar | None = None
        if console.is_terminal and not _quiet.get():
            columns = [
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(elapsed_when_finished=False),
            ]
            self._bar = Bar(*columns, console=console, transient=False)
            self._task = self._bar.add_task(what, total=total, completed=start, note="")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        elif kind is None and (taken := time.monotonic() - self._began) >= 1:  # shorter work is not worth a line
            say(f"{self.what}: {self.done:,} {self.unit} done in {clock(taken)}")

    def polled(self, poll: Callable[[], None]) -> Callable[[int, int], None]:
        """What work may call with how much of how much is done: it polls for a stop, then shows that."""

        def report(done: int, total: int) -> None:
            poll()
            self.update(done, total=total)

        return report

    def update(self, done: int, note: str = "", total: int | None = None) -> None:
        """Report that `done` of the total (which may be known only now) is done."""
        self.done, self.total = done, self.total if total is None else total
        if self._bar:
            self._bar.update(self._task, completed=done, total=self.total, note=note)
        elif time.monotonic() - self._said >= PLAIN_EVERY and done < self.total:
            self._said = time.monotonic()
            rate = (done - self._first) / (self._said - self._began)
            left = clock((self.total - done) / rate) if rate else "?"
            say(f"{self.what}: {done:,} of {self.total:,} {self.unit}, {left} left" + (f", {note}" if note else ""))


_log: list[TextIO] = []
_quiet = ContextVar("_quiet", default=False)


@contextmanager
def quietly() -> Iterator[None]:
    """Show a person nothing of the work inside; the log of a run gets every line all the same."""
    before = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(before)


@contextmanager
def writing_to(file: Path) -> Iterator[None]:
    """Also append every line that `say` tells to `file`, and what ended the work before its end."""
    stream = file.open("a", encoding="utf-8")
    _log.append(stream)
    try:
        yield
    except BaseException as error:
        known = isinstance(error, SelftaughtError | KeyboardInterrupt)
        told = f"error: {error or type(error).__name__}\n" if known else "".join(traceback.format_exception(error))
        with suppress(OSError):
            stream.write(time.strftime("%Y-%m-%d %H:%M:%S ") + told)
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


def clock(seconds: float) -> str:
    """A duration as people say it: 45s, 3m 20s, 2h 05m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def plain(name: str) -> str:
    """A name that may hold undecodable bytes or control characters, safe to print on one line."""
    printable = name.encode("utf-8", "replace").decode()
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in printable)


def size(count: float) -> str:
    """Bytes as people say them: 12 kB, 640 MB, 1.5 GB."""
    if count < 1e6:
        return f"{count / 1e3:.0f} kB"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
