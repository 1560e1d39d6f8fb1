"""CIE Lab, and its colours as a fixed set of bins, for tasks that ask about colours."""

from collections.abc import Sequence
from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selftaught.contracts.method import Data
from selftaught.methods.parts.damage import extremes
from selftaught.system.devices import constant
from selftaught.system.precision import in_full_precision, precise

TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))  # sRGB, D65
WHITE = (0.95047, 1.0, 1.08883)
STEP = 10.0  # side of a bin in a and b (1603.08511, section 2.1)


@in_full_precision
def lab(rgb: Tensor) -> Tensor:
    """sRGB in [0, 1] (B, 3, ...) as CIE Lab: L from 0 to 100, a and b about -110 to 110."""
    rgb = rgb.clamp(0, 1)
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = torch.einsum("ij,bj...->bi...", constant(TO_XYZ, linear), linear)
    xyz = xyz / constant(WHITE, linear).view(-1, *[1] * (rgb.ndim - 2))
    root = torch.where(xyz > 0.008856, xyz.clamp(min=1e-8) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = root.unbind(dim=1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


@in_full_precision
def rgb(lab: Tensor) -> Tensor:
    """CIE Lab (B, 3, ...) as sRGB, clamped to [0, 1]."""
    light, a, b = lab.unbind(dim=1)
    y = (light + 16) / 116
    root = torch.stack([y + a / 500, y, (y - b / 200).clamp(min=0)], dim=1)
    xyz = torch.where(root > 0.2068966, root**3, (root - 16 / 116) / 7.787)
    xyz = xyz * constant(WHITE, lab).view(-1, *[1] * (lab.ndim - 2))
    linear = torch.einsum("ij,bj...->bi...", _from_xyz(lab.dtype, lab.device), xyz)
    curved = 1.055 * linear.clamp(min=1e-8) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curved, 12.92 * linear).clamp(0, 1)


@cache
def _from_xyz(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.linalg.inv(torch.tensor(TO_XYZ, dtype=dtype, device="cpu")).to(device)


@cache
def gamut(whole: bool = False) -> Tensor:
    """Centres (Q, 2) of the bins in a and b that sRGB can show. Colorization (1603.08511, section 2.1).

    260 of them; with `whole` 261, which are all that any 8-bit colour falls into. The paper counts 313: its authors'
    list, which came as a file, also holds bins that no colour of sRGB falls into.
    """
    shades = _outermost() if whole else _every_fifth()
    ab = lab(shades[:, :, None])[:, 1:, 0]
    return torch.unique((ab / STEP).round(), dim=0) * STEP


def _every_fifth() -> Tensor:
    """Of the 256 levels: 140,608 colours."""
    levels = torch.linspace(0, 1, 52, dtype=torch.float32, device="cpu")  # wherever the first to ask builds its network
    return torch.cartesian_prod(levels, levels, levels)


def _outermost() -> Tensor:
    """Colours of which some level is the lowest or the highest: no other one falls into a bin that these leave open."""
    levels = torch.linspace(0, 1, 256, dtype=torch.float32, device="cpu")
    ends = [(axis, end) for axis in range(3) for end in (levels[:1], levels[-1:])]
    return torch.cat(
        [torch.cartesian_prod(*(end if number == axis else levels for number in range(3))) for axis, end in ends]
    )


def soft_bins(ab: Tensor, centres: Tensor, neighbours: int = 5, sigma: float = 5.0) -> Tensor:
    """Each colour as weights of its nearest bins, a Gaussian of their distance: ab (N, 2) to (N, Q).

    Colorization (section 2.1): five neighbours, sigma 5.
    """
    distance, nearest = torch.cdist(ab, centres).topk(neighbours, dim=1, largest=False)
    weights = torch.exp(-distance.square() / (2 * sigma**2))
    weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-12)
    return ab.new_zeros(len(ab), len(centres)).scatter_(1, nearest, weights)


class ColourSpace(nn.Module):
    """Normalised images of a data set in CIE Lab and back, and their values as soft bins at a reduced size."""

    def __init__(self, data: Data, reduction: int | None, colours: Literal["sampled", "all"]) -> None:
        """`reduction` is how many times coarser than the image the bins are (default: 4, 2 up to 64 px); `colours`
        are 260 bins or, all that can be met, 261."""
        super().__init__()
        # 4 as in the paper, but for small images: of 32 pixels it would leave 8 places a side.
        reduction = reduction or (2 if min(data.shape[1:]) <= 64 else 4)
        self.size = (max(1, data.shape[1] // reduction), max(1, data.shape[2] // reduction))
        low, high = extremes(data, torch.zeros(1))
        self.low = nn.Buffer(low, persistent=False)
        self.range = nn.Buffer(high - low, persistent=False)
        self.bins = nn.Buffer(gamut(colours == "all"), persistent=False)

    def lab(self, x: Tensor) -> Tensor:
        """Images x (B, 3, H, W) in normalised values as CIE Lab, in float32 or better."""
        return lab((precise(x) - self.low) / self.range)

    def image(self, values: Tensor) -> Tensor:
        """CIE Lab (B, 3, H, W) as an image in normalised values."""
        return rgb(values) * self.range + self.low

    def binned(self, values: Tensor, centres: Tensor, neighbours: int = 5, sigma: float = 5.0) -> Tensor:
        """Channels of Lab (B, C, H, W) as soft bins (B, Q, h, w) round `centres` (Q, C), at reduced size."""
        small = F.interpolate(values, size=self.size, mode="area").movedim(1, 3)
        weights = soft_bins(small.flatten(0, 2), centres, neighbours, sigma)
        return weights.view(len(values), *self.size, -1).movedim(3, 1)

    def answered(self, scores: Tensor, centres: Tensor, size: Sequence[int], temperature: float = 0.38) -> Tensor:
        """Scores (B, Q, h, w) as channels of Lab (B, C, *size)."""
        return F.interpolate(annealed_mean(scores, centres, temperature), size, mode="bilinear", align_corners=False)


def annealed_mean(scores: Tensor, centres: Tensor, temperature: float) -> Tensor:
    """One colour (B, 2, ...) from scores (B, Q, ...): between the likeliest bin and the mean. Equation 5."""
    return torch.einsum("bq...,qc->bc...", (scores.to(centres.dtype) / temperature).softmax(dim=1), centres)


def best_constant(shares: Sequence[Tensor]) -> Tensor:
    """The cross entropy of the best single answer to targets whose shares (B, Q), one a sample, come in parts."""
    mean = torch.cat(list(shares)).mean(dim=0)
    total = mean.sum()
    return -(mean * (mean / total).clamp(min=1e-12).log()).sum() / total
