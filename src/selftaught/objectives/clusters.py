"""Objectives with prototypes: both views of a sample belong to the same one."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import distributed
from . import in_full_precision


@torch.no_grad()
@in_full_precision
def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Soft assignments (B, K) of a batch that use every prototype equally (scores: B x K, over all processes).

    SwAV (2006.09882, section 3.1 and algorithm 1): alternate normalisation of columns and rows.
    """
    # The largest score of all is taken off first: the result is the same and exp cannot overflow.
    logits = scores / epsilon
    highest = distributed.gather(logits.max()[None]).max()
    assignment = torch.exp(logits - highest)
    count = len(scores) * distributed.world_size()
    assignment = assignment / distributed.total(assignment.sum())
    for _ in range(iterations):
        assignment = assignment / distributed.total(assignment.sum(dim=0)).clamp(min=1e-30) / assignment.shape[1]
        assignment = assignment / assignment.sum(dim=1, keepdim=True).clamp(min=1e-30) / count
    return assignment * count


@in_full_precision
def swapped_prediction(assignment: Tensor, scores: Tensor, temperature: float) -> Tensor:
    """Cross entropy between one view's assignment and another's scores (both B x K). SwAV (equation 2)."""
    return -(assignment * F.log_softmax(scores / temperature, dim=1)).sum(dim=1).mean()
