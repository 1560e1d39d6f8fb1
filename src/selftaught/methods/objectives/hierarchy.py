"""Objectives at every scale: moments of series told from other moments and from other series, then from longer ones."""

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.methods.objectives.objective import objective
from selftaught.system import distributed


@objective
def hierarchical_contrast(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """How well each moment of two contexts (B, D, n) is told from those of other series, and from others of its own.

    TS2Vec (2106.10466, equations 1 to 3 and algorithm 1): by products that are not normalised, at every scale, of which
    each is the greatest of every two moments of the one before, until one is left, and the mean over scales. What is
    told from other series is told from those of all processes.
    """
    series, moments, scales = a.new_zeros(()), a.new_zeros(()), 0
    while True:
        series, scales = series + _among_series(a, b), scales + 1
        if a.shape[2] == 1:
            return series / scales, moments / scales
        moments = moments + _among_moments(a, b)
        a, b = F.max_pool1d(a, 2), F.max_pool1d(b, 2)


def _among_series(a: Tensor, b: Tensor) -> Tensor:
    """Each moment of a series is to be found among the same moment of all series, in both contexts."""
    both = torch.cat([a, b])  # (2B, D, n)
    everyone = distributed.gather(both).permute(2, 1, 0)  # (n, D, M)
    own = torch.arange(len(both), device=a.device) + distributed.rank() * len(both)
    return _found(both.permute(2, 0, 1), everyone, own, own.roll(len(a)))


def _among_moments(a: Tensor, b: Tensor) -> Tensor:
    """Each moment of a series is to be found among all moments of that series, in both contexts."""
    both = torch.cat([a, b], dim=2)  # (B, D, 2n)
    own = torch.arange(both.shape[2], device=a.device)
    return _found(both.mT, both, own, own.roll(a.shape[2]))


def _found(queries: Tensor, keys: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """Cross entropy of finding each query (G, N, D) as the key `other` (N,) of keys (G, D, M), of which `own` is left
    out: a mean."""
    scores = queries @ keys
    scores = scores.scatter(2, own[None, :, None].expand(len(scores), -1, 1), -torch.inf)
    return (scores.logsumexp(dim=2) - scores.gather(2, other[None, :, None].expand(len(scores), -1, 1))[..., 0]).mean()
