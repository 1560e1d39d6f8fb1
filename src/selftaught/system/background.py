"""Work that is done in the background, one piece after the other, while the work that asked for it goes on."""

from collections.abc import Callable
from contextvars import copy_context
from queue import SimpleQueue
from threading import Event, Thread

Work = Callable[[], None]


class Background:
    """A thread that does what it is given, in turn, up to the first failure, which whoever waits for it meets."""

    def __init__(self) -> None:
        self._given: SimpleQueue[Work | None] = SimpleQueue()
        self._under_way = Event()
        self._failure: BaseException | None = None
        # Not one that an ending interpreter leaves behind: what has been begun is finished.
        self._thread = Thread(target=copy_context().run, args=(self._go,), name="background", daemon=False)
        self._thread.start()

    def _go(self) -> None:
        try:
            while work := self._given.get():
                work()
        except BaseException as error:  # raised by `wait`, in the thread that asked
            self._failure = error
        self._under_way.set()

    def do(self, work: Work) -> None:
        """Do this as well, after all that was given before."""
        self._given.put(work)

    def no_more(self) -> None:
        """Let it end when all that was given is done."""
        self._given.put(None)

    def under_way(self) -> None:
        """To be said by the work itself, when what can be known to fail beforehand has not failed."""
        self._under_way.set()

    def wait_until_under_way(self) -> None:
        """Wait until the work says so; raises what it failed with before that."""
        self._under_way.wait()
        if self._failure:
            self.wait()

    @property
    def over(self) -> bool:
        """Whether all has been done, or something has failed."""
        return not self._thread.is_alive()

    def wait(self) -> None:
        """Wait until all is done; raises what it failed with, once. An interruption waits as well."""
        interrupted = None
        while self._thread.is_alive():
            try:
                self._thread.join()
            except KeyboardInterrupt as error:
                interrupted = error
        failure, self._failure = self._failure, None
        if failed := interrupted or failure:
            raise failed
