"""How features look without any labels: whether they spread, and over how many directions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist


def feature_spread(found: NDArray[Any]) -> float:
    """How far unit-length features (N, D) spread over the sphere: 0 for a single point, 1 for all directions.

    The mean deviation of each coordinate times the root of D (SimSiam, 2011.10566, section 4.1).
    """
    return float(_unit(found).std(axis=0).mean() * np.sqrt(found.shape[1]))


def rankme(found: NDArray[Any]) -> float:
    """The effective rank of features (N, D): 1 for a line, D where all directions are used alike.

    The exponential of the entropy of the singular values' shares (RankMe, 2210.02885, equation 1).
    """
    values = np.linalg.svd(found.astype(np.float64), compute_uv=False)
    shares = values / max(values.sum(), 1e-12) + 1e-7
    return float(np.exp(-(shares * np.log(shares)).sum()))


def alpha_req(found: NDArray[Any]) -> float:
    """How fast the spectrum of features (N, D) falls: eigenvalue j of the covariance goes as j to the minus alpha.

    The slope of a line through the logarithms, over the eigenvalues from the 5th to the last that is a ten-thousandth
    of the first (alpha-ReQ, Agrawal et al., NeurIPS 2022, section 3; about 1 is best).
    """
    values = np.linalg.eigvalsh(np.cov(found.astype(np.float64), rowvar=False).reshape(found.shape[1], -1))[::-1]
    rank = np.arange(1, len(values) + 1)
    used = values > 1e-4 * max(values[0], 1e-300)
    used[: min(4, max(0, int(used.sum()) - 2))] = False
    if used.sum() < 2:
        return float("inf")  # a single direction: it falls at once
    return float(-np.polyfit(np.log(rank[used]), np.log(values[used]), 1)[0])


def alignment(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Mean squared distance of unit-length features of two views of each sample (N, D): 0 is perfect.

    Wang and Isola (2005.10242, section 4.1.1, with alpha 2).
    """
    return float(np.square(_unit(a) - _unit(b)).sum(axis=1).mean())


def uniformity(found: NDArray[Any]) -> float:
    """Log of the mean Gaussian potential of pairs of unit-length features (N, D): lower is more uniform.

    Wang and Isola (2005.10242, section 4.1.2, with t 2).
    """
    return float(np.log(np.exp(-2 * pdist(_unit(found), "sqeuclidean")).mean()))


def _unit(found: NDArray[Any]) -> NDArray[Any]:
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
