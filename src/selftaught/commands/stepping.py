"""Pre-training step by step, for a loop in a notebook: it waits while the loop's body works."""

from collections.abc import Callable, Iterator
from contextvars import copy_context
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Self

from selftaught.system.errors import Interrupted

if TYPE_CHECKING:
    from selftaught.training.hooks import Step

Ended = tuple[Any, BaseException | None]  # what came of it


class Steps(Iterator["Step"]):
    """The steps of a run, each given when it is done; `run` is there after the last.

    The training has a thread of its own. A loop that is left early stops it, with the step saved that was given last,
    so that it can be resumed.
    """

    def __init__(self, train: Callable[[Callable[["Step"], None]], Any]) -> None:
        """`train` calls what it is given after each step, and returns the run."""
        self.run: Any = None
        self._channel, self._waits = _Channel(), False
        # The thread knows the channel alone: who lets go of this object stops it.
        work = copy_context().run, (self._channel.carry, train)
        self._thread = Thread(target=work[0], args=work[1], name="training", daemon=True)

    def __iter__(self) -> Iterator["Step"]:
        """The steps that are left, for one loop: when that is left, training stops, be this object kept or not."""
        try:
            while (step := next(self, None)) is not None:
                yield step
        finally:
            self.close()

    def __next__(self) -> "Step":
        if self._waits:
            self._channel.wanted.put(True)
        elif not self._thread.ident:
            self._thread.start()
        else:
            raise StopIteration
        self._waits = False
        try:
            made = self._channel.made.get()
        except BaseException:  # Ctrl-C, as this is the thread that hears it
            self._waits = True
            self.close()
            raise
        if not isinstance(made, tuple):
            self._waits = True
            return made
        self._thread.join()
        self.run, error = made
        if error:
            raise error
        raise StopIteration

    def close(self) -> None:
        """Stop after the last step that was given, and wait until it is saved."""
        if self._waits:
            self._waits = False
            self._channel.wanted.put(False)
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class _Channel:
    """What goes between the loop and the training."""

    def __init__(self) -> None:
        self.made: SimpleQueue[Step | Ended] = SimpleQueue()
        self.wanted: SimpleQueue[bool] = SimpleQueue()

    def carry(self, train: Callable[[Callable[["Step"], None]], Any]) -> None:
        """Train, and hand over what comes of it."""
        made: Ended = None, None
        try:
            made = train(self._given), None
        except BaseException as error:  # raised where the loop is
            made = None, error
        self.made.put(made)

    def _given(self, step: "Step") -> None:
        from selftaught.system import generators  # which imports torch

        with generators.lent():
            self.made.put(step)
            if not self.wanted.get():
                raise Interrupted(f"stopped by the loop at step {step.step:,}; resume=True goes on")
