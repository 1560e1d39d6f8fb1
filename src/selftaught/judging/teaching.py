"""How a head on frozen features learns: AdamW with a cosine; rate, decay and stop are chosen on held-out samples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from selftaught.system.interruption import poll

HELD_OUT = 0.2  # of the training labels
LOOKS = 20  # at the held-out samples

Rows = NDArray[np.int64]
Good = tuple[float, float]  # how good a head is, and what decides among those that are alike: few are often as right


@dataclass(frozen=True)
class Lessons:
    """What a head is taught: the loss of some samples, how good it is on those that are held out, and for how long."""

    loss: Callable[[nn.Module, Tensor], Tensor]
    good: Callable[[nn.Module], Good] | None  # None where none are held out
    grid: Sequence[tuple[float, float]]  # learning rates and weight decays, of which the first serves without a choice
    batch: int
    steps: int


@dataclass
class _Best:
    good: Good = (-inf, 0.0)
    weights: dict[str, Tensor] | None = None
    chosen: dict[str, Any] | None = None


def taught(
    make: Callable[[], nn.Module], lessons: Lessons, learnt: Rows, seed: int
) -> tuple[nn.Module, dict[str, Any] | None]:
    """The head that did best on the held-out samples, and how it was taught; the last one, and None, without any.

    Each learning rate and weight decay begins with a head that `make` makes by the same random numbers.
    """
    best, head = _Best(), nn.Module()
    with torch.random.fork_rng(devices=[]):
        for rate, decay in lessons.grid if lessons.good else lessons.grid[:1]:
            torch.manual_seed(seed)
            head = make()
            _train(head, lessons, torch.from_numpy(learnt), rate, decay, best)
    if best.weights is not None:
        head.load_state_dict(best.weights)
    return head, best.chosen


def _train(head: nn.Module, lessons: Lessons, rows: Tensor, rate: float, decay: float, best: _Best) -> None:
    """Train the head, and keep in `best` what does better on the held-out samples than all before."""
    optimizer = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=decay)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, lessons.steps)
    order = torch.empty(0, dtype=torch.int64)
    for step in range(1, lessons.steps + 1):
        poll()
        if not len(order):
            order = rows[torch.randperm(len(rows))]
        now, order = order[: lessons.batch], order[lessons.batch :]
        head.train()
        optimizer.zero_grad()
        lessons.loss(head, now).backward()
        optimizer.step()
        cosine.step()
        if lessons.good and step % ceil(lessons.steps / LOOKS) == 0 and (good := lessons.good(head)) > best.good:
            best.good, best.chosen = good, {"lr": rate, "weight_decay": decay, "steps": step}
            best.weights = {name: value.detach().clone() for name, value in head.state_dict().items()}
