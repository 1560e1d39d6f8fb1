"""Which samples a step sees, and their views: a pure function of the seed and the step."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selftaught.contracts.modality import MakeViews, Samples
from selftaught.run.quantities import Growth
from selftaught.system import clock, distributed, randomness
from selftaught.system.devices import moved, numbered
from selftaught.system.errors import UsageError
from selftaught.system.order import ORDERS, Kind
from selftaught.system.profiling import part
from selftaught.training.ahead import Ahead

AHEAD = 2  # steps whose samples are asked for early: the next is read while this one trains, and one more in reserve


def refuse_uneven(batch_size: int, count: int) -> None:
    """Raise UsageError where a batch cannot be divided among so many processes: some samples would never be seen."""
    if batch_size % count:
        near = [n for n in (batch_size // count * count, -(-batch_size // count) * count) if n >= max(2, count)]
        raise UsageError(
            f"--batch-size {batch_size} cannot be divided among {count} processes; use {' or '.join(map(str, near))}"
        )


@dataclass
class Smaller:
    """Views of a smaller side for the first of so many steps."""

    views: MakeViews
    growth: Growth
    steps: int

    def at(self, step: int) -> bool:
        """Whether a step has them."""
        return step < self.growth.turn(self.steps)


class Batches:
    """The views of each step: every epoch is a fresh order of the samples, cut into whole batches.

    `order` is that of an epoch, see `system/order.py`; `rows` are the numbers of the samples to learn from (default:
    all). `targets` (N, ...) has one for each of the samples by its number, such as its class; those of a step come
    behind its views.
    """

    def __init__(
        self,
        samples: Samples,
        views: MakeViews,
        *,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        rows: NDArray[np.int64] | None = None,
        targets: Tensor | None = None,
        order: Kind = "full",
    ) -> None:
        refuse_uneven(batch_size, distributed.world_size())
        self.samples, self.views, self.batch_size, self.seed = samples, views, batch_size, seed
        self.device, self.targets = torch.device(device), targets
        self.at_first: Smaller | None = None
        self.seconds = 0.0  # that a step has waited for its views, in all
        self._ahead: Ahead | None = None
        self._learnt, self._count = rows, samples.count if rows is None else len(rows)
        self._order = ORDERS[order](seed, self._count, batch_size)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass; the samples left over are others in the next."""
        return self._count // self.batch_size

    def rows(self, step: int) -> NDArray[np.int64]:
        """Sample numbers of this process's share of a step's global batch."""
        share = self.batch_size // distributed.world_size()
        first = distributed.rank() * share
        return self._rows(step, first, first + share)

    def all_rows(self, step: int) -> NDArray[np.int64]:
        """Those of the whole batch."""
        return self._rows(step, 0, self.batch_size)

    def _rows(self, step: int, start: int, stop: int) -> NDArray[np.int64]:
        epoch, place = divmod(step, self.steps_per_epoch)
        rows = self._order(epoch, place, start, stop)
        return rows if self._learnt is None else self._learnt[rows]

    def __call__(self, step: int) -> tuple[Tensor, ...]:
        """The views of a step, drawn at the step's own address, whichever step the caller is at."""
        began = clock.now()
        views = self._ahead(step) if self._ahead else self._made(step)
        self.seconds += clock.now() - began
        return views

    @contextmanager
    def ahead(self, until: int) -> Iterator[None]:
        """Beside a card, make the batch of the next step, before `until`, while the one that was asked for is used."""
        if self.device.type != "cuda":
            yield
            return
        with Ahead(self._made, self.device, until) as self._ahead:
            try:
                yield
            finally:
                self._ahead = None

    def _made(self, step: int) -> tuple[Tensor, ...]:
        rows = self.rows(step)
        first = distributed.rank() * len(rows)
        for ahead in range(1, AHEAD + 1):
            self.samples.prefetch(self.rows(step + ahead))
        with randomness.at(self.seed, step, slice(first, first + len(rows)), self.batch_size):
            small = self.at_first
            return self.views_of(rows, small.views if small and small.at(step) else None)

    @torch.no_grad()
    def views_of(self, rows: NDArray[np.int64], made_by: MakeViews | None = None) -> tuple[Tensor, ...]:
        """The views of these samples, and their targets, by the random numbers of whatever step it is.

        `made_by` makes them, where they are others than those of most steps.
        """
        with part("input"):
            raw = tuple(moved(stored, self.device) for stored in self.samples.batch(rows))
        numbers = torch.from_numpy(rows)
        with part("views"):
            views = (made_by or self.views)(numbered(numbers, self.device), *raw)
        return views if self.targets is None else (*views, moved(self.targets[numbers], self.device))
