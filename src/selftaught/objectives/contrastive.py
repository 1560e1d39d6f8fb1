"""Objectives with negatives: tell the other view of a sample from everybody else."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import distributed
from . import in_full_precision


@in_full_precision
def nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Find each view's other view among all views on all processes (a, b: B x D).

    The normalised temperature-scaled cross entropy of SimCLR (2002.05709, equation 1), a mean over the 2B views.
    """
    views = F.normalize(torch.cat([a, b]), dim=1)
    everyone = distributed.gather(views)
    own = torch.arange(len(views), device=views.device)
    offset = distributed.rank() * len(views)
    logits = views @ everyone.T / temperature
    logits = logits.index_put((own, own + offset), logits.new_tensor(-torch.inf))
    return F.cross_entropy(logits, own.roll(len(a)) + offset)
