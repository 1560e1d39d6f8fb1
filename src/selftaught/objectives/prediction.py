"""Objectives of self-prediction: how far an answer is from what was hidden."""

import torch
from torch import Tensor

from .. import distributed
from . import in_full_precision


def normalised_patches(patches: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Every patch (B, N, D) with its own mean taken off and its own deviation divided out. MAE (section 4.1)."""
    mean = patches.mean(dim=2, keepdim=True)
    return (patches - mean) / (patches.var(dim=2, keepdim=True) + epsilon).sqrt()


@in_full_precision
def hidden_error(predicted: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    """Mean squared error over hidden tokens (predicted, target: B x N x D; hidden: B x N booleans). MAE (section 3)."""
    return weighted_error(predicted, target, hidden[..., None].to(predicted.dtype))


@in_full_precision
def weighted_error(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Squared error averaged with `weight`, which broadcasts to the shape of both.

    Its total is taken over all processes, so that samples with more hidden values count for more everywhere alike.
    """
    error = (predicted - target).square()
    weights = weight.expand_as(error)
    share = distributed.total(weights.sum().detach()) / distributed.world_size()
    return (error * weights).sum() / share.clamp(min=torch.finfo(error.dtype).tiny)
