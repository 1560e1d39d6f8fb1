"""A logistic regression for each label against the rest, all at once, as `logistic` fits classes."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.special import expit, logit
from torch import Tensor

from selftaught.judging.logistic import TOLERANCE, Fit, descended

Array = NDArray[Any]


class SeveralFit(Fit):
    """Scores of samples z (N, k) are z @ weights + bias, of each label the logarithm of its odds."""

    def says(self, z: Array) -> Array:
        """How likely each label is (N, L)."""
        return np.asarray(expit(z @ self.weights.astype(np.float32) + self.bias.astype(np.float32)))


def fit(
    z: Array, truth: Array, penalty: Array, start: SeveralFit | None = None, tolerance: float = TOLERANCE
) -> SeveralFit:
    """The least mean cross-entropy of z (N, k) and each label (N, L), plus penalty (k,) / 2 * weights ** 2.

    It goes on from `start`; the bias is not penalised. Labels have nothing to do with each other but the solver.
    """
    odds = (truth.sum(axis=0) + 0.5) / (len(truth) + 1)  # of a label that nobody has, too, they are above nothing
    scale = 1 / np.sqrt(odds * (1 - odds) + penalty[:, None])  # one over the root of the curvature at such odds
    first = np.vstack([np.zeros_like(scale), logit(odds)])
    if start:
        first = np.vstack([start.weights / scale, start.bias])
    loss = _Loss(torch.from_numpy(z), torch.from_numpy(truth.astype(np.float32)), penalty, scale)
    weights, iterations, converged = descended(loss, first, tolerance)
    return SeveralFit(weights[:-1] * scale, weights[-1], iterations, converged)


class _Loss:
    """The penalised loss and its gradient by scaled weights and bias, ((k + 1) * L,); products in float32."""

    def __init__(self, z: Tensor, truth: Tensor, penalty: Array, scale: Array) -> None:
        self.z, self.truth, self.shape = z, truth, (len(scale) + 1, scale.shape[1])
        self.penalty, self.scale = torch.from_numpy(penalty)[:, None], torch.from_numpy(scale)

    def __call__(self, flat: Array) -> tuple[float, Array]:
        given = torch.from_numpy(flat).view(self.shape)
        weights = given[:-1] * self.scale
        scores = F.linear(self.z, weights.float().T.contiguous(), given[-1].float())
        each = F.binary_cross_entropy_with_logits(scores, self.truth, reduction="none")
        loss = each.sum(dtype=torch.float64) / len(self.z) + (self.penalty * weights**2).sum() / 2
        off = scores.sigmoid_().sub_(self.truth)
        slope = (off.T.contiguous() @ self.z).T.double() / len(self.z) + self.penalty * weights
        gradient = torch.cat([slope * self.scale, off.mean(dim=0, dtype=torch.float64)[None]])
        return float(loss), gradient.flatten().numpy()
