"""Histograms of oriented gradients (Dalal and Triggs, 2005) of whole batches, and pictures of them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-5


def histograms(x: Tensor, cell: int, bins: int = 9) -> Tensor:
    """Unit-length histograms of edge directions, channel by channel: x (B, C, H, W) to (B, C x bins, h, w).

    Cells of `cell` pixels a side, each its own block; unsigned directions; central differences, none at the border.
    The same numbers as scikit-image's `hog` with cells_per_block (1, 1) and block_norm "L2".
    """
    x = x.float()
    down, across = torch.zeros_like(x), torch.zeros_like(x)
    # A deviation from MaskFeat's own layer, which has Sobel filters, a reflected border and bins half a bin over.
    down[..., 1:-1, :] = x[..., 2:, :] - x[..., :-2, :]
    across[..., 1:-1] = x[..., 2:] - x[..., :-2]
    turned = torch.atan2(down, across).remainder(math.pi) * (bins / math.pi)
    votes = x.new_zeros(*x.shape[:2], bins, *x.shape[2:])
    which = turned.floor().long().clamp_(0, bins - 1)  # remainder may round up to a half turn itself
    votes.scatter_(2, which[:, :, None], torch.hypot(down, across)[:, :, None])
    sums = F.avg_pool2d(votes.flatten(1, 2), cell).unflatten(1, (x.shape[1], bins))
    return (sums / (sums.square().sum(dim=2, keepdim=True) + EPSILON**2).sqrt()).flatten(1, 2)


def strokes(edges: Tensor, bins: int, size: tuple[int, int]) -> Tensor:
    """A drawing (B, 1, *size) in [0, 1] of histograms (B, C x bins, h, w): strokes along the edges they tell of."""
    mean = edges.unflatten(1, (-1, bins)).mean(dim=1)
    side = max(5, size[0] // edges.shape[2])
    place = torch.arange(side, device=edges.device) - (side - 1) / 2
    # An edge runs across its gradient, whose direction is the middle of its bin.
    angle = (torch.arange(bins, device=edges.device) + 0.5) * (math.pi / bins) + math.pi / 2
    off = place[:, None] * angle.cos()[:, None, None] - place * angle.sin()[:, None, None]
    pens = (1 - off.abs()).clamp(min=0)[:, None]
    drawn = F.conv_transpose2d(mean.clamp(min=0), pens.to(mean.dtype), stride=side)
    drawn = drawn / drawn.amax(dim=(1, 2, 3), keepdim=True).clamp(min=EPSILON)
    return F.interpolate(drawn, size=size, mode="bilinear", align_corners=False)
