"""Several processes in one: threads that meet, each with its own rows of the same tensors."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from threading import Barrier
from typing import Any

import torch
from torch import Tensor

from selftaught.run.rows import Rows, part

PATIENCE = 60  # seconds; only what has gone wrong takes so long


class Place:
    """One of a circle whose others are threads."""

    def __init__(self, rank: int, barrier: Barrier, said: list[Any]) -> None:
        self.rank, self.size, self._barrier, self._said = rank, len(said), barrier, said

    def told(self, mine: Any) -> list[Any]:
        self._said[self.rank] = json.loads(json.dumps(mine))
        self._barrier.wait(PATIENCE)
        heard = list(self._said)
        self._barrier.wait(PATIENCE)
        return heard

    def alive(self) -> AbstractContextManager[None]:
        return nullcontext()


def together(size: int, work: Callable[[Place], Any]) -> list[Any]:
    """What `work` comes to in each of so many places; an error is its result."""
    barrier, said = Barrier(size), [None] * size

    def attempt(rank: int) -> Any:
        try:
            return work(Place(rank, barrier, said))
        except Exception as error:
            return error

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(attempt, range(size)))


def dealt(tensor: Tensor, rank: int, size: int) -> Rows:
    """The rows that fall to one of so many processes."""
    begin, end = part(len(tensor), rank, size)
    return Rows(tensor[begin:end].clone(), tuple(tensor.shape), begin, split=size > 1)


def whole(step: int) -> dict[str, dict[str, Tensor]]:
    """A state of odd sizes: rows that no number of processes divides, one row, none, numbers of half precision."""
    draws = torch.Generator().manual_seed(step)
    long, wide = torch.randn(11, 3, 2, generator=draws), torch.randn(1, 5, generator=draws)
    model = {"long": long, "one": wide, "none": torch.zeros(0, 4), "half": torch.randn(6, generator=draws).bfloat16()}
    return {"model": {**model, "count": torch.tensor(step)}, "optimizer": {"long|step": torch.tensor(float(step))}}


def share(step: int, place: Place) -> dict[str, dict[str, Tensor | Rows]]:
    """What one of a circle has of it: rows of all that has rows."""
    return {
        group: {name: dealt(x, place.rank, place.size) if x.ndim else x for name, x in tensors.items()}
        for group, tensors in whole(step).items()
    }
