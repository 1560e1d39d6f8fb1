"""Objectives of metadata: what a small head tells of a sample from its features, in some cases against its encoder."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.methods.objectives.objective import objective
from selftaught.system import distributed

UNKNOWN = -1  # the class of a sample of which nothing is known


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: Tensor) -> Tensor:
        ctx.strength = strength  # not saved: it may be another by the time that the gradient comes
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return -ctx.strength.to(grad.dtype) * grad, None


def reversed_gradient(x: Tensor, strength: Tensor) -> Tensor:
    """x as it is, whose gradient is turned round and multiplied by `strength` (), as that is in the backward pass.

    Ganin et al. (1505.07818).
    """
    reversed_x: Tensor = _Reversed.apply(x, strength)
    return reversed_x


@objective
def of_known_classes(scores: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy of scores (B, K) with classes (B,), over those of all processes that are not UNKNOWN; else 0."""
    summed = F.cross_entropy(scores, classes, ignore_index=UNKNOWN, reduction="sum")
    return summed / _known(classes != UNKNOWN)


@objective
def of_known_numbers(told: Tensor, numbers: Tensor) -> Tensor:
    """Squared error of told (B,) against numbers (B,), over those of all processes that are no NaN; 0 of none."""
    gaps = torch.where(numbers.isnan(), torch.zeros_like(told), told - numbers.nan_to_num())
    return gaps.square().sum() / _known(~numbers.isnan())


@torch.no_grad()
def still_told(loss: Tensor, chance: float) -> Tensor:
    """1 where the mean loss of all processes () is below that of knowing nothing, else 0."""
    return (distributed.total(loss.detach().float()) / distributed.world_size() < chance).to(loss.dtype)


@torch.no_grad()
def share_right(scores: Tensor, classes: Tensor) -> Tensor:
    """The accuracy of scores (B, K) over what is known in all processes; 0 of nothing."""
    return _mean((scores.argmax(dim=1) == classes).float(), classes != UNKNOWN)


@torch.no_grad()
def share_explained(told: Tensor, numbers: Tensor) -> Tensor:
    """R² of told (B,) of numbers (B,) whose variance is 1, over what is known in all processes; 0 of nothing."""
    return _mean(1 - (told - numbers.nan_to_num()).square(), ~numbers.isnan())


def _known(known: Tensor) -> Tensor:
    """What this process's sum is divided by, so that the mean over processes is that over all samples."""
    return (distributed.total(known.sum().float()) / distributed.world_size()).clamp(min=1 / distributed.world_size())


def _mean(values: Tensor, known: Tensor) -> Tensor:
    summed, count = distributed.total(torch.stack([(values * known).sum(), known.sum().to(values.dtype)]))
    return summed / count.clamp(min=1)
