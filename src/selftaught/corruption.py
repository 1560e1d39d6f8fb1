"""Ways to hide or perturb part of a sample; a mask is True where something is hidden."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from . import randomness
from .method import Data
from .objectives import in_full_precision

BLOCKS = 16  # drawn by blockwise_mask for each sample; what they leave open is filled cell by cell


def random_mask(batch: int, length: int, ratio: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Hide `ratio` of the tokens, chosen uniformly and apart for each sample: keep (B, K), hidden (B, N).

    MAE (2111.06377, section 3).
    """
    order = randomness.uniform((batch, length), "mask", device).argsort(dim=1)
    keep = order[:, : max(1, round(length * (1 - ratio)))].sort(dim=1).values
    hidden = torch.ones(batch, length, dtype=torch.bool, device=device).scatter_(1, keep, False)
    return keep, hidden


def tube(hidden: Tensor, grid: tuple[int, int]) -> Tensor:
    """A mask of coarse cells (B, h, w) on a finer grid: (B, *grid), each cell as many of its units as fall into it."""
    for axis, side in enumerate(grid, start=1):
        place = (torch.arange(side, device=hidden.device) * hidden.shape[axis] / side).long()
        hidden = hidden.index_select(axis, place)
    return hidden


def blockwise_mask(batch: int, grid: tuple[int, int], ratio: float | Tensor, device: torch.device) -> Tensor:
    """Cells hidden block by block until exactly `ratio` of them, a number or one a sample (B,), are: (B, *grid).

    BEiT (2106.08254, algorithm 1): blocks of 16 cells (fewer on small grids) up to all that is wanted, of aspects
    0.3 to 1/0.3. The last block is cut where the count is reached.
    """
    cells = math.prod(grid)
    wanted = (torch.as_tensor(ratio, device=device) * cells).round().clamp(max=cells - 1).expand(batch)[:, None]
    smallest = min(16, max(1, cells // 12))
    draws = randomness.uniform((batch, BLOCKS, 4), "blocks", device)
    area = smallest + draws[..., 0] * (wanted - smallest).clamp(min=0)
    aspect = torch.exp((2 * draws[..., 1] - 1) * math.log(1 / 0.3))
    met = _rectangles(torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], dim=2), draws[..., 2:], grid)
    # Cells come in the order of the first block over them, and in a drawn order inside a block and outside of all.
    drawn = randomness.uniform((batch, 1, *grid), "order of cells", device)
    block = torch.arange(BLOCKS, device=device, dtype=drawn.dtype).view(1, -1, 1, 1)
    order = torch.where(met, block, float(BLOCKS)).amin(dim=1, keepdim=True) + drawn
    ranks = order.flatten(1).argsort(dim=1).argsort(dim=1)
    return (ranks < wanted).view(batch, *grid)


def _rectangles(sides: Tensor, places: Tensor, grid: Sequence[int]) -> Tensor:
    """Whole-cell rectangles (B, K, *grid) of sides (B, K, 2) in cells at places (B, K, 2) in [0, 1)."""
    inside = []
    for axis, length in enumerate(grid):
        side = sides[..., axis].round().clamp(1, length)
        start = (places[..., axis] * (length - side + 1)).floor()
        cell = torch.arange(length, device=sides.device)
        inside.append((cell >= start[..., None]) & (cell < (start + side)[..., None]))
    return inside[0][..., :, None] & inside[1][..., None, :]


@dataclass
class Blocks:
    """What I-JEPA shows and asks of a batch, as positions of tokens."""

    context: Tensor  # (B, K): what the student sees
    targets: Tensor  # (B, M, L): what it predicts, block by block


def context_and_targets(
    batch: int,
    grid: tuple[int, int],
    targets: int,
    target_scale: tuple[float, float],
    target_aspect: tuple[float, float],
    context_scale: tuple[float, float],
    device: torch.device,
) -> Blocks:
    """One large context block without the cells of several smaller target blocks.

    I-JEPA (2301.08243, section 3 and appendix A): the blocks' size and shape are drawn once for the whole batch, their
    places for each sample; every context is cut down to the fewest cells that any sample of the batch has left.
    """
    sizes = randomness.whole((4,), "sizes of blocks", device)
    scale = target_scale[0] + sizes[0] * (target_scale[1] - target_scale[0])
    aspect = torch.exp(math.log(target_aspect[0]) + sizes[1] * math.log(target_aspect[1] / target_aspect[0]))
    area = scale * math.prod(grid)
    tall, wide = (
        side.round().clamp(1, length) for side, length in zip(((area * aspect).sqrt(), (area / aspect).sqrt()), grid)
    )
    share = (context_scale[0] + sizes[2] * (context_scale[1] - context_scale[0])).sqrt()
    # Drawn for the whole batch, all processes' part, for the fewest cells are to be the same everywhere.
    places = randomness.whole((randomness.here().total, targets + 1, 2), "places of blocks", device)
    asked = _rectangles(torch.stack([tall, wide]).expand(len(places), targets, 2), places[:, :targets], grid)
    around = _rectangles(
        torch.stack([share * length for length in grid]).expand(len(places), 1, 2), places[:, targets:], grid
    )[:, 0]
    left = around & ~asked.any(dim=1)
    left = torch.where(left.flatten(1).any(dim=1)[:, None, None], left, ~asked.any(dim=1))
    count = max(1, int(left.flatten(1).sum(dim=1).min()))
    rows = randomness.here().rows
    drawn = randomness.uniform((batch, math.prod(grid)), "context kept", device)
    context = torch.where(left[rows].flatten(1), drawn, 2.0).argsort(dim=1)[:, :count].sort(dim=1).values
    length = int(tall) * int(wide)
    positions = asked[rows].flatten(2).long().argsort(dim=2, descending=True, stable=True)[:, :, :length]
    return Blocks(context, positions)


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


