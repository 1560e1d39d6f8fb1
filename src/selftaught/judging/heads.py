"""Small heads that learn on what a frozen encoder makes of samples, which is held in memory: nothing is augmented."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from selftaught.judging.aim import aim_of
from selftaught.judging.labelled import spare
from selftaught.judging.probe import Exam
from selftaught.judging.teaching import HELD_OUT, Good, Lessons, taught

GRID = tuple((rate, decay) for rate in (1e-3, 1e-2) for decay in (0.01, 1.0))  # learning rate and weight decay
BATCH, EPOCHS, STEPS = 256, 20, 100  # steps at least, where there are few labels

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


def head_predict(make: Callable[..., nn.Module], parts: Parts, exam: Exam) -> NDArray[Any]:
    """What is said of the tested samples (M, ...) by the head that `make` makes of n, D and the number of outputs.

    How it learns is chosen on a fifth of the training labels.
    """
    data, split, seed = exam.data, exam.split, exam.seed + exam.split.repeat
    learnt, held = spare(data, split.train, HELD_OUT, seed)
    aim = aim_of(data, learnt)

    def loss(head: nn.Module, rows: Tensor) -> Tensor:
        return aim.loss(head(*parts.shown(rows)), aim.truth[rows])

    def good(head: nn.Module) -> Good:
        return aim.good(_scores(head, parts, held), aim.truth[torch.from_numpy(held)])

    steps = max(EPOCHS * ceil(len(learnt) / BATCH), STEPS)
    lessons = Lessons(loss, good if len(held) else None, GRID, BATCH, steps)
    head, chosen = taught(lambda: make(*parts.values.shape[1:], aim.outputs), lessons, learnt, seed)
    if chosen:
        exam.chosen.append(chosen)
    return aim.said(_scores(head, parts, split.test))


@torch.no_grad()
def _scores(head: nn.Module, parts: Parts, rows: Rows) -> Tensor:
    head.eval()
    return torch.cat([head(*parts.shown(some)) for some in torch.from_numpy(rows).split(4 * BATCH)])
