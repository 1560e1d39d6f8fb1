"""Small heads that learn on what a frozen encoder makes of samples, which is held in memory: nothing is augmented."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, inf
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from selftaught.judging.aim import Aim, aim_of
from selftaught.judging.labelled import spare
from selftaught.judging.probe import Exam
from selftaught.system.interruption import poll

GRID = tuple((rate, decay) for rate in (1e-3, 1e-2) for decay in (0.01, 1.0))  # learning rate and weight decay
BATCH, EPOCHS, STEPS = 256, 20, 100  # steps at least, where there are few labels
LOOKS = 20  # at the held-out samples
HELD_OUT = 0.2

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """What an encoder makes of all samples in parts, tokens or layers: values (N, n, D), and how they are scaled."""

    values: Tensor
    mean: Tensor  # (D,), or (n, D)
    deviation: Tensor
    there: Tensor | None = None  # (N, n), which of them hold anything; None where all do

    def rows(self, rows: Rows | Tensor) -> Tensor:
        """Those of some samples, scaled."""
        return (self.values[torch.as_tensor(rows)] - self.mean) / self.deviation

    def shown(self, rows: Rows | Tensor) -> tuple[Tensor, ...]:
        """Likewise and, where not all hold anything, which do."""
        return (self.rows(rows),) if self.there is None else (self.rows(rows), self.there[torch.as_tensor(rows)])


@dataclass
class _Best:
    good: tuple[float, float] = (-inf, 0.0)
    weights: dict[str, Tensor] | None = None
    chosen: dict[str, Any] | None = None


def head_predict(make: Callable[..., nn.Module], parts: Parts, exam: Exam) -> NDArray[Any]:
    """What is said of the tested samples (M, ...) by the head that `make` makes of n, D and the number of outputs.

    AdamW with a cosine; learning rate, weight decay and when to stop are chosen on a fifth of the training labels.
    """
    data, split, best = exam.data, exam.split, _Best()
    seed = exam.seed + split.repeat
    learnt, held = spare(data, split.train, HELD_OUT, seed)
    aim, head = aim_of(data, learnt), nn.Module()
    with torch.random.fork_rng(devices=[]):
        for rate, decay in GRID if len(held) else GRID[:1]:
            torch.manual_seed(seed)
            head = make(*parts.values.shape[1:], aim.outputs)
            _train(head, parts, aim, learnt, held, rate, decay, best)
    head.load_state_dict(best.weights or head.state_dict())
    if best.chosen:
        exam.chosen.append(best.chosen)
    return aim.said(_scores(head, parts, split.test))


def _train(
    head: nn.Module,
    parts: Parts,
    aim: Aim,
    learnt: Rows,
    held: Rows,
    rate: float,
    decay: float,
    best: _Best,
) -> None:
    """Train the head, and keep in `best` what does better on the held-out samples than all before."""
    optimizer = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=decay)
    each = ceil(len(learnt) / BATCH)
    steps = max(EPOCHS * each, STEPS)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rows, order = torch.from_numpy(learnt), torch.empty(0, dtype=torch.int64)
    for step in range(1, steps + 1):
        poll()
        if not len(order):
            order = rows[torch.randperm(len(rows))]
        now, order = order[:BATCH], order[BATCH:]
        head.train()
        optimizer.zero_grad()
        aim.loss(head(*parts.shown(now)), aim.truth[now]).backward()
        optimizer.step()
        cosine.step()
        if len(held) and step % ceil(steps / LOOKS) == 0:
            _look(head, parts, aim, held, {"lr": rate, "weight_decay": decay, "steps": step}, best)


def _look(head: nn.Module, parts: Parts, aim: Aim, held: Rows, chosen: dict[str, Any], best: _Best) -> None:
    good = aim.good(_scores(head, parts, held), aim.truth[torch.from_numpy(held)])  # few are often equally many right
    if good > best.good:
        best.good, best.chosen = good, chosen
        best.weights = {name: value.detach().clone() for name, value in head.state_dict().items()}


@torch.no_grad()
def _scores(head: nn.Module, parts: Parts, rows: Rows) -> Tensor:
    head.eval()
    return torch.cat([head(*parts.shown(some)) for some in torch.from_numpy(rows).split(4 * BATCH)])
