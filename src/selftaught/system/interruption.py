"""Signals and time limits set a flag that the work polls at safe points; nothing is done inside a handler."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from selftaught.system import clock
from selftaught.system.errors import Stopped

SIGNALS = [signal.SIGINT, signal.SIGTERM]
SIGNALS += [getattr(signal, name) for name in ("SIGUSR1", "SIGHUP") if hasattr(signal, name)]  # not on Windows


class Stop:
    """Whether the work should end at the next safe point, and why."""

    def __init__(self, time_limit: float | None = None, outer: "Stop | None" = None) -> None:
        self._outer = outer
        self._deadline = clock.now() + time_limit if time_limit else None
        self._signal: str | None = None

    @property
    def reason(self) -> str | None:
        """Why to stop, or None to go on."""
        if self._signal:
            return self._signal
        if self._deadline and clock.now() >= self._deadline:
            return "the time limit"
        return self._outer.reason if self._outer else None

    def poll(self) -> None:
        """Raise Stopped where there is nothing to save."""
        if self.reason:
            raise Stopped(f"stopped by {self.reason}")

    def _handle(self, number: int, frame: object) -> None:
        if self._signal and number == signal.SIGINT:
            raise KeyboardInterrupt  # a second Ctrl-C means now
        self._signal = signal.Signals(number).name


class _Active(threading.local):
    """The stop that this thread's work listens to."""

    stop: Stop | None = None


_active = _Active()


def poll() -> None:
    """Raise Stopped if the work that is going on should end; for work that has nothing to save."""
    if _active.stop:
        _active.stop.poll()


def poll_here() -> Callable[[], None]:
    """`poll` as it is for this thread at this moment, for others that work for it."""
    return _active.stop.poll if _active.stop else lambda: None


@contextmanager
def undeterred() -> Iterator[None]:
    """Work that is done to its end though a stop has been asked for: saving."""
    stop, _active.stop = _active.stop, None
    try:
        yield
    finally:
        _active.stop = stop


@contextmanager
def stopping(time_limit: float | None = None) -> Iterator[Stop]:
    """Watch for INT, TERM, USR1 and HUP (in the main thread only) and a time limit in seconds.

    HUP is what a terminal sends as it goes away; where it is ignored, as under nohup, the work goes on. Inside another
    one, what has reached that counts here as well: no signal is lost between the two.
    """
    outer = _active.stop
    stop = _active.stop = Stop(time_limit, outer)
    before = {number: signal.signal(number, stop._handle) for number in _heard()}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _active.stop = outer


def _heard() -> list[signal.Signals]:
    """The signals that stop the work of this thread."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [
        number for number in SIGNALS if not (number.name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN)
    ]
