"""Which samples a step sees, and their views: a pure function of the seed and the step."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selftaught.contracts.samples import MakeViews, Samples
from selftaught.run.quantities import Growth
from selftaught.system import clock, distributed, randomness
from selftaught.system.devices import moved, numbered
from selftaught.system.errors import UsageError
from selftaught.system.order import ORDERS, Apart, Kind, Order
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


@dataclass(frozen=True)
class Smaller:
    """Views of a smaller side, for the first of all steps."""

    views: MakeViews
    growth: Growth
    steps: int  # as they are planned; a run that corrects them says so

    def turn(self, steps: int) -> int:
        """The first of so many steps that has whole views."""
        return self.growth.turn(steps)


class Batches:
    """The views of each step: every epoch is a fresh order of the samples, cut into whole batches.

    `order` is that of an epoch, see `system/order.py`; `rows` are the numbers of the samples to learn from (default:
    all). `targets` (N, ...) has one for each of the samples by its number, such as its class; those of a step come
    behind its views. `at_first` makes those of a run's first steps. `partners` gives of each sample another one, which
    the views are made of as well: what makes them is told both. `apart` (N,) has the same number for samples that no
    batch is to hold two of.
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
        at_first: Smaller | None = None,
        partners: Callable[[NDArray[np.int64]], NDArray[np.int64]] | None = None,
        apart: NDArray[np.int64] | None = None,
    ) -> None:
        refuse_uneven(batch_size, distributed.world_size())
        self.samples, self.views, self.batch_size, self.seed = samples, views, batch_size, seed
        self.device, self.targets, self.partners = torch.device(device), targets, partners
        self._at_first, self._turn = at_first, at_first.turn(at_first.steps) if at_first else 0
        self.seconds = 0.0  # that a step has waited for its views, in all
        self._ahead: Ahead | None = None
        self._learnt, self._count = rows, samples.count if rows is None else len(rows)
        whole = ORDERS[order](seed, self._count, batch_size)
        self._order: Order = whole if apart is None else Apart(seed, apart, batch_size)

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
    def of_run(self, steps: int, until: int) -> Iterator[None]:
        """Those of a run of so many steps, which ends before `until` this time.

        Beside a card, the batch of the next step is made while the one that was asked for is used.
        """
        self._turn = self._at_first.turn(steps) if self._at_first else 0
        if self.device.type != "cuda":
            yield
            return
        with Ahead(self._made, self.device, until) as self._ahead:
            try:
                yield
            finally:
                self._ahead = None

    def _made(self, step: int) -> tuple[Tensor, ...]:
        for ahead in range(1, AHEAD + 1):
            with self._address(step + ahead):
                for rows in self._shown(self.rows(step + ahead)):
                    self.samples.prefetch(rows)
        with self._address(step):
            return self.views_of(self.rows(step), self._smaller(step))

    def first(self, step: int, count: int) -> tuple[Tensor, ...]:
        """The views of so many samples of a step's whole batch, from its first one on, and of no others."""
        with randomness.at(self.seed, step, slice(0, count), self.batch_size):
            return self.views_of(self.all_rows(step)[:count], self._smaller(step))

    def _smaller(self, step: int) -> MakeViews | None:
        """What makes the views of a step, where it is one of the first."""
        return self._at_first.views if self._at_first and step < self._turn else None

    def _address(self, step: int) -> AbstractContextManager[None]:
        """Of this process's share of the random numbers of a step."""
        share = self.batch_size // distributed.world_size()
        first = distributed.rank() * share
        return randomness.at(self.seed, step, slice(first, first + share), self.batch_size)

    def _shown(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The samples that views are made of: these and, where there are partners, theirs."""
        return [rows, self.partners(rows)] if self.partners else [rows]

    @torch.no_grad()
    def views_of(self, rows: NDArray[np.int64], made_by: MakeViews | None = None) -> tuple[Tensor, ...]:
        """The views of these samples, and their targets, by the random numbers of whatever step it is.

        `made_by` makes them, where they are others than those of most steps.
        """
        with part("input"):
            raw = tuple(moved(part, self.device) for one in self._shown(rows) for part in self.samples.batch(one))
        numbers = torch.from_numpy(rows)
        with part("views"):
            views = (made_by or self.views)(numbered(numbers, self.device), *raw)
        return views if self.targets is None else (*views, moved(self.targets[numbers], self.device))
