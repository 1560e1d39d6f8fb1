"""Tiles cut from samples for tasks that ask where they were, with the shortcuts to the answer closed."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.contracts.encoder import Encoder
from selftaught.contracts.method import Data
from selftaught.system import randomness
from selftaught.system.errors import UsageError

SIDE = 3  # tiles along each axis of an image
LINES = (9, 3)  # along the only one of a series: as many as an image has, or, of a short one, fewer
SMALLEST = 6  # pixels of a tile: less holds nothing to recognise
FAINT = 0.01  # deviation of noise beside that of what is shown (1505.05192, section 3.1)
SHOWN = 16  # pixels that a tile is enlarged to, at least
SMOOTH = {1: "linear", 2: "bilinear"}  # by the number of axes


class Tiles:
    """Nine tiles of each image, one from each cell of a 3 x 3 grid, or as many segments of a series, three of a short
    one.

    Closed shortcuts (1603.09246, section 3.3; 1505.05192, section 3.1): edges that continue from tile to tile, by a
    gap of drawn width between tiles; colours and brightness that drift over the image, by normalising every tile
    by itself; and the lens's colour fringes, which differ from place to place, by showing one drawn channel of a
    tile in all of them. Channels of a series are no colours, and all are shown.
    """

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        gap: float,
        drop_colors: bool,
        jitter: float = 1.0,
        dropped: Literal["copies", "noise"] = "copies",
    ) -> None:
        """`gap` is the share of a cell's side that its tile leaves out; `jitter` is the share of that gap within which
        the tile's place is drawn: with less than all of it, no two tiles can touch. `dropped` is what stands in the
        channels that are not shown: copies of the one that is, or noise of a hundredth of its deviation."""
        axes = data.shape[1:]
        lines = [SIDE] if len(axes) > 1 else LINES
        fits = (per for per in lines if round(min(axes) // per * (1 - gap)) >= SMALLEST)
        self.per_axis = next(fits, lines[-1])
        self.count = self.per_axis ** len(axes)
        self.cell = tuple(side // self.per_axis for side in axes)
        self.side = round(min(self.cell) * (1 - gap))
        self.jitter = jitter
        if self.side < SMALLEST:
            least = self.per_axis * round(SMALLEST / (1 - gap) + 0.5)
            if len(axes) == 1:
                raise UsageError(f"series of {axes[0]} points are too short to cut segments from: it takes {least}")
            size = f"{axes[0]} x {axes[1]}"
            raise UsageError(f"images of {size} are too small to cut tiles from; use --size {least} or more")
        # Enlarged, as networks halve their input several times; to whole patches, where there are any.
        self.shown = -(-max(SHOWN, self.side) // encoder.patch) * encoder.patch
        self.drop_colors, self.dropped = drop_colors and len(axes) > 1, dropped
        self.known = data.shape[0] // 2 if data.masked else 0  # channels at the end that say what was seen of others

    def __call__(self, x: Tensor) -> Tensor:
        """Tiles (B, N, C, s, ...) of samples x (B, C, ...), of images row by row."""
        tiles, draws = self._cut(x)
        batch, count, channels, *sides = tiles.shape
        ones = (1,) * len(sides)
        if self.drop_colors and channels > 1:
            kept = randomness.indices(draws, channels).view(batch, count, 1, *ones)
            tiles = tiles.gather(2, kept.expand(-1, -1, 1, *sides)).expand_as(tiles)
        flat = tiles.flatten(3)
        # Before it is enlarged, so that the statistics are those of the tile's own pixels.
        deviation = flat.var(dim=3, keepdim=True).add(1e-6).sqrt()
        normal = (flat - flat.mean(dim=3, keepdim=True)) / deviation
        if self.known:
            seen = flat[:, :, -self.known :]
            normal = torch.cat([normal[:, :, : -self.known] * seen, seen], dim=2)
        made = normal.view(batch, count, channels, *sides)
        if self.drop_colors and channels > 1 and self.dropped == "noise":
            shown = kept == torch.arange(channels, device=x.device).view(-1, *ones)
            made = torch.where(shown, made, FAINT * randomness.normal(made.shape, "noise of tiles", x.device))
        made = made.flatten(0, 1)
        made = F.interpolate(made, size=(self.shown,) * len(sides), mode=SMOOTH[len(sides)], align_corners=False)
        return made.unflatten(0, (batch, -1))

    def _cut(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Tiles as they are, and a draw in [0, 1) for each (B, N)."""
        axes = x.ndim - 2
        draws = randomness.uniform((len(x), self.count, axes + 1), "tiles", x.device)
        cells, along = torch.arange(self.count, device=x.device), torch.arange(self.side, device=x.device)
        places = []
        for axis in range(axes):
            number = cells // self.per_axis ** (axes - 1 - axis) % self.per_axis
            slack = self.cell[axis] - self.side
            free = round(slack * self.jitter)
            start = (x.shape[2 + axis] - self.per_axis * self.cell[axis]) // 2 + (slack - free) // 2
            first = start + number * self.cell[axis] + randomness.indices(draws[..., axis], free + 1)
            shape = [1] * axes
            shape[axis] = self.side
            places.append(first.view(*first.shape, *[1] * axes) + along.view(shape))
        sample = torch.arange(len(x), device=x.device).view(-1, 1, *[1] * axes)
        return x.movedim(1, -1)[(sample, *places)].movedim(-1, 2), draws[..., axes]


def ordered(tiles: Tensor, order: Tensor) -> Tensor:
    """Tiles (B, N, ...) in another order (B, N)."""
    return tiles.gather(1, order.view(*order.shape, *[1] * (tiles.ndim - 2)).expand_as(tiles))


def joined(tiles: Tensor, size: Sequence[int]) -> Tensor:
    """Tiles (B, N, C, s, ...) put together, of images row by row, as one picture (B, C, *size)."""
    batch, count, channels, side, *more = tiles.shape
    if not more:
        whole = tiles.movedim(1, 2).reshape(batch, channels, count * side)
        return F.interpolate(whole, size=tuple(size), mode="linear", align_corners=False)
    per_axis = math.isqrt(count)
    grid = tiles.view(batch, per_axis, per_axis, channels, side, side)
    whole = grid.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels, per_axis * side, per_axis * side)
    return F.interpolate(whole, size=size, mode="bilinear", align_corners=False, antialias=True)
