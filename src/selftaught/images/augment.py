"""Augmentation of whole batches, with parameters of its own for every image: pure functions on (B, C, H, W)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

GREY = (0.2989, 0.587, 0.114)  # ITU-R 601 luma, rounded as torchvision does
TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.321), (0.211, -0.523, 0.311))


@dataclass
class Change:
    """What is done to each image of a batch; every field is (B,) unless it says otherwise."""

    box: Tensor  # (B, 4): top, left, height, width in canvas pixels, not necessarily whole
    flip: Tensor  # booleans
    brightness: Tensor  # factors; 1 leaves the image as it is
    contrast: Tensor
    saturation: Tensor
    hue: Tensor  # in turns of the colour circle, -0.5 to 0.5; 0 leaves the image as it is
    grey: Tensor  # booleans
    sigma: Tensor  # of the blur, in view pixels; 0 is none
    solarise: Tensor  # booleans
    order: Tensor | None = None  # (B, 4): which of the four colour changes comes when; exact mode only


def axis_weights(start: Tensor, length: Tensor, size: int, out: int, flip: Tensor | None = None) -> Tensor:
    """Weights (B, out, size) that crop `start` to `start + length` of an axis and resize it to `out`.

    The triangle filter of torchvision's antialiased bilinear resize, normalised within the crop; `flip` (B,)
    mirrors the result.
    """
    scale = (length / out)[:, None]
    place = torch.arange(out, device=start.device, dtype=start.dtype)[None]
    if flip is not None:
        place = torch.where(flip[:, None], out - 1 - place, place)
    centre = (start[:, None] + (place + 0.5) * scale)[..., None]
    pixel = torch.arange(size, device=start.device, dtype=start.dtype)
    weights = (1 - (pixel + 0.5 - centre).abs() / scale.clamp(min=1)[..., None]).clamp_(min=0)
    inside = (pixel + 1 > start[:, None]) & (pixel < (start + length)[:, None])
    weights *= inside[:, None]
    return weights / weights.sum(dim=2, keepdim=True).clamp(min=1e-8)


def blur_matrices(sigma: Tensor, size: int, kernel: int) -> Tensor:
    """Matrices (B, size, size) that blur an axis by a Gaussian cut off at `kernel` (odd) taps, edges reflected."""
    reach = min(kernel // 2, size - 1)
    taps = torch.arange(-reach, reach + 1, device=sigma.device, dtype=sigma.dtype)
    weights = torch.exp(-0.5 * (taps / sigma[:, None].clamp(min=1e-3)) ** 2)
    weights = weights / weights.sum(dim=1, keepdim=True)
    source = (torch.arange(size, device=sigma.device)[:, None] + taps.long()).abs()
    source = torch.where(source >= size, 2 * (size - 1) - source, source)
    matrices = torch.zeros(len(sigma), size, size, device=sigma.device, dtype=sigma.dtype)
    index = source[None].expand(len(sigma), -1, -1)
    return matrices.scatter_add_(2, index, weights[:, None].expand(-1, size, -1))


def kernel_size(side: int) -> int:
    """Taps of the blur: a tenth of the side, odd (SimCLR, appendix A)."""
    return max(3, side // 10 | 1)


def resize(x: Tensor, change: Change, size: tuple[int, int], blur: bool = True) -> Tensor:
    """Crop, flip, resize and (folded into the same matrices) blur: (B, C, h, w) to (B, C, *size)."""
    rows = axis_weights(change.box[:, 0], change.box[:, 2], x.shape[2], size[0])
    columns = axis_weights(change.box[:, 1], change.box[:, 3], x.shape[3], size[1], change.flip)
    if blur:
        blurred = change.sigma.nonzero().squeeze(1)
        if len(blurred):
            sigma = change.sigma[blurred]
            rows[blurred] = blur_matrices(sigma, size[0], kernel_size(size[0])) @ rows[blurred]
            columns[blurred] = blur_matrices(sigma, size[1], kernel_size(size[1])) @ columns[blurred]
    batch, channels, height, width = x.shape
    x = torch.bmm(x.reshape(batch, channels * height, width), columns.mT)
    return torch.matmul(rows[:, None], x.view(batch, channels, height, size[1]))


def colour_matrices(change: Change, channels: int, mean_grey: Tensor) -> tuple[Tensor, Tensor]:
    """One matrix (B, C, C) and offset (B, C, 1) an image: brightness, contrast, saturation, hue, then grey.

    mean_grey (B,) is the mean of each image's grey values before the change. Saturation, hue and grey are defined
    for three channels; on others only brightness and contrast act.
    """
    gain = (change.contrast * change.brightness)[:, None, None]
    eye = torch.eye(channels, device=mean_grey.device)
    # Every later step leaves greys as they are, so the contrast's grey offset passes through unchanged.
    offset = ((1 - change.contrast) * change.brightness * mean_grey)[:, None, None].expand(-1, channels, 1)
    if channels != 3:
        return gain * eye, offset
    luma = torch.tensor(GREY, device=mean_grey.device).expand(3, 3)
    saturation = change.saturation[:, None, None]
    matrix = saturation * eye + (1 - saturation) * luma
    matrix = _hue_matrices(change.hue) @ matrix
    matrix = torch.where(change.grey[:, None, None], luma @ matrix, matrix)
    return gain * matrix, offset


def _hue_matrices(turns: Tensor) -> Tensor:
    """Rotations of the colour plane of YIQ (B, 3, 3)."""
    to_yiq = torch.tensor(TO_YIQ, device=turns.device)
    angle = -2 * torch.pi * turns
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    turn = torch.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], dim=1).view(-1, 3, 3)
    return torch.linalg.inv(to_yiq) @ turn @ to_yiq


def fused(x: Tensor, change: Change, size: tuple[int, int], mean: Tensor, std: Tensor) -> Tensor:
    """The whole change in few passes: x (B, C, h, w) in [0, 1] to normalised views (B, C, *size).

    Against the exact order the blur acts before the colours, colours are clamped once, hue turns in YIQ instead
    of HSV and the order of the colour changes is fixed.
    """
    x = resize(x, change, size)
    batch, channels = x.shape[:2]
    flat = x.reshape(batch, channels, -1)
    means = flat.mean(dim=2)
    luma = torch.tensor(GREY, device=x.device) if channels == 3 else means.new_full((channels,), 1 / channels)
    matrix, offset = colour_matrices(change, channels, means @ luma)
    mean, std = mean.view(-1, 1), std.view(-1, 1)
    # Normalisation is one more affine step, so it joins the matrix, and the clamp moves to normalised values.
    out = torch.baddbmm((offset - mean) / std, matrix / std, flat)
    out = torch.clamp(out, min=-mean / std, max=(1 - mean) / std)
    solarised = change.solarise.nonzero().squeeze(1)
    if len(solarised):
        part = out[solarised]
        out[solarised] = torch.where(part >= (0.5 - mean) / std, (1 - 2 * mean) / std - part, part)
    return out.view(batch, channels, *size)


def exact(x: Tensor, change: Change, size: tuple[int, int], mean: Tensor, std: Tensor) -> Tensor:
    """The same change operation by operation as torchvision does it, colours in each image's drawn order."""
    x = resize(x, change, size, blur=False)
    colours = [
        lambda part, rows: _mixed(part, torch.zeros_like(part), change.brightness[rows]),
        lambda part, rows: _mixed(part, _grey(part).mean(dim=(1, 2, 3), keepdim=True), change.contrast[rows]),
        lambda part, rows: _mixed(part, _grey(part), change.saturation[rows]) if part.shape[1] == 3 else part,
        lambda part, rows: _turned(part, change.hue[rows]) if part.shape[1] == 3 else part,
    ]
    order = change.order if change.order is not None else torch.arange(4).expand(len(x), 4)
    for turn in range(4):
        for number, colour in enumerate(colours):
            rows = (order[:, turn] == number).nonzero().squeeze(1)
            if len(rows):
                x[rows] = colour(x[rows], rows)
    if x.shape[1] == 3:
        x = torch.where(change.grey[:, None, None, None], _grey(x).expand_as(x), x)
    for side, axis in ((size[0], 2), (size[1], 3)):
        rows = change.sigma.nonzero().squeeze(1)
        if len(rows):
            matrices = blur_matrices(change.sigma[rows], side, kernel_size(side))[:, None]
            x[rows] = matrices @ x[rows] if axis == 2 else x[rows] @ matrices.mT
    x = torch.where(change.solarise[:, None, None, None] & (x >= 0.5), 1 - x, x)
    return (x - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)


