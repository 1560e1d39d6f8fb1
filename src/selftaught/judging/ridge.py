"""Ridge regression on principal components, in closed form: all strengths by one decomposition."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class _System:
    """What samples say of the weights, in directions that have nothing in common; the same for all strengths."""

    values: Array  # (k,)
    directions: Array  # (k, k), of weights that are scaled by the root of what they are penalised
    target: Array  # (k,), in these directions
    scale: Array  # (k,)
    mean: Array  # (k,)


@dataclass(frozen=True)
class Ridge:
    """Values of samples z (N, k) are z @ weights + bias."""

    weights: Array  # (k,) float64
    bias: float
    system: _System

    def says(self, z: Array) -> Array:
        """The value of each sample (N,)."""
        return np.asarray(z.astype(np.float64) @ self.weights + self.bias)


def fit(z: Array, values: Array, penalty: Array, strength: float, start: Ridge | None = None) -> Ridge:
    """The least mean square of z (N, k) and standardised values (N,), plus penalty (k,) / strength / N * weights ** 2.

    The bias is not penalised. `start`: a fit of the same samples and penalty with another strength, which saves the
    work.
    """
    mean, deviation = float(values.mean()), float(values.std()) or 1.0
    system = start.system if start else _system(z.astype(np.float64), (values - mean) / deviation, penalty)
    solved = system.target / (np.maximum(system.values, 0.0) + 1 / (strength * len(z)))
    weights = deviation * system.scale * (system.directions @ solved)
    return Ridge(weights, mean - float(system.mean @ weights), system)


def _system(z: Array, values: Array, penalty: Array) -> _System:
    mean, scale = z.mean(axis=0), 1 / np.sqrt(penalty)
    scaled = (z - mean) * scale
    found, directions = np.linalg.eigh(scaled.T @ scaled / len(z))
    return _System(found, directions, directions.T @ (scaled.T @ values) / len(z), scale, mean)
