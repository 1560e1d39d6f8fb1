"""Processes that do a piece of work together and tell one another how it went, in JSON; one alone is a circle, too."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

import torch
import torch.distributed as dist

from selftaught.system import distributed
from selftaught.system.reading import parsed

PATIENCE = timedelta(hours=1)  # for the slowest to write its share; one that has died is noticed at once


class Circle(Protocol):
    """Who takes part: this is number `rank` of `size`, and number 0 leads."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def told(self, mine: Any) -> list[Any]:
        """What everybody says, in their order: plain values; all wait for the last. Raises RuntimeError for a death."""


class Alone:
    """A process that has no others."""

    rank, size = 0, 1

    def told(self, mine: Any) -> list[Any]:
        return [mine]


class Processes:
    """All processes of a job, on a line of their own: a thread may talk there while training talks on its own.

    To be made by all of them at the same point. Not through the store, as `processes.exchanged`: there a thread would
    wait for one that has died without a word, and here its connection breaks.
    """

    def __init__(self) -> None:
        self.rank, self.size = distributed.rank(), distributed.world_size()
        self._group: Any = dist.new_group(backend="gloo", timeout=PATIENCE)

    def told(self, mine: Any) -> list[Any]:
        content = bytearray(json.dumps(mine).encode())
        sizes = [int(size) for size in self._gathered(torch.tensor([len(content)]))]
        padded = torch.frombuffer(content.ljust(max(sizes)), dtype=torch.uint8)
        return [parsed(bytes(part[:size].tolist())) for part, size in zip(self._gathered(padded), sizes, strict=True)]

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
    try:
        mine["done"] = work()
    except Exception as error:
        failed, mine["error"] = error, [getattr(error, "errno", None), str(getattr(error, "strerror", None) or error)]
    said = circle.told(mine)
    for rank, one in enumerate(said):
        if "error" in one:
            raise failed if failed and rank == circle.rank else _theirs(rank, *one["error"])
    return [one["done"] for one in said]


def _theirs(rank: int, code: int | None, reason: str) -> Exception:
    reason = f"{reason} (process {rank})"
    return OSError(code, reason) if code is not None else RuntimeError(reason)
