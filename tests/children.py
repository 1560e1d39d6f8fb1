"""Forked children, which have all that is imported here: some work together, one stops where a test wants it.

That one and its parent talk through pipes, so neither has to wait for a while.

Who waits here waits for as long as it takes; a test that hangs is pytest's to end.
"""

import itertools
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any


def beside(count: int, work: Callable[[int], object]) -> list[BaseProcess]:
    """So many children at work beside this process, each told its number; whoever began them ends them."""
    fork = multiprocessing.get_context("fork")
    begun: list[BaseProcess] = [fork.Process(target=work, args=(number,)) for number in range(count)]
    for one in begun:
        one.start()
    return begun


def exit_codes(begun: Sequence[BaseProcess]) -> list[int | None]:
    """What each of them ended with, once all have."""
    for one in begun:
        one.join()
    return [one.exitcode for one in begun]


class Child:
    """A child at work, as its parent sees it; in the child, as the work sees it."""

    def __init__(self, work: "Callable[[Child], int | None]") -> None:
        self._here, arrived = os.pipe()
        go_on, self._go = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._here), os.close(self._go)
            self._arrived, self._go_on = arrived, go_on
            code = 1
            try:
                code = work(self) or 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(arrived), os.close(go_on)
        self._code: int | None = None

    def pass_by(self) -> None:
        """In the child: say that a point was reached, and go on."""
        os.write(self._arrived, b".")

    def stop_here(self) -> None:
        """In the child: say that a point was reached, and wait there until the parent says go on, or has gone."""
        self.pass_by()
        os.read(self._go_on, 1)

    def wait_for(self) -> None:
        """Wait until the child reaches a point. Fails where it ended before."""
        assert os.read(self._here, 1), f"the child ended first, with {self.ended()}"

    def release(self) -> None:
        os.write(self._go, b".")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    def ended(self) -> int:
        """What it exits with, once it has: a code, or the negative number of the signal it died of."""
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._code


@contextmanager
def child(work: Callable[[Child], int | None]) -> Iterator[Child]:
    """A child that ends with the block, whatever happens there."""
    forked = Child(work)
    try:
        yield forked
    finally:
        if forked._code is None:
            forked.kill()
            forked.ended()
        os.close(forked._here), os.close(forked._go)


def halt_in(method: type, step: int, here: Child) -> None:
    """In the child: stop in a training step of a method, counted from 1."""
    own, steps = method.after_step, itertools.count(1)  # type: ignore[attr-defined]

    def watched(self: Any, progress: float) -> None:
        own(self, progress)
        if next(steps) == step:
            here.stop_here()

    method.after_step = watched  # type: ignore[attr-defined]
