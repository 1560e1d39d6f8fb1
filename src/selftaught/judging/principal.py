"""Features in the directions of their principal components, in which a linear probe is soon fitted to the end."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
NEGLIGIBLE = 1e-8  # of the largest variance: below it is what rounding has made of float32 features
CHUNK = 4096  # rows that are centred at once


@dataclass(frozen=True)
class Principal:
    """Features (N, D) as z (N, k) float32, whose columns have variance 1 and nothing in common in the training part.

    `variances` (k,) are those that the columns had, so that z * sqrt(variances) are the features again, turned.
    """

    z: Array
    variances: NDArray[np.float64]


def principal(features: Array, part: NDArray[np.int64]) -> Principal:
    """All `features` (N, D) by mean, directions and variances of the rows `part` alone."""
    mean = features[part].mean(axis=0, dtype=np.float64)
    variances, directions = _components(features, part, mean)
    kept = variances > NEGLIGIBLE * variances[0]
    kept[0] = True  # of features that are all the same, a column of zeros
    variances = np.where(variances[kept] > 0, variances[kept], 1.0)
    turned = (directions[:, kept] / np.sqrt(variances)).astype(np.float32)
    origin, z = mean.astype(np.float32), np.empty((len(features), len(variances)), dtype=np.float32)
    for start in range(0, len(features), CHUNK):  # or features of a gigabyte would be there a third time
        rows = slice(start, start + CHUNK)
        np.matmul(features[rows] - origin, turned, out=z[rows])
    return Principal(z, variances)


def _components(features: Array, part: NDArray[np.int64], mean: Array) -> tuple[Array, Array]:
    """Variances (k,), largest first, and directions (D, k)."""
    if len(part) < features.shape[1]:  # then the products of samples with each other are fewer
        centred = features[part] - mean
        variances, mixed = np.linalg.eigh(centred @ centred.T / len(part))
        variances = np.maximum(variances[::-1], 0.0)
        lengths = np.sqrt(np.maximum(variances * len(part), np.finfo(float).tiny))
        return variances, centred.T @ mixed[:, ::-1] / lengths
    products = np.zeros((features.shape[1],) * 2)
    for start in range(0, len(part), CHUNK):
        centred = features[part[start : start + CHUNK]] - mean
        products += centred.T @ centred
    variances, directions = np.linalg.eigh(products / len(part))
    return np.maximum(variances[::-1], 0.0), directions[:, ::-1]
