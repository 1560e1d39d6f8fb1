"""Objectives with prototypes: both views of a sample belong to the same one."""

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.methods.objectives.objective import objective
from selftaught.system import distributed
from selftaught.system.precision import in_full_precision

FAR = 40.0  # temperatures; cosines at SwAV's 0.05 lie no farther apart


@torch.no_grad()
@objective
def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Soft assignments (..., B, K) of a batch that use every prototype equally (scores: ..., B, K, over all processes).

    What stands before the last two axes is evened out apart. SwAV (2006.09882, section 3.1 and algorithm 1): alternate
    normalisation of columns and rows.
    """
    # The largest score of all is taken off first: the result is the same and exp cannot overflow.
    logits = scores / epsilon
    of_rows = logits.amax(dim=-1, keepdim=True)
    # A process may hold no scores at all, as where they are those of hidden tokens.
    none = logits.new_full((*logits.shape[:-2], 1, 1), -torch.inf)
    highest = of_rows.amax(dim=-2, keepdim=True) if logits.numel() else none
    highest = distributed.gather(highest[None]).amax(dim=0)
    # A row that lies far below would be lost, as exp of all of it is 0: there its own largest score is taken off. The
    # first sums of columns weigh it as it was; once it is normalised, a row is the same whatever was taken off.
    taken = torch.where(of_rows < highest - FAR, of_rows, highest)
    lifted = torch.exp(logits - taken)
    assignment = lifted * torch.exp(taken - highest)
    count = distributed.total(logits.new_full((), float(scores.shape[-2])))
    whole = distributed.total(assignment.sum(dim=(-2, -1), keepdim=True))
    lifted, assignment = lifted / whole, assignment / whole
    for _ in range(iterations):
        # The least is for prototypes that nobody scores above exp's reach: 0 / 0 would spoil every assignment.
        used = distributed.total(assignment.sum(dim=-2, keepdim=True)).clamp(min=1e-30)
        lifted = lifted / used / lifted.shape[-1]
        lifted = assignment = lifted / lifted.sum(dim=-1, keepdim=True).clamp(min=1e-30) / count
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
    """Unit centres (K x D) of unit rows x (N x D), which all processes hold and each assigns a share of.

    `starts` (K x D) are the first centres; a centre that no row is near to stays where it is. DeepCluster-v2
    (2006.09882, appendix D.2). Any number of processes comes to the same centres, bit for bit, unless a row is as near
    to two of them as rounding tells.
    """
    centres, share = F.normalize(starts, dim=1), x[_own_rows(len(x))]
    sums = _Sums(share, len(x))
    for _ in range(iterations):
        nearest = nearest_centre(share, centres)
        used = distributed.total(nearest.bincount(minlength=len(centres))) > 0
        # A centre without rows has a sum of zero, and no direction: it waits where it is.
        centres = torch.where(used[:, None], F.normalize(sums.by(nearest, len(centres)), dim=1), centres)
    return centres


def _own_rows(count: int) -> slice:
    """Those of so many rows that this process looks at."""
    world, rank = distributed.world_size(), distributed.rank()
    return slice(count * rank // world, count * (rank + 1) // world)


class _Sums:
    """Sums of rows over all processes. Rows are turned into whole numbers, whose sums do not depend on the order."""

    def __init__(self, share: Tensor, count: int) -> None:
        """share: this process's (n, D) of `count` rows; no number is above 1 but for rounding."""
        # As fine as the sum of all leaves room for in 63 bits: 2^-35 for a hundred million rows.
        self.unit, self.dtype, self.device = 2.0 ** -min(62 - count.bit_length(), 52), share.dtype, share.device
        whole = (share / self.unit).round().to(torch.int64)
        self.whole = whole.cpu() if whole.is_mps else whole  # which adds up no more than 32 bits

    def by(self, group: Tensor, count: int) -> Tensor:
        """(count, D): the sum of the rows of each of so many groups; group (n,) are those of this process's rows."""
        sums = self.whole.new_zeros(count, self.whole.shape[1]).index_add_(0, group.to(self.whole.device), self.whole)
        return distributed.total(sums).to(self.device, self.dtype) * self.unit


@torch.no_grad()
def nearest_by_all(x: Tensor, centres: Tensor) -> Tensor:
    """`nearest_centre` of rows that all processes hold; each looks at a share of them, and all hear of all: (N,)."""
    found, own = torch.zeros(len(x), dtype=torch.int64, device=x.device), _own_rows(len(x))
    found[own] = nearest_centre(x[own], centres)
    return distributed.total(found)


@torch.no_grad()
@in_full_precision
def nearest_centre(x: Tensor, centres: Tensor) -> Tensor:
    """The number of the centre (K x D) with the largest cosine for each row of x (N x D): (N,)."""
    # In parts of four million cosines, 16 MB: the whole table of a bank and its clusters may not fit.
    return torch.cat([(part @ centres.T).argmax(dim=1) for part in x.split(max(1, 2**22 // len(centres)))])
