"""Objectives with a teacher: say what the slow self says."""

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.methods.objectives.objective import objective
from selftaught.system import distributed
from selftaught.system.precision import in_full_precision


@objective
def cosine_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean of 2 - 2 cos between paired rows (B x D): the squared distance of unit vectors.

    BYOL (2006.07733, equation 2).
    """
    return 2 - 2 * F.cosine_similarity(predicted, target, dim=1).mean()


@objective
def negative_cosine(predicted: Tensor, target: Tensor) -> Tensor:
    """Minus the mean cosine of paired rows (B x D). SimSiam (2011.10566, equation 1)."""
    return -F.cosine_similarity(predicted, target, dim=1).mean()


@torch.no_grad()
@objective
def sharpened(scores: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """A teacher's answer: scores (..., K) less their `centre` (K,), made sharp by a low temperature.

    DINO (2104.14294, section 3.1).
    """
    return F.softmax((scores - centre) / temperature, dim=-1)


@objective
def distilled(target: Tensor, scores: Tensor, temperature: float) -> Tensor:
    """Cross entropy (...,) of a student's scores (..., K) with a teacher's answer (..., K). DINO (equation 2)."""
    return -(target * F.log_softmax(scores / temperature, dim=-1)).sum(dim=-1)


@torch.no_grad()
@in_full_precision
def moved_centre(centre: Tensor, scores: Tensor, momentum: float) -> Tensor:
    """The running mean (K,) of a teacher's scores (N, K) over all processes. DINO (equation 4)."""
    # Sums and counts apart: processes may hold different numbers of scores, or none.
    total = distributed.total(scores.sum(dim=0))
    count = distributed.total(scores.new_tensor(float(len(scores))))
    return torch.where(count > 0, momentum * centre + (1 - momentum) * total / count.clamp(min=1), centre)
