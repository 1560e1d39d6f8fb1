"""Objectives of self-prediction: how far an answer is from what was hidden."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.methods.objectives.objective import objective
from selftaught.system import distributed

ERRORS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "l2": lambda gap, beta: gap.square(),
    "l1": lambda gap, beta: gap.abs(),
    "smooth_l1": lambda gap, beta: F.smooth_l1_loss(gap, torch.zeros_like(gap), reduction="none", beta=beta),
}


def normalised_patches(patches: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Every patch (B, N, D) with its own mean taken off and its own deviation divided out. MAE (section 4.1)."""
    mean = patches.mean(dim=2, keepdim=True)
    return (patches - mean) / (patches.var(dim=2, keepdim=True) + epsilon).sqrt()


def error_of_nothing(size: int) -> float:
    """The squared error of predicting zero for a normalised patch of `size` numbers: its variance, whose estimate
    divides by one less than its size."""
    return (size - 1) / size


def normalised_tokens(tokens: Tensor, over: Literal["layer", "instance"]) -> Tensor:
    """Tokens (B, N, D) without mean and with unit deviation: each by itself (layer), or each of its numbers over the
    tokens of a sample (instance). data2vec (2202.03555, section 3.3)."""
    if over == "layer":
        return F.layer_norm(tokens, tokens.shape[-1:])
    return F.instance_norm(tokens.transpose(1, 2)).transpose(1, 2)


@objective
def cross_entropy(scores: Tensor, answer: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean cross entropy of scores (B x K) with the right answers' numbers (B,); `weight` (B,) leaves some out."""
    if weight is None:
        return F.cross_entropy(scores, answer)
    return _mean(F.cross_entropy(scores, answer, reduction="none"), weight)


@objective
def binary_cross_entropy(scores: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean cross entropy of scores with whether each is true, booleans (of one shape); `weight`, of that shape, too,
    leaves some out."""
    if weight is None:
        return F.binary_cross_entropy_with_logits(scores, truth.to(scores.dtype))
    return _mean(F.binary_cross_entropy_with_logits(scores, truth.to(scores.dtype), reduction="none"), weight)


@objective
def hidden_error(predicted: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    """Mean squared error over hidden tokens (predicted, target: B x N x D; hidden: B x N booleans). MAE (section 3)."""
    return weighted_error(predicted, target, hidden[..., None].to(predicted.dtype))


@objective
def weighted_error(
    predicted: Tensor, target: Tensor, weight: Tensor, kind: Literal["l2", "l1", "smooth_l1"] = "l2", beta: float = 1.0
) -> Tensor:
    """Squared, absolute or smooth (Huber's, quadratic below `beta`) error averaged with `weight`.

    The weight broadcasts to the shape of both. Its total is taken over all processes, so that samples with more
    hidden values count for more everywhere alike.
    """
    error = ERRORS[kind](predicted - target, beta)
    return _mean(error, weight.expand_as(error))


@objective
def weighted_cross_entropy(scores: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cross entropy of soft targets averaged with `weight` (scores, target: B x K x ..., weight: B x ...).

    Colorization (1603.08511, equation 2), with the mean over all processes' weights in place of the sum.
    """
    return _mean(-(target * F.log_softmax(scores, dim=1)).sum(dim=1), weight)


def _mean(error: Tensor, weight: Tensor) -> Tensor:
    """The mean of errors by their weights (both of one shape) over all processes; zero where nothing weighs."""
    # Divided by a process's mean weight: as gradients are averaged over processes, each sample has its weight in all.
    share = distributed.total(weight.sum().detach()) / distributed.world_size()
    return (error * weight).sum() / share.clamp(min=torch.finfo(error.dtype).tiny)