@in_full_precision
def warped(x: Tensor, corners: Tensor) -> Tensor:
    """Images x (B, C, H, W) as seen through a window whose corners lie at `corners`, by a projective map.

    corners: (B, 4, 2), x and y of the upper left, upper right, lower right and lower left corner, in half sides from
    the middle. What lies outside the image is zero.
    """
    corners = corners.float()
    square = corners.new_tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    u, v = square.unbind(dim=1)
    zero, one = torch.zeros_like(u), torch.ones_like(u)
    rows = []
    for axis, basis in enumerate(([u, v, one, zero, zero, zero], [zero, zero, zero, u, v, one])):
        goal = corners[:, :, axis]
        linear = torch.stack(basis, dim=1).expand(len(x), 4, 6)
        rows.append(torch.cat([linear, -(goal * u)[..., None], -(goal * v)[..., None]], dim=2))
    goal = corners.transpose(1, 2).reshape(-1, 8, 1)
    matrix = F.pad(torch.linalg.solve(torch.cat(rows, dim=1), goal)[..., 0], (0, 1), value=1.0).view(-1, 3, 3)
    down, across = ((2 * torch.arange(side, device=x.device) + 1 - side).float() / side for side in x.shape[2:])
    points = torch.cartesian_prod(down, across).flip(1)
    seen = F.pad(points, (0, 1), value=1.0) @ matrix.mT
    grid = (seen[..., :2] / seen[..., 2:]).view(len(x), len(down), len(across), 2)
    return F.grid_sample(x, grid.to(x.dtype), mode="bilinear", padding_mode="zeros", align_corners=False)


def extremes(data: Data, like: Tensor) -> tuple[Tensor, Tensor]:
    """What the lowest and the highest stored value are after normalisation, per channel (C, 1, ...)."""
    ones = (1,) * (len(data.shape) - 1)
    mean, std = (torch.tensor(v, device=like.device, dtype=like.dtype).view(-1, *ones) for v in (data.mean, data.std))
    return -mean / std, (1 - mean) / std


@in_full_precision
def blurred(x: Tensor, sigma: Tensor, widest: float) -> Tensor:
    """Images x (B, C, H, W) after a Gaussian blur of `sigma` (B,) pixels, at most `widest`, edges repeated."""
    reach = max(1, int(3 * widest + 0.5))  # not of the widest in the batch: what an image becomes depends on it alone
    taps = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (taps / sigma.to(x.dtype).clamp(min=1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(x.shape[1], dim=0)[:, None]
    flat = F.pad(x.flatten(0, 1)[None], (reach, reach, reach, reach), mode="replicate")
    flat = F.conv2d(flat, kernel[..., None], groups=len(kernel))
    return F.conv2d(flat, kernel[:, :, None], groups=len(kernel)).view_as(x)


def pixelated(x: Tensor, factor: int) -> Tensor:
    """Images x (B, C, H, W) with the pixels of each square of `factor` a side replaced by their mean."""
    small = F.avg_pool2d(x, factor, ceil_mode=True, count_include_pad=False)
    return F.interpolate(small, scale_factor=factor)[..., : x.shape[2], : x.shape[3]]


@in_full_precision
def compressed(x: Tensor, step: Tensor, side: int = 8) -> Tensor:
    """Images x (B, C, H, W) with the cosine coefficients of every square of `side` rounded to multiples of a step.

    step: (B,) in the units of x, for the lowest frequency; it grows with the frequency up to eightfold, about as
    JPEG's tables do. Gives the blocks and ripples of a JPEG on any number of channels.
    """
    place = torch.arange(side, device=x.device, dtype=torch.float32)
    cosines = torch.cos(torch.pi / side * (place + 0.5) * place[:, None]) * (2 / side) ** 0.5
    cosines[0] /= 2**0.5
    cosines = cosines.to(x.dtype)
    height, width = x.shape[2:]
    padded = F.pad(x, (0, -width % side, 0, -height % side), mode="replicate")
    squares = padded.unfold(2, side, side).unfold(3, side, side)
    growth = 1 + 7 * (place[:, None] + place) / (2 * side - 2)
    steps = step.view(-1, 1, 1, 1, 1, 1).to(x.dtype) * growth.to(x.dtype)
    coarse = ((cosines @ squares @ cosines.T) / steps).round() * steps
    back = (cosines.T @ coarse @ cosines).permute(0, 1, 2, 4, 3, 5)
    return back.reshape(padded.shape)[..., :height, :width]


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
