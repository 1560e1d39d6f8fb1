"""How features look without any labels: whether they spread, and over how many directions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def feature_spread(found: NDArray[Any]) -> float:
    """How far unit-length features (N, D) spread over the sphere: 0 for a single point, 1 for all directions.

    The mean deviation of each coordinate times the root of D (SimSiam, 2011.10566, section 4.1).
    """
    unit = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return float(unit.std(axis=0).mean() * np.sqrt(found.shape[1]))


def rankme(found: NDArray[Any]) -> float:
    """The effective rank of features (N, D): 1 for a line, D where all directions are used alike.

    The exponential of the entropy of the singular values' shares (RankMe, 2210.02885, equation 1).
    """
    values = np.linalg.svd(found.astype(np.float64), compute_uv=False)
    shares = values / max(values.sum(), 1e-12) + 1e-7
    return float(np.exp(-(shares * np.log(shares)).sum()))
