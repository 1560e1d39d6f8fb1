"""Objectives without negatives or teachers: agree across views, and use every feature for something of its own."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import distributed
from . import in_full_precision

EPSILON = 1e-4  # inside the root of the standard deviation (VICReg, section 4.1)


@in_full_precision
def invariance(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of paired rows (a, b: B x D). VICReg (2105.04906, equation 5)."""
    return F.mse_loss(a, b)


@in_full_precision
def variance(x: Tensor, floor: float = 1.0) -> Tensor:
    """How far each feature's standard deviation falls short of `floor`, on average (x: B x D, all processes).

    VICReg (equations 1 and 2).
    """
    x = distributed.gather(x)
    return F.relu(floor - (x.var(dim=0) + EPSILON).sqrt()).mean()


@in_full_precision
def covariance(x: Tensor) -> Tensor:
    """Squared covariance left between different features, summed and divided by D (x: B x D, all processes).

    VICReg (equations 3 and 4).
    """
    x = distributed.gather(x)
    matrix = torch.cov(x.T)
    return (matrix.square().sum() - matrix.diagonal().square().sum()) / x.shape[1]