def _grey(x: Tensor) -> Tensor:
    """Grey values (B, 1, H, W)."""
    if x.shape[1] != 3:
        return x.mean(dim=1, keepdim=True)
    return (x * torch.tensor(GREY, device=x.device, dtype=x.dtype).view(3, 1, 1)).sum(dim=1, keepdim=True)


def _mixed(x: Tensor, other: Tensor, share: Tensor) -> Tensor:
    share = share.view(-1, 1, 1, 1)
    return (share * x + (1 - share) * other).clamp(0, 1)


def _turned(x: Tensor, turns: Tensor) -> Tensor:
    """Hue moved by `turns` (B,) of the colour circle, in HSV."""
    red, green, blue = x.unbind(dim=1)
    high, low = x.amax(dim=1), x.amin(dim=1)
    span = high - low
    safe = torch.where(span == 0, torch.ones_like(span), span)
    parts = (high - red) / safe, (high - green) / safe, (high - blue) / safe
    hue = torch.where(
        high == red,
        parts[2] - parts[1],
        torch.where(high == green, 2 + parts[0] - parts[2], 4 + parts[1] - parts[0]),
    )
    hue = (hue / 6 + 1 + turns.view(-1, 1, 1)).remainder(1)
    saturation = torch.where(high == 0, torch.zeros_like(high), span / torch.where(high == 0, safe, high))
    sector = hue * 6
    fraction = sector - sector.floor()
    p = (high * (1 - saturation)).clamp(0, 1)
    q = (high * (1 - saturation * fraction)).clamp(0, 1)
    t = (high * (1 - saturation * (1 - fraction))).clamp(0, 1)
    choice = F.one_hot(sector.floor().long() % 6, 6).movedim(3, 1).to(x.dtype)
    corners = [(high, t, p), (q, high, p), (p, high, t), (p, q, high), (t, p, high), (high, p, q)]
    channels = [torch.stack([corner[i] for corner in corners], dim=1) for i in range(3)]
    return torch.stack([(choice * channel).sum(dim=1) for channel in channels], dim=1)
