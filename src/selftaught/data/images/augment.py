"""Augmentation of whole batches, with parameters of its own for every image: pure functions on (B, C, H, W)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from math import ceil
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.system.devices import constant

GREY = (0.2989, 0.587, 0.114)  # ITU-R 601 luma, rounded as torchvision does
# In-phase and quadrature of YIQ (FCC, 1953), to the digits at which a grey has none of either.
CHROMA = ((0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))
KNOWN = ("blurred", "solarised", "transposed")  # fields of a change that name images of the whole batch
EDGE = 1e-4  # of a pixel: a box reaching less far into one does not see it, so rounding never lets one in


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
    # What few kinds of view have; None where no image has it.
    upset: Tensor | None = None  # booleans: top and bottom change places
    transpose: Tensor | None = None  # booleans: rows and columns change places, after all mirroring
    apart: Tensor | None = None  # (B, 2, C): brightness and contrast of each channel by itself, before the others
    # Which images (K,) are blurred, solarised or transposed, where the host knows: asking a card would wait for it.
    blurred: Tensor | None = None
    solarised: Tensor | None = None
    transposed: Tensor | None = None

    def of(self, rows: slice) -> "Change":
        """The change of these rows."""
        if rows == slice(0, len(self.flip)):
            return self
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        part: Any = {name: value[rows] for name, value in held.items() if value is not None and name not in KNOWN}
        return Change(**part)


def resize_taps(start: Tensor, length: Tensor, size: int, out: int, flip: Tensor | None) -> tuple[Tensor, Tensor]:
    """Pixels and weights (B, out, K) that crop `start` to `start + length` of an axis and resize it to `out`.

    The triangle filter of torchvision's antialiased bilinear resize, normalised within the crop; `flip` (B,)
    mirrors the result.
    """
    scale = (length / out)[:, None]
    reach = scale.clamp(min=1)
    place = torch.arange(out, device=start.device, dtype=start.dtype)[None]
    if flip is not None:
        place = torch.where(flip[:, None], out - 1 - place, place)
    centre = start[:, None] + (place + 0.5) * scale
    # No crop is longer than the axis, which bounds the pixels under the filter without asking the device.
    taps = torch.arange(ceil(2 * max(size / out, 1)), device=start.device)
    pixels = (centre - reach + 0.5).floor()[..., None] + taps
    weights = (1 - (pixels + 0.5 - centre[..., None]).abs() / reach[..., None]).clamp_(min=0)
    first, last = start[:, None, None], (start + length)[:, None, None]
    weights *= (pixels + 1 > first + EDGE) & (pixels < last - EDGE)
    weights /= weights.sum(dim=2, keepdim=True).clamp_(min=1e-8)
    return pixels.long().clamp_(0, size - 1), weights


def blur_taps(sigma: Tensor, size: int, kernel: int) -> tuple[Tensor, Tensor]:
    """Pixels and weights (B, size, K) of a Gaussian blur cut off at `kernel` (odd) taps, edges reflected."""
    reach = min(kernel // 2, size - 1)
    taps = torch.arange(-reach, reach + 1, device=sigma.device)
    weights = torch.exp(-0.5 * (taps / sigma[:, None].clamp(min=1e-3)) ** 2)
    weights /= weights.sum(dim=1, keepdim=True)
    pixels = (torch.arange(size, device=sigma.device)[:, None] + taps).abs()
    pixels = torch.where(pixels >= size, 2 * (size - 1) - pixels, pixels)
    shape = (len(sigma), size, len(taps))
    return pixels.expand(shape), weights[:, None].expand(shape)


def kernel_size(side: int) -> int:
    """Taps of the blur: a tenth of the side, odd (SimCLR, appendix A)."""
    return max(3, side // 10 | 1)


def unit(images: Tensor, low: float, high: float) -> Tensor:
    """Stored images (B, C, h, w) as new float32 in [0, 1], laid out column by column as `resize` reads them."""
    batch, channels, height, width = images.shape
    # Stored with their channels last, so this is one transpose of a matrix, which torch does in blocks.
    columns = images.permute(0, 2, 3, 1).reshape(batch * height, -1).t().contiguous()
    columns = columns.to(torch.float32, copy=images.dtype == torch.float32)
    return columns.sub_(low).mul_(1 / (high - low)).view(width, channels, batch, height).permute(2, 1, 3, 0)


def resize(x: Tensor, change: Change, size: tuple[int, int], blur: bool = True) -> Tensor:
    """Crop, flip, resize, blur and turn: (B, C, h, w) to (B, C, *size), which is square where images are transposed.

    A filter touches few pixels of an axis, so each axis is a weighted sum of few of its columns or rows: some
    percent of the work of a dense product. Between the two, one transpose of a matrix (torch is slow at transposing
    batches).
    """
    batch, channels, height, width = x.shape
    blurred = _which(change.blurred, change.sigma) if blur else change.sigma.new_empty(0, dtype=torch.long)
    columns = x.permute(3, 1, 0, 2).contiguous()
    taps = resize_taps(change.box[:, 1], change.box[:, 3], width, size[1], change.flip)
    columns = _blurred_columns(_summed_columns(columns, *taps), change.sigma, blurred)
    rows = columns.view(size[1], -1).t().contiguous().view(channels, batch, height, size[1])
    taps = resize_taps(change.box[:, 0], change.box[:, 2], height, size[0], change.upset)
    return _transposed(_blurred_rows(_summed_rows(rows, *taps), change.sigma, blurred), change)


def _transposed(x: Tensor, change: Change) -> Tensor:
    if change.transpose is not None:
        wanted = _which(change.transposed, change.transpose)
        x[wanted] = x[wanted].mT
    return x


def _which(known: Tensor | None, given: Tensor) -> Tensor:
    """Rows (K,) at which something is `given` (B,), unless they are known."""
    return given.nonzero().squeeze(1) if known is None else known


def _summed_columns(x: Tensor, pixels: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of columns: x (w, C, B, h), pixels and weights (B, out, K) to (out, C, B, h)."""
    _, channels, batch, height = x.shape
    place = torch.arange(channels * batch, device=x.device).view(channels, batch, 1)
    entries = pixels.transpose(0, 1)[:, None] * (channels * batch) + place
    return _summed(x.reshape(-1, height), entries, weights.transpose(0, 1)[:, None].expand(entries.shape))


