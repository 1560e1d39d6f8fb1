"""What a network is trained to say of samples, by what their labels are: how wrong it is, and how good."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score
from torch import Tensor

from selftaught.judging.labelled import Labelled
from selftaught.judging.metrics import balanced_accuracy, explained, mean_average_precision, uneven
from selftaught.judging.subsets import Rows
from selftaught.judging.targets import Task
from selftaught.system.errors import DataError, UsageError

Array = NDArray[Any]


def _classes_loss(scores: Tensor, truth: Tensor, weight: Tensor | None) -> Tensor:
    return F.cross_entropy(scores, truth, weight)


def _several_loss(scores: Tensor, truth: Tensor, weight: Tensor | None) -> Tensor:
    return F.binary_cross_entropy_with_logits(scores, truth, pos_weight=weight)


def _number_loss(scores: Tensor, truth: Tensor, weight: Tensor | None) -> Tensor:
    return F.mse_loss(scores[:, 0], truth)


LOSSES: Mapping[Task, tuple[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]]] = {
    "classes": ("cross_entropy", _classes_loss),
    "several": ("binary_cross_entropy", _several_loss),
    "number": ("squared_error", _number_loss),
}


@dataclass(frozen=True)
class Aim:
    """What is aimed at: a task, and the truth of all samples as the loss takes it."""

    task: Task
    outputs: int
    truth: Tensor  # classes (N,), labels (N, L) as 0 and 1, or numbers (N,), standardised
    mean: float = 0.0  # of the numbers that are learnt from
    deviation: float = 1.0
    balanced: bool = False  # whether accuracy is that of each class alike
    weight: Tensor | None = None  # of each class in the loss, or of having each label (outputs,); None: all count alike

    @property
    def called(self) -> str:
        """What the loss is called."""
        return LOSSES[self.task][0]

    def loss(self, scores: Tensor, truth: Tensor) -> Tensor:
        """Of scores (B, outputs), and the truth of the same samples."""
        weight = None if self.weight is None else self.weight.to(scores.device)
        return LOSSES[self.task][1](scores.float(), truth, weight)

    def good(self, scores: Tensor, truth: Tensor) -> tuple[float, float]:
        """How good scores (N, outputs) are: accuracy, mAP or R², and where they are alike, less of the loss."""
        if not torch.isfinite(scores).all():
            return -math.inf, -math.inf
        return self._measure(scores.numpy(), truth.numpy()), -self.loss(scores, truth).item()

    def _measure(self, scores: Array, truth: Array) -> float:
        if self.task == "several":
            return mean_average_precision(truth, scores)
        if self.task == "number":
            return explained(truth, scores[:, 0])
        said = scores.argmax(axis=1)
        return balanced_accuracy(truth, said) if self.balanced else float(accuracy_score(truth, said))

    def said(self, scores: Tensor) -> Array:
        """What scores (N, outputs) say: classes (N,), how likely labels are (N, L), or numbers (N,)."""
        if self.task == "several":
            return torch.sigmoid(scores.double()).numpy()
        if self.task == "number":
            return (scores[:, 0].double() * self.deviation + self.mean).numpy()
        return scores.argmax(dim=1).numpy()


def aim_of(data: Labelled, learnt: Rows, weighted: bool = False) -> Aim:
    """The aim of who learns from these training rows, by which numbers are standardised.

    weighted: whether rare classes, or labels, count for more in the loss. Raises DataError, and UsageError of numbers.
    """
    truth = data.truth
    if data.task == "number":
        if weighted:
            raise UsageError("finetune option 'weighting' cannot be 'balanced' here: labels are numbers, of no class")
        return _number_aim(truth, learnt)
    outputs, own = len(data.names), truth[learnt]
    if data.task == "several":
        counts = own.sum(axis=0)
        weight = _float((len(own) - counts).clip(1) / counts.clip(1)) if weighted else None
        return Aim("several", outputs, _float(truth), weight=weight)
    counts = np.bincount(own, minlength=outputs)
    weight = _float(len(own) / (counts.clip(1) * outputs)) if weighted else None
    return Aim("classes", outputs, torch.from_numpy(truth), balanced=uneven(counts[counts > 0]), weight=weight)


def _number_aim(truth: Array, learnt: Rows) -> Aim:
    with np.errstate(over="ignore", invalid="ignore"):  # which is said
        mean, deviation = float(truth[learnt].mean()), float(truth[learnt].std()) or 1.0
    if not math.isfinite(deviation):
        raise DataError(f"the labels reach {np.abs(truth[learnt]).max():.3g}: too far apart for their mean to be taken")
    return Aim("number", 1, _float((truth - mean) / deviation), mean, deviation)


def _float(values: Array) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
