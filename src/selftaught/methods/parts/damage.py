"""Ways to perturb a sample: warps, blurs, coarse pixels, noise."""

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.contracts.method import Data
from selftaught.system import distributed, randomness
from selftaught.system.devices import constant
from selftaught.system.precision import in_full_precision


@in_full_precision
def warped(x: Tensor, corners: Tensor) -> Tensor:
    """Images x (B, C, H, W) as seen through a window whose corners lie at `corners`, by a projective map.

    corners: (B, 4, 2), x and y of the upper left, upper right, lower right and lower left corner, in half sides from
    the middle. What lies outside the image is zero.
    """
    corners = corners.float()
    square = constant(((-1, -1), (1, -1), (1, 1), (-1, 1)), corners)
    u, v = square.unbind(dim=1)
    zero, one = torch.zeros_like(u), torch.ones_like(u)
    # Each corner gives two linear equations in the eight unknowns of the map: u, v to (au + bv + c) / (gu + hv + 1).
    rows = []
    for axis, basis in enumerate(([u, v, one, zero, zero, zero], [zero, zero, zero, u, v, one])):
        goal = corners[:, :, axis]
        linear = torch.stack(basis, dim=1).expand(len(x), 4, 6)
        rows.append(torch.cat([linear, -(goal * u)[..., None], -(goal * v)[..., None]], dim=2))
    goal = corners.transpose(1, 2).reshape(-1, 8, 1)
    # Not the kind that raises where there is no such map, for which the host would wait.
    matrix = F.pad(torch.linalg.solve_ex(torch.cat(rows, dim=1), goal).result[..., 0], (0, 1), value=1.0).view(-1, 3, 3)
    # Middles of pixels, in half sides from the middle.
    down, across = ((2 * torch.arange(side, device=x.device) + 1 - side).float() / side for side in x.shape[2:])
    points = torch.cartesian_prod(down, across).flip(1)
    seen = F.pad(points, (0, 1), value=1.0) @ matrix.mT
    grid = (seen[..., :2] / seen[..., 2:]).view(len(x), len(down), len(across), 2)
    return F.grid_sample(x, grid.to(x.dtype), mode="bilinear", padding_mode="zeros", align_corners=False)


def extremes(data: Data, like: Tensor) -> tuple[Tensor, Tensor]:
    """What the lowest and the highest stored value are after normalisation, per channel (C, 1, ...)."""
    ones = (1,) * (len(data.shape) - 1)
    mean, std = (constant(tuple(v), like).view(-1, *ones) for v in (data.mean, data.std))
    return -mean / std, (1 - mean) / std


@in_full_precision
def blurred(x: Tensor, sigma: Tensor, widest: float) -> Tensor:
    """Samples x (B, C, ...) after a Gaussian blur of `sigma` (B,) pixels, at most `widest`, edges repeated."""
    reach = max(1, int(3 * widest + 0.5))  # not of the widest in the batch: what an image becomes depends on it alone
    taps = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (taps / sigma.to(x.dtype).clamp(min=1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(x.shape[1], dim=0)[:, None]
    # Samples and channels side by side, so that one grouped convolution blurs each by its own width.
    flat = F.pad(x.flatten(0, 1)[None], (reach, reach) * (x.ndim - 2), mode="replicate")
    if x.ndim == 3:
        return F.conv1d(flat, kernel, groups=len(kernel)).view_as(x)
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
    # With this row the transform is orthonormal, and its inverse is its transpose.
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


def swapped_cells(x: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """A share `level` of the cells of x (B, C, ...) with what they hold in other samples, and which are another's now.

    A cell is a column of a row or a pixel, with all of its channels; which changed is (B, 1, ...). Others are all of
    the batch, of all processes. VIME (Yoon et al., 2020) and SubTab (2110.04361), on rows.
    """
    places = x.shape[2:]
    hit = randomness.uniform((len(x), *places), "swapped cells", x.device) < level
    everyone = distributed.gather(x).flatten(2)
    donor = randomness.integers(len(everyone), (len(x), *places), "donors of cells", x.device).flatten(1)
    others = everyone[donor, :, torch.arange(donor.shape[1], device=x.device)].mT.unflatten(2, places)
    changed = hit[:, None] & (others != x).any(dim=1, keepdim=True)
    return torch.where(changed, others, x), changed