def _summed_rows(x: Tensor, pixels: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of rows: x (C, B, h, w), pixels and weights (B, out, K) to (B, C, out, w)."""
    channels, batch, height, width = x.shape
    place = torch.arange(channels * batch, device=x.device).view(channels, batch).t() * height
    entries = place[:, :, None, None] + pixels[:, None]
    return _summed(x.reshape(-1, width), entries, weights[:, None].expand(entries.shape))


def _summed(table: Tensor, entries: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of a table's entries: (N, m) at entries (..., K) to (..., m)."""
    taps = entries.shape[-1]
    sums = F.embedding_bag(entries.reshape(-1, taps), table, per_sample_weights=weights.reshape(-1, taps), mode="sum")
    return sums.view(*entries.shape[:-1], -1)


def _blurred_columns(x: Tensor, sigma: Tensor, wanted: Tensor) -> Tensor:
    """x (w, C, B, h) with the images `wanted` blurred along w."""
    if len(wanted):
        taps = blur_taps(sigma[wanted], len(x), kernel_size(len(x)))
        x[:, :, wanted] = _summed_columns(x[:, :, wanted], *taps)
    return x


def _blurred_rows(x: Tensor, sigma: Tensor, wanted: Tensor) -> Tensor:
    """x (B, C, h, w) with the images `wanted` blurred along h."""
    if len(wanted):
        taps = blur_taps(sigma[wanted], x.shape[2], kernel_size(x.shape[2]))
        x[wanted] = _summed_rows(x[wanted].transpose(0, 1), *taps)
    return x


def colour_matrices(change: Change, channels: int, mean_grey: Tensor) -> tuple[Tensor, Tensor]:
    """One matrix (B, C, C) and offset (B, C, 1) an image: brightness, contrast, saturation, hue and grey.

    mean_grey (B,) is the mean of each image's grey values before the change. Saturation, hue and grey are defined
    for three channels; on others only brightness and contrast act.
    """
    gain = (change.contrast * change.brightness)[:, None, None]
    # Every later step leaves greys as they are, so the contrast's grey offset passes through unchanged.
    offset = ((1 - change.contrast) * change.brightness * mean_grey)[:, None, None].expand(-1, channels, 1)
    if channels != 3:
        return gain * torch.eye(channels, device=gain.device), offset
    # An image is its luma and its chroma; saturation scales the chroma, hue turns it, grey drops it.
    luma, chroma, quarter_turn = _colour_planes(gain.device)
    left = torch.where(change.grey, 0, change.saturation)
    angle = 2 * torch.pi * change.hue
    along, across = ((left * part)[:, None, None] for part in (angle.cos(), angle.sin()))
    return gain * (luma + along * chroma + across * quarter_turn), offset


@cache
def _colour_planes(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices (3, 3) that keep the luma, keep the chroma, and turn the chroma of YIQ by a quarter."""
    to_yiq = torch.tensor((GREY, *CHROMA), dtype=torch.float64)
    from_yiq = torch.linalg.inv(to_yiq)
    luma = to_yiq[:1].expand(3, 3)
    quarter_turn = from_yiq[:, 1:2] @ to_yiq[2:] - from_yiq[:, 2:] @ to_yiq[1:2]
    planes = (luma, torch.eye(3, dtype=torch.float64) - luma, quarter_turn)
    return tuple(plane.float().to(device) for plane in planes)  # type: ignore[return-value]


def plain(x: Tensor, change: Change, size: tuple[int, int], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Crop and resize only: x (B, C, h, w) in [0, 1] to normalised views (B, C, *size)."""
    return _normalised(resize(x, change, size, blur=False), mean, std)


def fused(x: Tensor, change: Change, size: tuple[int, int], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """The whole change in few passes: x (B, C, h, w) in [0, 1] to normalised views (B, C, *size).

    Against the exact order the blur acts before the colours, colours are clamped once, hue turns in YIQ instead
    of HSV and the order of the colour changes is fixed.
    """
    x = resize(x, change, size)
    batch, channels = x.shape[:2]
    flat = x.reshape(batch, channels, -1)
    means = flat.mean(dim=2)
    luma = constant(GREY, means) if channels == 3 else means.new_full((channels,), 1 / channels)
    if change.apart is None:
        matrix, offset = colour_matrices(change, channels, means @ luma)
    else:
        bright, contrast = change.apart.unbind(dim=1)
        matrix, offset = colour_matrices(change, channels, (bright * means) @ luma)
        # What each channel has by itself comes first, so it is another affine step on the right.
        offset = offset + matrix @ (bright * (1 - contrast) * means)[:, :, None]
        matrix = matrix * (bright * contrast)[:, None]
    centre, spread = (constant(tuple(each), x).view(-1, 1) for each in (mean, std))
    # Normalisation is one more affine step, so it joins the matrix, and the clamp moves to normalised values.
    out = torch.baddbmm((offset - centre) / spread, matrix / spread, flat)
    for channel, (middle, width) in enumerate(zip(mean, std)):
        # Bounds that are numbers are ten times as fast as bounds that are tensors.
        out[:, channel].clamp_(-middle / width, (1 - middle) / width)
    solarised = _which(change.solarised, change.solarise)
    if len(solarised):
        part = out[solarised]
        out[solarised] = torch.where(part >= (0.5 - centre) / spread, (1 - 2 * centre) / spread - part, part)
    return out.view(batch, channels, *size)


def exact(x: Tensor, change: Change, size: tuple[int, int], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """The same change operation by operation as torchvision does it, colours in each image's drawn order."""
    x = resize(x, change, size, blur=False)
    if change.apart is not None:
        bright, contrast = change.apart.unbind(dim=1)
        x = _mixed(x, torch.zeros_like(x), bright)
        x = _mixed(x, x.mean(dim=(2, 3), keepdim=True), contrast)
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
    wanted = _which(change.blurred, change.sigma)
    x = _blurred_rows(x, change.sigma, wanted)
    x = _blurred_rows(x.mT, change.sigma, wanted).mT
    x = torch.where(change.solarise[:, None, None, None] & (x >= 0.5), 1 - x, x)
    return _normalised(x, mean, std)


def _normalised(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    centre, spread = (constant(tuple(each), x).view(-1, 1, 1) for each in (mean, std))
    return (x - centre) / spread


def _grey(x: Tensor) -> Tensor:
    """Grey values (B, 1, H, W)."""
    if x.shape[1] != 3:
        return x.mean(dim=1, keepdim=True)
    return (x * constant(GREY, x).view(3, 1, 1)).sum(dim=1, keepdim=True)


def _mixed(x: Tensor, other: Tensor, share: Tensor) -> Tensor:
    share = share.view(len(x), -1, 1, 1)
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
