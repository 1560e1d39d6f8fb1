"""torch's global generators, which all threads of a process share: one call at a time has them, and puts them back.

Training and judging seed them and then build, and dropout draws from them at each step. So two such calls take turns,
or neither would have its numbers; and whoever calls them from Python goes on with the numbers that they had before.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock, get_ident

import torch
from torch import Tensor

from selftaught.system.context import holding
from selftaught.system.saying import say

State = tuple[Tensor, list[Tensor]]  # of the host's generator, and of those of CUDA

_locks: dict[int, Lock] = {}  # by process, as a fork holds nothing


class _Turn:
    """A call that has the generators, wants them again, or goes without."""

    def __init__(self, name: str) -> None:
        self.name, self.thread = name, get_ident()
        self._lock = _locks.setdefault(os.getpid(), Lock())
        self._before: State | None = None  # of the generators, as long as it has them

    def take(self, waits: bool) -> bool:
        """Have the generators, where they are free or it `waits` until they are; whether it has them."""
        if not self._lock.acquire(blocking=False):
            if not waits:
                return False
            say(f"note: another call works in this process: {self.name} waits for it, as both need torch's generators")
            self._lock.acquire()
        self._before = _state()
        return True

    def leave(self) -> None:
        """Put them back, if it has them."""
        if self._before is not None:
            _put_back(self._before)
            self._before = None
            self._lock.release()


_turn: ContextVar[_Turn | None] = ContextVar("turn", default=None)


@contextmanager
def kept(name: str, waits: bool = False) -> Iterator[None]:
    """Leave torch's generators as they are here, whatever the call of this name does with them.

    waits: whether it trains or judges, and has to have them alone; any other goes on beside a call that has them. What
    is called by a call has the same turn, and moves the same numbers.
    """
    if _turn.get() is not None:
        yield
        return
    turn = _Turn(name)
    turn.take(waits)
    try:
        with holding(_turn, turn):
            yield
    finally:
        turn.leave()


@contextmanager
def lent() -> Iterator[None]:
    """Let others have the generators inside, as they were before the call that this thread works for.

    After an error, when nothing is left to do but to save, it goes on without them rather than wait for another call:
    that may be the very one which waits for this one to end.
    """
    turn = _turn.get()
    if turn is None or turn.thread != get_ident():
        yield
        return
    own, goes_on = _state(), False
    turn.leave()
    try:
        yield
        goes_on = True
    finally:
        if turn.take(waits=goes_on):
            _put_back(own)


def _state() -> State:
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


def _put_back(state: State) -> None:
    host, cards = state
    torch.set_rng_state(host)
    if cards:
        torch.cuda.set_rng_state_all(cards)
    elif torch.cuda.is_available():  # begun since then, or later: as they would be, had nobody but the user seeded all
        torch.cuda.manual_seed_all(torch.initial_seed())
