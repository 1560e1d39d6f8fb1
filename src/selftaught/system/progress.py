"""One progress bar at a time, on standard error or below a notebook's cell; plain lines where nobody watches."""

import math
from collections.abc import Callable
from contextvars import copy_context
from threading import Event, Thread
from typing import Any, Self

from rich.progress import BarColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from selftaught.system import clock
from selftaught.system.notebook import Line
from selftaught.system.saying import console, in_notebook, is_watched, say
from selftaught.system.text import duration

PLAIN_EVERY = 15.0  # seconds between plain lines
LOOKED = 1.0  # seconds between looks whether there has been none for as long
_under_way: list["Progress"] = []  # that are told by plain lines, the innermost last


def _alike(done: float, total: float) -> float:
    """What `done` of a total costs, where one takes as long as any other."""
    return done


class Progress:
    """Shows how far some work is, how fast it goes and when it will be done."""

    def __init__(
        self, what: str, total: int, unit: str, start: int = 0, work: Callable[[Any, Any], float] = _alike
    ) -> None:
        """`work` tells what so much of a total costs, where some takes longer: bar and time left go by that."""
        self.what, self.total, self.unit, self._work = what, total, unit, work
        self.done: float = start
        self._first, self._began, self._said = start, clock.now(), clock.now()
        self._note = ""
        self._over = Event()
        self._reminder: Thread | None = None
        self._bar: Bar | None = None
        self._line = Line() if in_notebook() else None
        if is_watched():
            amount = ("{task.description}", BarColumn(bar_width=24), "{task.fields[amount]}", "{task.fields[note]}")
            time = (TimeElapsedColumn(), "left", TimeRemainingColumn(elapsed_when_finished=False))
            self._bar = Bar(*amount, *time, console=console)
            self._task = self._bar.add_task(what, note="", **self._shown())

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        elif not self._line:
            _under_way.append(self)
            self._reminder = Thread(target=copy_context().run, args=(self._remind,), name="reminder", daemon=True)
            self._reminder.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bar:
            self._bar.stop()
            return
        if self._reminder:
            self._over.set()
            self._reminder.join()
            _under_way.remove(self)
        taken = clock.now() - self._began
        worth_a_line = kind is None and taken >= 1
        ended = f"{self.what}: {_counted(self.done)} {self.unit} done in {duration(taken)}"
        if self._line and (worth_a_line or self._line.is_there):
            cut = f"{self.what}: ended at {_counted(self.done)} of {self.total:,} {self.unit}"
            self._line.write(ended if kind is None else cut, self.done, self.total)
        elif worth_a_line:
            say(ended)

    def _remind(self) -> None:
        """Say how far it is once more, while a single piece of it takes long and says nothing itself."""
        while not self._over.wait(LOOKED):
            if _under_way[-1] is self and clock.now() - self._said >= PLAIN_EVERY:
                self._say()

    def _say(self) -> None:
        self._said = clock.now()
        say(self._told(self._note))

    def polled(self, poll: Callable[[], None]) -> Callable[[int, int], None]:
        """What work may call with how much of how much is done: it polls for a stop, then shows that."""

        def report(done: int, total: int) -> None:
            poll()
            self.update(done, total=total)

        return report

    def update(self, done: float, note: str = "", total: int | None = None) -> None:
        """Report that `done` of the total (which may be known only now) is done; of what is large, a share as well."""
        self.done, self.total, self._note = done, self.total if total is None else total, note
        if self._bar:
            self._bar.update(self._task, note=note, **self._shown())
        elif self._line:
            if self._line.is_due:
                self._line.write(self._told(note), done, self.total)
        elif clock.now() - self._said >= PLAIN_EVERY and done < self.total:
            self._say()

    def reach(self, done: float, total: int) -> None:
        """Report how far it is where there is nothing new to say beside it: what was last said stays."""
        self.update(done, self._note, total)

    def _shown(self) -> dict[str, Any]:
        """What the bar is told of how far the work is."""
        done, total = self._work(self.done, self.total), self._work(self.total, self.total)
        return {"completed": done, "total": total, "amount": f"{int(self.done):,}/{self.total:,}"}

    def _told(self, note: str) -> str:
        """How far it is, and how long the rest will take at this pace, or how long it has taken where there is none."""
        first, done, total = (self._work(at, self.total) for at in (self._first, self.done, self.total))
        taken = clock.now() - self._began
        pace = (
            f"{duration((total - done) * taken / (done - first))} left" if done > first else f"{duration(taken)} so far"
        )
        amount = f"{_counted(self.done)} of {self.total:,} {self.unit}"
        return f"{self.what}: {amount}, {pace}" + (f", {note}" if note else "")


def _counted(done: float) -> str:
    """A number of done ones, rounded down: what is under way is not done."""
    return f"{done:,}" if isinstance(done, int) else f"{math.floor(10 * done) / 10:,.1f}"
