"""Objectives with a teacher: say what the slow self says."""

import torch.nn.functional as F
from torch import Tensor

from . import in_full_precision


@in_full_precision
def cosine_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean of 2 - 2 cos between paired rows (B x D): the squared distance of unit vectors.

    BYOL (2006.07733, equation 2).
    """
    return 2 - 2 * F.cosine_similarity(predicted, target, dim=1).mean()
