"""Processes that do a piece of work together and tell one another how it went, in JSON; one alone is a circle, too."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from threading import Event
from typing import Any, Protocol

import torch
import torch.distributed as dist

from selftaught.system import clock, distributed, meeting
from selftaught.system.background import Background
from selftaught.system.reading import parsed

PATIENCE = 3600.0  # seconds that the slowest disk may take, for as long as its process gives signs of life
SIGNS = 7  # of life in the time for which one may be silent


class Circle(Protocol):
    """Who takes part: this is number `rank` of `size`, and number 0 leads."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def told(self, mine: Any) -> list[Any]:
        """What everybody says, in their order: plain values; all wait for the last.

        Raises RuntimeError for one that has died, or is silent for longer than it may be.
        """

    def alive(self) -> AbstractContextManager[None]:
        """For work that takes its time, each of all beginning it at this point: at its end all wait for the last.

        Raises as `told`; those that work give signs of life meanwhile.
        """


class Alone:
    """A process that has no others."""

    rank, size = 0, 1

    def told(self, mine: Any) -> list[Any]:
        return [mine]

    def alive(self) -> AbstractContextManager[None]:
        return nullcontext()


class Processes:
    """All processes of a job, on a line of their own: a thread may talk there while training talks on its own.

    To be made by all of them at the same point. Not through the store, as `processes.exchanged`: there a thread would
    wait for one that has died without a word, and here its connection breaks.
    """

    def __init__(self) -> None:
        self.rank, self.size = distributed.rank(), distributed.world_size()
        self._silence = meeting.patience(compiles=False)
        self._group: Any = dist.new_group(backend="gloo", timeout=timedelta(seconds=self._silence))

    def told(self, mine: Any) -> list[Any]:
        content = bytearray(json.dumps(mine).encode())
        sizes = [int(size) for size in self._gathered(torch.tensor([len(content)]))]
        padded = torch.frombuffer(content.ljust(max(sizes)), dtype=torch.uint8)
        return [parsed(bytes(part[:size].tolist())) for part, size in zip(self._gathered(padded), sizes, strict=True)]

    @contextmanager
    def alive(self) -> Iterator[None]:
        done, signs = Event(), Background()
        signs.do(partial(self._give_signs, done))
        signs.no_more()
        try:
            yield
        finally:
            done.set()
            signs.wait()

    def _give_signs(self, done: Event) -> None:
        """Until all are done; they hear of one another as soon as another one is."""
        until = clock.now() + PATIENCE
        while clock.now() < until:
            done.wait(self._silence / SIGNS)
            if all(self._gathered(torch.tensor([done.is_set()]))):
                return
        raise RuntimeError(f"timed out after {PATIENCE:.0f} seconds of writing or reading a share")

    def _gathered(self, x: torch.Tensor) -> list[torch.Tensor]:
        parts = [torch.empty_like(x) for _ in range(self.size)]
        dist.all_gather(parts, x, group=self._group)
        return parts


def everybody() -> Circle:
    """All processes of this job; to be called by all of them at the same point."""
    return Processes() if distributed.world_size() > 1 else Alone()


def all_do(circle: Circle, work: Callable[[], Any]) -> list[Any]:
    """What `work` comes to in each process: plain values. What fails in one is raised in all, an OSError as one."""
    mine: dict[str, Any] = {}
    failed: Exception | None = None
    with circle.alive():
        try:
            mine["done"] = work()
        except Exception as error:
            told = getattr(error, "strerror", None) or error
            failed, mine["error"] = error, [getattr(error, "errno", None), str(told)]
    said = circle.told(mine)
    for rank, one in enumerate(said):
        if "error" in one:
            raise failed if failed and rank == circle.rank else _theirs(rank, *one["error"])
    return [one["done"] for one in said]


def _theirs(rank: int, code: int | None, reason: str) -> Exception:
    reason = f"{reason} (process {rank})"
    return OSError(code, reason) if code is not None else RuntimeError(reason)
