"""How features look without any labels: whether they spread, over how many directions, and what tells samples apart."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist, squareform

from selftaught.system import randomness

# Whether more (1) or less (-1) of a score is said to be better; of alpha-ReQ, which is best at 1, see `worth`.
BETTER = {"rankme": 1, "lidar": 1, "idest": -1, "alpha_req": -1, "uniformity": -1, "feature_spread": 1, "alignment": -1}
COLLAPSED = 1e-3  # feature spread below which samples can no longer be told apart
COSTLY = ("lidar", "idest")  # not taken at every look


def feature_spread(z: NDArray[Any]) -> float:
    """How far unit-length features (N, D) spread over the sphere: 0 for a single point, 1 for all directions.

    The mean deviation of each coordinate times the root of D (SimSiam, 2011.10566, section 4.1).
    """
    return float(_unit(z).std(axis=0).mean() * np.sqrt(z.shape[1]))


def rankme(z: NDArray[Any]) -> float:
    """The effective rank of features (N, D): 1 for a line, D where all directions are used alike.

    The exponential of the entropy of the singular values' shares (RankMe, 2210.02885, equation 1).
    """
    values = np.linalg.svd(z.astype(np.float64), compute_uv=False)
    shares = values / max(values.sum(), 1e-12) + 1e-7
    return float(np.exp(-(shares * np.log(shares)).sum()))


def alpha_req(z: NDArray[Any]) -> float:
    """How fast the spectrum of features (N, D) falls: eigenvalue j of the covariance goes as j to the minus alpha.

    The slope of a line through the logarithms, over the eigenvalues from the 5th to the last that is a ten-thousandth
    of the first (alpha-ReQ, Agrawal et al., NeurIPS 2022, section 3; about 1 is best).
    """
    values = np.linalg.eigvalsh(np.cov(z.astype(np.float64), rowvar=False).reshape(z.shape[1], -1))[::-1]
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


def uniformity(z: NDArray[Any]) -> float:
    """Log of the mean Gaussian potential of pairs of unit-length features (N, D): lower is more uniform.

    Wang and Isola (2005.10242, section 4.1.2, with t 2).
    """
    return float(np.log(np.exp(-2 * pdist(_unit(z), "sqeuclidean")).mean()))


def lidar(groups: NDArray[Any]) -> float:
    """The effective rank of what tells samples apart once their views' own differences are whitened away.

    groups: (N, Q, D), the features of Q views of each of N samples; at most N - 1. The exponential of the entropy of
    the eigenvalues' shares (LiDAR, 2312.04000, equations 1 to 5), with the paper's 1e-4 on the diagonal counted in
    units of the features' mean variance, so that their scale does not matter.
    """
    z = groups.astype(np.float64)
    count, views, dim = z.shape
    means = z.mean(axis=1)
    centred = means - means.mean(axis=0)
    between = centred.T @ centred / (count - 1)
    own = (z - means[:, None]).reshape(-1, dim)
    within = own.T @ own / (count * (views - 1))
    ridge = 1e-4 * max((np.trace(between) + np.trace(within)) / dim, 1e-300)
    values, directions = np.linalg.eigh(within + ridge * np.eye(dim))
    whitening = directions / np.sqrt(values)
    spectrum = np.linalg.eigvalsh(whitening.T @ between @ whitening).clip(min=0)
    shares = spectrum / max(spectrum.sum(), 1e-300) + 1e-7
    return float(np.exp(-(shares * np.log(shares)).sum()))


def idest(z: NDArray[Any]) -> float:
    """The intrinsic dimension of features (N, D), by how the shortest tree that joins them grows: lower is better.

    The length of a minimum spanning tree of n points of a d-dimensional set grows as n to the 1 - 1/d (Steele, 1988;
    IdEst, 2606.03338). The slope is that of a line through the logarithms at N, N/2, N/4 and N/8 points, each length
    a mean over as many separate parts as the samples make. Infinite where the tree grows as fast as the points.
    """
    order = randomness.generator(0, "idest").permutation(len(z))
    far = squareform(pdist(z[order].astype(np.float64)))
    sizes, lengths = [], []
    for parts in (1, 2, 4, 8):
        size = len(z) // parts
        if size < 2:
            break
        rows = [slice(part * size, (part + 1) * size) for part in range(parts)]
        sizes.append(size)
        lengths.append(np.mean([tree_length(far[own, own]) for own in rows]))
    if len(sizes) < 2 or min(lengths) <= 0:
        return float("inf")  # all in one point, where there is no tree to grow
    slope = np.polyfit(np.log(sizes), np.log(lengths), 1)[0]
    return float(1 / (1 - slope)) if slope < 1 else float("inf")


def tree_length(far: NDArray[np.float64]) -> float:
    """The length of a minimum spanning tree of points at these distances (N, N)."""
    # Single linkage joins clusters by the very edges of that tree; scipy's own tree takes a distance of 0 for no edge.
    return float(linkage(squareform(far, checks=False), "single")[:, 2].sum())


def worth(scores: Mapping[str, float], name: str) -> float:
    """A score turned so that more is better, as its paper has it; minus infinity where it could not be taken.

    So it is of features that lie in one point, which some scores, such as alignment, take for perfect.
    """
    collapsed = scores.get("feature_spread", 1.0) < COLLAPSED
    if collapsed or name not in scores or not np.isfinite(scores[name]):
        return float("-inf")
    return -abs(scores[name] - 1) if name == "alpha_req" else BETTER[name] * scores[name]


def _unit(z: NDArray[Any]) -> NDArray[Any]:
    return z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
