"""Ways to hide part of a sample; a mask is True where something is hidden."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.contracts.encoder import TokenEncoder
from selftaught.system import distributed, randomness
from selftaught.system.devices import constant, moved

BLOCKS = 16  # drawn by blockwise_mask for each sample; what they leave open is filled cell by cell
GROWN, TRIES = 32, 10  # blocks that grown_mask draws at most, and how often each, before it stops short
LEAST = 10  # cells that a context has more than, in I-JEPA's code


def random_mask(batch: int, length: int, ratio: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Hide `ratio` of the tokens, chosen uniformly and apart for each sample: keep (B, K), hidden (B, N).

    MAE (2111.06377, section 3).
    """
    order = randomness.uniform((batch, length), "mask", device).argsort(dim=1)
    # Sorted, so that the encoder meets patches in reading order; the set is as random as before.
    keep = order[:, : max(1, round(length * (1 - ratio)))].sort(dim=1).values
    return keep, outside(keep, length)


def outside(places: Tensor, length: int) -> Tensor:
    """(B, N) booleans: which of `length` tokens are not among `places` (B, K)."""
    everywhere = torch.ones(len(places), length, dtype=torch.bool, device=places.device)
    return everywhere.scatter_(1, places, False)


def tube(hidden: Tensor, grid: Sequence[int]) -> Tensor:
    """A mask of coarse cells (B, h, w) on a finer grid: (B, *grid), each cell as many of its units as fall into it."""
    for axis, side in enumerate(grid, start=1):
        place = (torch.arange(side, device=hidden.device) * hidden.shape[axis] / side).long()
        hidden = hidden.index_select(axis, place)
    return hidden


def blockwise_mask(batch: int, grid: Sequence[int], ratio: float | Tensor, device: torch.device) -> Tensor:
    """Cells hidden block by block until exactly `ratio` of them, a number or one a sample (B,), are: (B, *grid).

    BEiT (2106.08254, algorithm 1): blocks of 16 cells (fewer on small grids) up to all that is wanted, of aspects
    0.3 to 1/0.3. The last block is cut where the count is reached.
    """
    cells = math.prod(grid)
    # At least one cell is left to see.
    wanted = (_tensor(ratio, device) * cells).round().clamp(max=cells - 1).expand(batch)[:, None]
    # 16 cells of 14 x 14 are a twelfth; smaller grids keep about that share.
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


def grown_mask(batch: int, grid: Sequence[int], ratio: float | Tensor, device: torch.device) -> Tensor:
    """Cells hidden by whole blocks, each of which may be as large as what is still wanted of `ratio`: (B, *grid).

    As the authors of BEiT draw them in code, whose masks iBOT, MaskFeat and data2vec have as well: a block that would
    hide too much is drawn again, and where ten such draws fail, the mask stays a little smaller than asked for.
    """
    cells = math.prod(grid)
    wanted = (_tensor(ratio, device) * cells).round().clamp(max=cells - 1).expand(batch)[:, None]
    smallest = min(16, max(1, cells // 12))
    draws = randomness.uniform((batch, GROWN, TRIES, 4), "grown blocks", device)
    aspect = torch.exp((2 * draws[..., 1] - 1) * math.log(1 / 0.3))
    hidden = torch.zeros(batch, 1, *grid, dtype=torch.bool, device=device)
    going = wanted[:, 0] > 0
    for number in range(GROWN):
        left = wanted - hidden.flatten(2).sum(dim=2)
        area = smallest + draws[:, number, :, 0] * (left - smallest)
        sides = torch.stack([(area * aspect[:, number]).sqrt(), (area / aspect[:, number]).sqrt()], dim=2).round()
        blocks = _rectangles(sides, draws[:, number, :, 2:], grid)
        new = (blocks & ~hidden).flatten(2).sum(dim=2)
        fits = (new > 0) & (new <= left) & (sides > 0).all(dim=2) & (sides < constant(tuple(grid), sides)).all(dim=2)
        going = going & fits.any(dim=1)
        if device.type == "cpu" and not going.any():  # a card would have the host wait for the answer
            break
        chosen = blocks[torch.arange(batch, device=device), fits.int().argmax(dim=1), None]
        hidden = hidden | (chosen & going.view(-1, 1, 1, 1))
    return hidden[:, 0]


def _tensor(ratio: float | Tensor, device: torch.device) -> Tensor:
    return ratio if isinstance(ratio, Tensor) else torch.full((), ratio, device=device)


@dataclass
class Hidden:
    """Which tokens of a batch are hidden."""

    mask: Tensor  # (B, N) booleans
    places: Tensor  # (M,): the hidden ones, among all B N

    def of(self, tokens: Tensor) -> Tensor:
        """Those (M, ...) of tokens (B, N, ...) that are hidden."""
        return tokens.flatten(0, 1)[self.places]


MASKS = {"cut": blockwise_mask, "grown": grown_mask}


@dataclass(frozen=True)
class ViewMasks:
    """Blocks hidden in views: in each with `probability`, and then a share within `ratio` of it.

    iBOT (2111.07832, section 3.2).
    """

    ratio: tuple[float, float]
    probability: float
    blocks: Literal["cut", "grown"]

    def hidden(self, views: Sequence[Tensor], encoder: TokenEncoder) -> Hidden:
        """Of views (B, C, H, W) of one size each token that is hidden, drawn apart, as one batch."""
        masks = [self._mask(len(view), encoder.grid(view.shape[2:]), number) for number, view in enumerate(views)]
        # How many are hidden is known to the host, which would wait for a device's answer.
        mask, device = torch.cat(masks), views[0].device
        return Hidden(moved(mask, device), moved(mask.flatten().nonzero().squeeze(1), device))

    def _mask(self, batch: int, grid: Sequence[int], number: int) -> Tensor:
        """(B, N) booleans on the host: what is hidden in the view `number`."""
        low, high = self.ratio
        draws = randomness.uniform((batch, 2), f"masked share {number}")
        share = torch.where(draws[:, 0] < self.probability, low + draws[:, 1] * (high - low), 0.0)
        with randomness.view(number):
            return MASKS[self.blocks](batch, grid, share, share.device).flatten(1)


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
    asked = F.pad(_rectangles(target.expand(len(places), targets, 2), places[:, :targets], within), beyond)
    around = F.pad(_rectangles(context_sides.expand(len(places), 1, 2), places[:, targets:], within), beyond)[:, 0]
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
    # The height is set for each image, so that exactly the wanted area lies above it.
    threshold = landscape.topk(hidden, dim=1).values[:, -1:]
    return (landscape >= threshold).view(batch, 1, *size)
