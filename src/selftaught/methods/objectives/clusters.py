"""Objectives with prototypes: both views of a sample belong to the same one."""

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.methods.objectives.objective import objective
from selftaught.system import distributed
from selftaught.system.precision import in_full_precision


@torch.no_grad()
@objective
def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Soft assignments (B, K) of a batch that use every prototype equally (scores: B x K, over all processes).

    SwAV (2006.09882, section 3.1 and algorithm 1): alternate normalisation of columns and rows.
    """
    # The largest score of all is taken off first: the result is the same and exp cannot overflow.
    logits = scores / epsilon
    # A process may hold no scores at all, as where they are those of hidden tokens.
    highest = logits.max() if len(logits) else logits.new_full((), -torch.inf)
    highest = distributed.gather(highest[None]).max()
    assignment = torch.exp(logits - highest)
    count = distributed.total(logits.new_full((), float(len(scores))))
    assignment = assignment / distributed.total(assignment.sum())
    for _ in range(iterations):
        # The least is for prototypes that nobody scores above exp's reach: 0 / 0 would spoil every assignment.
        assignment = assignment / distributed.total(assignment.sum(dim=0)).clamp(min=1e-30) / assignment.shape[1]
        assignment = assignment / assignment.sum(dim=1, keepdim=True).clamp(min=1e-30) / count
    # Rows sum to 1 / count up to here, the joint distribution of the paper; times the count each is a distribution.
    return assignment * count


@objective
def swapped_prediction(assignment: Tensor, scores: Tensor, temperature: float) -> Tensor:
    """Cross entropy between one view's assignment and another's scores (both B x K). SwAV (equation 2)."""
    return -(assignment * F.log_softmax(scores / temperature, dim=1)).sum(dim=1).mean()


@objective
def mean_entropy(scores: Tensor, temperature: float) -> Tensor:
    """Entropy of the mean assignment of a batch (scores: B x K, all processes): log K where it is even.

    MSN (2204.07141, equation 1).
    """
    # The mean first, then its entropy: that of each sample may stay low, or no prototype would ever be sure.
    share = distributed.total(F.softmax(scores / temperature, dim=1).sum(dim=0))
    share = share / (len(scores) * distributed.world_size())
    # Not share * log share, which is no number for a prototype that nobody uses.
    return -torch.xlogy(share, share).sum()


@torch.no_grad()
@in_full_precision
def spherical_k_means(x: Tensor, starts: Tensor, iterations: int) -> Tensor:
    """Unit centres (K x D) of unit rows x (N x D).

    `starts` (K x D) are the first centres; a centre that no row is near to stays where it is. DeepCluster-v2
    (2006.09882, appendix D.2).
    """
    centres = F.normalize(starts, dim=1)
    for _ in range(iterations):
        nearest = nearest_centre(x, centres)
        sums = torch.zeros_like(centres).index_add_(0, nearest, x)
        used = nearest.bincount(minlength=len(centres)) > 0
        # A centre without rows has a sum of zero, and no direction: it waits where it is.
        centres = torch.where(used[:, None], F.normalize(sums, dim=1), centres)
    return centres


@torch.no_grad()
@in_full_precision
def nearest_centre(x: Tensor, centres: Tensor) -> Tensor:
    """The number of the centre (K x D) with the largest cosine for each row of x (N x D): (N,)."""
    # In parts of four million cosines, 16 MB: the whole table of a bank and its clusters may not fit.
    return torch.cat([(part @ centres.T).argmax(dim=1) for part in x.split(max(1, 2**22 // len(centres)))])
