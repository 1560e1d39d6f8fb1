"""A clock for tests: it stands still until the test, or the work it is hooked into, lets time pass."""

from collections.abc import Callable
from typing import Any

import pytest

from selftaught.system import clock, progress
from selftaught.system.progress import Progress


class HeldClock:
    """Seconds that pass only when told to."""

    def __init__(self, at: float = 1000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += seconds


def held(monkeypatch: pytest.MonkeyPatch) -> HeldClock:
    """Held clocks in place of both; files that are written while they stand are as if written just now.

    What reminds of work under way wakes by real seconds, and would say how far it is in the middle of a piece of it.
    """
    standing = HeldClock()
    wall = clock.wall()
    monkeypatch.setattr(clock, "now", standing)
    monkeypatch.setattr(clock, "wall", lambda: wall)
    monkeypatch.setattr(progress, "LOOKED", 1e9)
    return standing


def steps_take(seconds: Callable[[], float], method: type, time: HeldClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every training step of a method, measured or meant, take so long."""
    own = method.after_step  # type: ignore[attr-defined]

    def timed(self: Any, progress: float) -> None:
        own(self, progress)
        time.advance(seconds())

    monkeypatch.setattr(method, "after_step", timed)


def when_begun(part: str, act: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something once, as soon as a part of the work, named as its progress bar, begins."""
    begin, due = Progress.__init__, [part]

    def begun(self: Progress, what: str, *more: Any) -> None:
        begin(self, what, *more)
        if what in due:
            due.clear()
            act()

    monkeypatch.setattr(Progress, "__init__", begun)
