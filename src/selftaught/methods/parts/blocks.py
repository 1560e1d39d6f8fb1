"""What I-JEPA shows and asks: a large block without the cells of several smaller ones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.methods.parts.masks import rectangles
from selftaught.system import distributed, randomness
from selftaught.system.devices import moved

LEAST = 10  # cells that a context has more than, in I-JEPA's code


@dataclass
class Blocks:
    """What I-JEPA shows and asks of a batch, as positions of tokens."""

    context: Tensor  # (B, K): what the student sees
    targets: Tensor  # (B, M, L): what it predicts, block by block

    def of(self, tokens: Tensor) -> Tensor:
        """Those of all tokens (B, N, D) that are asked for, block by block (B, M, L, D)."""
        places = self.targets.flatten(1)[..., None].expand(-1, -1, tokens.shape[2])
        return tokens.gather(1, places).unflatten(1, self.targets.shape[1:])


def context_and_targets(
    batch: int,
    grid: Sequence[int],
    targets: int,
    target_scale: tuple[float, float],
    target_aspect: tuple[float, float],
    context_scale: tuple[float, float],
    collator: Literal["paper", "authors"],
    device: torch.device,
) -> Blocks:
    """One large context block without the cells of several smaller target blocks.

    I-JEPA (2301.08243, section 3 and appendix A): the blocks' size and shape are drawn once for the whole batch, their
    places for each sample; every context is cut down to the fewest cells that any sample of the batch has left.

    collator: "paper" draws scale and aspect apart, and which cells of a context are kept. "authors" does as their code:
    one draw gives a block both, no block is as long as the grid or reaches its last row and column, the first cells of
    a context are kept, and targets are allowed into one that would have no more than ten. Its contexts are smaller.
    """
    line, grid = len(grid) == 1, (1, *grid)[-2:]  # a single axis is a grid of one row
    # On the host, down to what is sorted: it has to know how many cells there are, and would wait for a device to say.
    sizes = randomness.whole((4,), "sizes of blocks")
    if collator == "authors":
        target = _authors_sides(sizes[0], target_scale, target_aspect, grid, line)
        context_sides = _authors_sides(sizes[1], context_scale, (1.0, 1.0), grid, line)
        within = [max(1, side - 1) for side in grid]
    else:
        scale = target_scale[0] + sizes[0] * (target_scale[1] - target_scale[0])
        aspect = torch.exp(math.log(target_aspect[0]) + sizes[1] * math.log(target_aspect[1] / target_aspect[0]))
        area = scale * math.prod(grid)
        sides = _sides(area, aspect, line)
        target = torch.stack([side.round().clamp(1, length) for side, length in zip(sides, grid)])
        share = context_scale[0] + sizes[2] * (context_scale[1] - context_scale[0])
        shares = _sides(share, torch.ones_like(share), line)
        context_sides, within = torch.stack([part * length for part, length in zip(shares, grid)]), list(grid)
    places = randomness.uniform((batch, targets + 1, 2), "places of blocks")
    beyond = (0, grid[1] - within[1], 0, grid[0] - within[0])
    asked = F.pad(rectangles(target.expand(len(places), targets, 2), places[:, :targets], within), beyond)
    around = F.pad(rectangles(context_sides.expand(len(places), 1, 2), places[:, targets:], within), beyond)[:, 0]
    left = _outside(around, asked, LEAST if collator == "authors" else None)
    # Of all processes: every context of the batch has as many.
    fewest = distributed.gather(left.flatten(1).sum(dim=1).min()[None]).min()
    count = max(1, int(fewest))
    left, asked = (moved(each, device) for each in (left, asked))
    if collator == "authors":
        first = left.flatten(1).long().argsort(dim=1, descending=True, stable=True)
        context = first[:, :count]
    else:
        drawn = randomness.uniform((batch, math.prod(grid)), "context kept", device)
        # What may not be kept sorts last: 2 lies above every draw.
        context = torch.where(left.flatten(1), drawn, 2.0).argsort(dim=1)[:, :count].sort(dim=1).values
    length = int(target.prod())
    positions = asked.flatten(2).long().argsort(dim=2, descending=True, stable=True)[:, :, :length]
    return Blocks(context, positions)


def _sides(area: Tensor, aspect: Tensor, line: bool) -> tuple[Tensor, Tensor]:
    """Height and width of a block of so large an area, which has all of it as its width where it is on a line."""
    return (torch.ones_like(area), area) if line else ((area * aspect).sqrt(), (area / aspect).sqrt())


def _authors_sides(
    draw: Tensor, scale: tuple[float, float], aspect: tuple[float, float], grid: Sequence[int], line: bool
) -> Tensor:
    """Height and width of a block, by one draw for its share of the grid and for its shape."""
    area = ((scale[0] + draw * (scale[1] - scale[0])) * math.prod(grid)).floor()
    sides = _sides(area, aspect[0] + draw * (aspect[1] - aspect[0]), line)
    return torch.stack([side.round().clamp(1, max(1, length - 1)) for side, length in zip(sides, grid)])


def _outside(around: Tensor, asked: Tensor, least: int | None) -> Tensor:
    """Contexts (B, h, w): the cells of `around` (B, h, w) outside of all that is `asked` (B, M, h, w).

    Where that leaves nothing, all that lies outside is the context; where `least` is given and it leaves no more than
    that, the last targets are allowed in, one after the other, until it does.
    """
    if least is None:
        left = around & ~asked.any(dim=1)
        return torch.where(left.flatten(1).any(dim=1)[:, None, None], left, ~asked.any(dim=1))
    left = around
    for number in range(1, asked.shape[1] + 1):
        fewer = around & ~asked[:, :number].any(dim=1)
        enough = fewer.flatten(1).sum(dim=1) > least
        left = torch.where(enough[:, None, None], fewer, left)
    return left
