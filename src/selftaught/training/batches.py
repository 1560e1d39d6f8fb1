"""Which samples a step sees, and their views: a pure function of the seed and the step."""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selftaught.system import clock, distributed, randomness
from selftaught.system.profiling import part

AHEAD = 2  # steps whose samples are asked for early


class Samples(Protocol):
    """What training needs of a modality's samples."""

    count: int

    def batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, ...]: ...

    def prefetch(self, rows: NDArray[np.int64]) -> None: ...


class MakeViews(Protocol):
    """What training needs of a modality's views: sample numbers and a raw batch in, one tensor a view out."""

    def __call__(self, rows: Tensor, /, *raw: Any) -> tuple[Tensor, ...]: ...


class Batches:
    """The views of each step: every epoch is a fresh order of all samples, cut into whole batches."""

    def __init__(
        self,
        samples: Samples,
        views: MakeViews,
        *,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.samples, self.views, self.batch_size, self.seed = samples, views, batch_size, seed
        self.device = torch.device(device)
        self.steps_per_epoch = samples.count // batch_size
        self.seconds = 0.0  # spent fetching and making views, in all
        self._orders: dict[int, NDArray[np.int64]] = {}  # of this epoch, and of the next where steps look ahead

    def rows(self, step: int) -> NDArray[np.int64]:
        """Sample numbers of this process's share of a step's global batch."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch not in self._orders:
            self._orders = {known: order for known, order in self._orders.items() if known == epoch - 1}
            self._orders[epoch] = randomness.permutation(self.seed, epoch, self.samples.count)
        share = self.batch_size // distributed.world_size()
        first = place * self.batch_size + distributed.rank() * share
        return self._orders[epoch][first : first + share]

    def __call__(self, step: int) -> tuple[Tensor, ...]:
        began = clock.now()
        rows = self.rows(step)
        first = distributed.rank() * len(rows)
        for ahead in range(1, AHEAD + 1):
            self.samples.prefetch(self.rows(step + ahead))
        with randomness.at(self.seed, step, slice(first, first + len(rows)), self.batch_size):
            views = self.views_of(rows)
        self.seconds += clock.now() - began
        return views

    @torch.no_grad()
    def views_of(self, rows: NDArray[np.int64]) -> tuple[Tensor, ...]:
        """The views of these samples, by the random numbers of whatever step it is."""
        with part("input"):
            raw = tuple(self._moved(stored) for stored in self.samples.batch(rows))
        with part("views"):
            return self.views(torch.from_numpy(rows).to(self.device), *raw)

    def _moved(self, stored: Tensor) -> Tensor:
        if self.device.type == "cuda":  # only a copy from pinned memory runs beside the computation
            stored = stored.pin_memory()
        return stored.to(self.device, non_blocking=True)
