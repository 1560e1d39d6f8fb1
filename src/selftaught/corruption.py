"""Ways to hide or perturb part of a sample; a mask is True where something is hidden."""

import torch
import torch.nn.functional as F
from torch import Tensor

from . import randomness
from .method import Data


def random_mask(batch: int, length: int, ratio: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Hide `ratio` of the tokens, chosen uniformly and apart for each sample: keep (B, K), hidden (B, N).

    MAE (2111.06377, section 3).
    """
    order = randomness.uniform((batch, length), "mask", device).argsort(dim=1)
    keep = order[:, : max(1, round(length * (1 - ratio)))].sort(dim=1).values
    hidden = torch.ones(batch, length, dtype=torch.bool, device=device).scatter_(1, keep, False)
    return keep, hidden


def centre_mask(batch: int, size: tuple[int, int], area: float, device: torch.device) -> Tensor:
    """One centred rectangle of `area` (B, 1, H, W). Context encoders (1604.07379, section 3.3)."""
    mask = torch.zeros(batch, 1, *size, dtype=torch.bool, device=device)
    tall, wide = (max(1, round(side * area**0.5)) for side in size)
    top, left = (size[0] - tall) // 2, (size[1] - wide) // 2
    mask[:, :, top : top + tall, left : left + wide] = True
    return mask


def block_mask(batch: int, size: tuple[int, int], area: float, device: torch.device, blocks: int = 6) -> Tensor:
    """Several rectangles at random places, which may overlap, about `area` in all (B, 1, H, W).

    Context encoders (section 3.3, "random block").
    """
    draws = randomness.uniform((batch, blocks, 4), "blocks", device)
    # With k blocks of share s each, 1 - (1 - s)^k is covered where they fall independently; whole blocks inside the
    # image overlap a little more, so their sides are 8 % longer on average.
    share = 1 - (1 - area) ** (1 / blocks)
    sides = share**0.5 * (0.78 + 0.6 * draws[..., :2])
    starts = draws[..., 2:] * (1 - sides)
    inside = []
    for axis, side in enumerate(size):
        place = (torch.arange(side, device=device) + 0.5) / side
        start = starts[..., axis, None]
        inside.append((place >= start) & (place < start + sides[..., axis, None]))
    return (inside[0][..., :, None] & inside[1][..., None, :]).any(dim=1, keepdim=True)


def region_mask(batch: int, size: tuple[int, int], area: float, device: torch.device, grain: int = 4) -> Tensor:
    """A region of arbitrary shape that covers `area` (B, 1, H, W): the heights of a smooth random landscape.

    Context encoders (section 3.3, "random region") take their shapes from segmentation masks of another data set;
    a landscape of `grain` hills a side gives shapes as irregular without one.
    """
    hills = randomness.normal((batch, 1, grain, grain), "region", device)
    landscape = F.interpolate(hills, size=size, mode="bicubic", align_corners=True).flatten(1)
    hidden = max(1, round(area * landscape.shape[1]))
    threshold = landscape.topk(hidden, dim=1).values[:, -1:]
    return (landscape >= threshold).view(batch, 1, *size)


def extremes(data: Data, like: Tensor) -> tuple[Tensor, Tensor]:
    """What the lowest and the highest stored value are after normalisation, per channel (C, 1, 1)."""
    mean, std = (torch.tensor(v, device=like.device, dtype=like.dtype).view(-1, 1, 1) for v in (data.mean, data.std))
    return -mean / std, (1 - mean) / std


def masking_noise(x: Tensor, level: float, data: Data) -> tuple[Tensor, Tensor]:
    """A share `level` of the values of x (B, C, H, W) set to zero before normalisation, and which.

    Vincent et al. (2008, section 2.3).
    """
    hit = randomness.uniform(x.shape, "masking noise", x.device) < level
    return torch.where(hit, extremes(data, x)[0], x), hit


def gaussian_noise(x: Tensor, level: float, data: Data) -> tuple[Tensor, Tensor]:
    """Gaussian noise of standard deviation `level` (in normalised units) on every value of x, and which: all.

    Vincent et al. (2010, section 3.3).
    """
    return x + level * randomness.normal(x.shape, "gaussian noise", x.device), torch.ones_like(x, dtype=torch.bool)


def salt_and_pepper(x: Tensor, level: float, data: Data) -> tuple[Tensor, Tensor]:
    """A share `level` of the values of x set to the lowest or the highest possible one, and which.

    Vincent et al. (2010, section 3.3).
    """
    draw = randomness.uniform(x.shape, "salt and pepper", x.device)
    low, high = extremes(data, x)
    return torch.where(draw < level / 2, low, torch.where(draw < level, high, x)), draw < level
