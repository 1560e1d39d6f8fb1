"""Tiles cut from images for tasks that ask where they were, with the shortcuts to the answer closed."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.contracts.encoder import Encoder
from selftaught.contracts.method import Data
from selftaught.system import randomness
from selftaught.system.errors import UsageError

SIDE = 3  # tiles along each axis
SMALLEST = 6  # pixels of a tile: less holds nothing to recognise
FAINT = 0.01  # deviation of noise beside that of what is shown (1505.05192, section 3.1)
SHOWN = 16  # pixels that a tile is enlarged to, at least


class Tiles:
    """Nine tiles of each image, one from each cell of a 3 x 3 grid.

    Closed shortcuts (1603.09246, section 3.3; 1505.05192, section 3.1): edges that continue from tile to tile, by a
    gap of drawn width between tiles; colours and brightness that drift over the image, by normalising every tile
    by itself; and the lens's colour fringes, which differ from place to place, by showing one drawn channel of a
    tile in all of them.
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
        self.cell = (data.shape[1] // SIDE, data.shape[2] // SIDE)
        self.side = round(min(self.cell) * (1 - gap))
        self.jitter = jitter
        if self.side < SMALLEST:
            least = SIDE * round(SMALLEST / (1 - gap) + 0.5)
            size = f"{data.shape[1]} x {data.shape[2]}"
            raise UsageError(f"images of {size} are too small to cut tiles from; use --size {least} or more")
        # Enlarged, as networks halve their input several times; to whole patches, where there are any.
        self.shown = -(-max(SHOWN, self.side) // encoder.patch) * encoder.patch
        self.drop_colors, self.dropped = drop_colors, dropped

    def __call__(self, x: Tensor) -> Tensor:
        """Tiles (B, 9, C, s, s) of images x (B, C, H, W), row by row."""
        batch, channels = x.shape[:2]
        draws = randomness.uniform((batch, SIDE * SIDE, 3), "tiles", x.device)
        cells = torch.arange(SIDE * SIDE, device=x.device)
        first = []
        for axis, number in enumerate((cells // SIDE, cells % SIDE)):
            slack = self.cell[axis] - self.side
            free = round(slack * self.jitter)
            start = (x.shape[2 + axis] - SIDE * self.cell[axis]) // 2 + (slack - free) // 2
            first.append(start + number * self.cell[axis] + randomness.indices(draws[..., axis], free + 1))
        along = torch.arange(self.side, device=x.device)
        rows, columns = ((start[..., None] + along) for start in first)
        sample = torch.arange(batch, device=x.device).view(-1, 1, 1, 1)
        tiles = x.permute(0, 2, 3, 1)[sample, rows[..., :, None], columns[..., None, :]].permute(0, 1, 4, 2, 3)
        if self.drop_colors and channels > 1:
            kept = randomness.indices(draws[..., 2], channels).view(batch, -1, 1, 1, 1)
            tiles = tiles.gather(2, kept.expand(-1, -1, 1, self.side, self.side)).expand_as(tiles)
        flat = tiles.flatten(3)
        # Before it is enlarged, so that the statistics are those of the tile's own pixels.
        deviation = flat.var(dim=3, keepdim=True).add(1e-6).sqrt()
        flat = ((flat - flat.mean(dim=3, keepdim=True)) / deviation).view(batch, -1, channels, self.side, self.side)
        if self.drop_colors and channels > 1 and self.dropped == "noise":
            shown = kept == torch.arange(channels, device=x.device).view(-1, 1, 1)
            flat = torch.where(shown, flat, FAINT * randomness.normal(flat.shape, "noise of tiles", x.device))
        flat = flat.flatten(0, 1)
        flat = F.interpolate(flat, size=(self.shown, self.shown), mode="bilinear", align_corners=False)
        return flat.unflatten(0, (batch, -1))


def joined(tiles: Tensor, size: Sequence[int]) -> Tensor:
    """Tiles (B, 9, C, s, s) put together, row by row, as one picture (B, C, *size)."""
    batch, _, channels, side, _ = tiles.shape
    grid = tiles.view(batch, SIDE, SIDE, channels, side, side)
    whole = grid.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels, SIDE * side, SIDE * side)
    return F.interpolate(whole, size=size, mode="bilinear", align_corners=False, antialias=True)
