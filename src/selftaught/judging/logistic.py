"""Multinomial logistic regression on principal components, by L-BFGS to a stated tolerance.

The penalty of a feature's weight is a penalty of each component's weight by its variance, so features as they are and
whitened ones are fitted on the same well-conditioned columns. Each column is scaled by the curvature that is expected
of it; features as they are then take tens of iterations where their own coordinates take thousands.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from selftaught.system.interruption import poll

# Of the largest entry of the gradient of the mean loss, in the scaled coordinates; the looser one is enough to choose.
TOLERANCE, ROUGH = 1e-4, 1e-3
ITERATIONS = 1000  # at most

Array = NDArray[Any]


@dataclass(frozen=True)
class Fit:
    """Scores of samples z (N, k) are z @ weights + bias."""

    weights: Array  # (k, classes) float64
    bias: Array  # (classes,)
    iterations: int
    converged: bool

    def says(self, z: Array) -> NDArray[np.int64]:
        """The likeliest class of each sample (N,)."""
        return np.asarray((z @ self.weights.astype(np.float32) + self.bias.astype(np.float32)).argmax(axis=1))


def fit(
    z: Array,
    labels: NDArray[np.int64],
    classes: int,
    penalty: Array,
    start: Fit | None = None,
    tolerance: float = TOLERANCE,
) -> Fit:
    """The least mean cross-entropy of z (N, k) and labels (N,) in [0, classes), plus penalty (k,) / 2 * weights ** 2.

    It goes on from `start`; the bias is not penalised.
    """
    scale = 1 / np.sqrt((classes - 1) / classes**2 + penalty)  # one over the root of the curvature at equal odds
    first = np.zeros((len(scale) + 1, classes))
    if start:
        first = np.vstack([start.weights / scale[:, None], start.bias])
    loss = _Loss(torch.from_numpy(z), torch.from_numpy(labels), classes, penalty, scale)
    weights, iterations, converged = descended(loss, first, tolerance)
    return Fit(weights[:-1] * scale[:, None], weights[-1], iterations, converged)


def descended(loss: Callable[[Array], tuple[float, Array]], first: Array, tolerance: float) -> tuple[Array, int, bool]:
    """Where a loss with its gradient is least, from `first` on, after how many iterations, and whether it is reached.

    A stop is heard after each iteration.
    """
    how = {"maxiter": ITERATIONS, "maxfun": 2 * ITERATIONS, "gtol": tolerance, "ftol": 0.0}
    found = minimize(loss, first.ravel(), jac=True, method="L-BFGS-B", callback=lambda _: poll(), options=how)
    return found.x.reshape(first.shape), int(found.nit), bool(np.abs(found.jac).max() <= tolerance)


class _Loss:
    """The penalised loss and its gradient by scaled weights and bias, ((k + 1) * classes,); products in float32."""

    def __init__(self, z: Tensor, labels: Tensor, classes: int, penalty: Array, scale: Array) -> None:
        self.z, self.labels, self.shape = z, labels[:, None], (len(scale) + 1, classes)
        self.penalty, self.scale = torch.from_numpy(penalty)[:, None], torch.from_numpy(scale)[:, None]

    def __call__(self, flat: Array) -> tuple[float, Array]:
        given = torch.from_numpy(flat).view(self.shape)
        weights = given[:-1] * self.scale
        logs = F.log_softmax(F.linear(self.z, weights.float().T.contiguous(), given[-1].float()), dim=1)
        loss = -logs.gather(1, self.labels).mean(dtype=torch.float64) + (self.penalty * weights**2).sum() / 2
        off = logs.exp_()
        off.scatter_add_(1, self.labels, off.new_full((1, 1), -1.0).expand_as(self.labels))
        slope = (off.T.contiguous() @ self.z).T.double() / len(self.z)  # a tenth of the time of z.T @ off
        slope += self.penalty * weights
        gradient = torch.cat([slope * self.scale, off.mean(dim=0, dtype=torch.float64)[None]])
        return float(loss), gradient.flatten().numpy()
