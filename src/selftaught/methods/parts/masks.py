"""Ways to hide part of a sample; a mask is True where something is hidden."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.contracts.encoder import TokenEncoder
from selftaught.contracts.method import Data
from selftaught.system import randomness
from selftaught.system.devices import constant, moved
from selftaught.system.errors import UsageError

BLOCKS = 16  # drawn by blockwise_mask for each sample; what they leave open is filled cell by cell
GROWN, TRIES = 32, 10  # blocks that grown_mask draws at most, and how often each, before it stops short


def refuse_single(method: str, data: Data, count: int, parts: str, way: str) -> None:
    """Raise UsageError where samples have no two of such parts: of one nothing is left to see, or to ask for."""
    if count < 2:
        shape = " x ".join(map(str, data.shape))
        raise UsageError(f"{method} needs at least 2 {parts}, and samples of {shape} have {count}; {way}")


def refuse_lone_tokens(method: str, encoder: TokenEncoder, data: Data) -> None:
    """Raise UsageError where samples are of a single token."""
    way = "use a smaller --encoder.patch, or larger samples" if encoder.patch > 1 else "use larger samples"
    refuse_single(method, data, encoder.length(data.shape[1:]), "tokens", way)


def random_mask(batch: int, length: int, ratio: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Hide `ratio` of the tokens, chosen uniformly and apart for each sample: keep (B, K), hidden (B, N).

    One at least is kept and, where there is any ratio, one hidden. MAE (2111.06377, section 3).
    """
    order = randomness.uniform((batch, length), "mask", device).argsort(dim=1)
    # Sorted, so that the encoder meets patches in reading order; the set is as random as before.
    keep = order[:, : _kept(length, ratio)].sort(dim=1).values
    return keep, outside(keep, length)


def _kept(length: int, ratio: float) -> int:
    """How many tokens are kept where `ratio` of them are hidden: few may round to none, of which nothing is learnt."""
    return max(1, min(round(length * (1 - ratio)), length - 1 if ratio else length))


def inverse_block(batch: int, grid: Sequence[int], ratio: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Hide `ratio` of the tokens, all but one block of each sample, which goes on at the other side where it would
    leave the grid: keep (B, K), hidden (B, N).

    CAPI (2502.08769), of aspects 0.5 to 2: so every place is seen as often as any, where a block that stays inside
    shows the middle most. The block's last row is cut to the count.
    """
    tall, wide = (1, *grid)[-2:]  # a single axis is a grid of one row
    count = _kept(tall * wide, ratio)
    draws = randomness.uniform((batch, 3), "inverse block", device)
    width = (count * torch.exp((2 * draws[:, 0] - 1) * math.log(2))).sqrt().ceil().clamp(math.ceil(count / tall), wide)
    number, width = torch.arange(count, device=device), width.long()[:, None]
    top, left = ((draws[:, 1 + axis, None] * side).long() for axis, side in enumerate((tall, wide)))
    keep = (top + number // width) % tall * wide + (left + number % width) % wide
    return keep.sort(dim=1).values, outside(keep, tall * wide)


def outside(places: Tensor, length: int) -> Tensor:
    """(B, N) booleans: which of `length` tokens are not among `places` (B, K)."""
    everywhere = torch.ones(len(places), length, dtype=torch.bool, device=places.device)
    return everywhere.scatter_(1, places, False)


def some_of(hidden: Tensor, keep: Tensor, share: float) -> Tensor:
    """Places (B, M), drawn among the hidden tokens (B, N) beside those that were kept (B, K): `share` of N, or all."""
    count = min(hidden.shape[1] - keep.shape[1], max(1, round(share * hidden.shape[1])))
    drawn = randomness.uniform(hidden.shape, "patches asked", hidden.device)
    return drawn.masked_fill(~hidden, 2.0).argsort(dim=1)[:, :count]  # 2 lies above every draw


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
    wanted = _wanted(batch, cells, ratio, device)
    # 16 cells of 14 x 14 are a twelfth; smaller grids keep about that share.
    smallest = min(16, max(1, cells // 12))
    draws = randomness.uniform((batch, BLOCKS, 4), "blocks", device)
    area = smallest + draws[..., 0] * (wanted - smallest).clamp(min=0)
    aspect = torch.exp((2 * draws[..., 1] - 1) * math.log(1 / 0.3))
    met = rectangles(torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], dim=2), draws[..., 2:], grid)
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
    wanted = _wanted(batch, cells, ratio, device)
    smallest = min(16, max(1, cells // 12))
    draws = randomness.uniform((batch, GROWN, TRIES, 4), "grown blocks", device)
    aspect = torch.exp((2 * draws[..., 1] - 1) * math.log(1 / 0.3))
    hidden = torch.zeros(batch, 1, *grid, dtype=torch.bool, device=device)
    going = wanted[:, 0] > 0
    for number in range(GROWN):
        left = wanted - hidden.flatten(2).sum(dim=2)
        area = smallest + draws[:, number, :, 0] * (left - smallest)
        sides = torch.stack([(area * aspect[:, number]).sqrt(), (area / aspect[:, number]).sqrt()], dim=2).round()
        blocks = rectangles(sides, draws[:, number, :, 2:], grid)
        new = (blocks & ~hidden).flatten(2).sum(dim=2)
        fits = (new > 0) & (new <= left) & (sides > 0).all(dim=2) & (sides < constant(tuple(grid), sides)).all(dim=2)
        going = going & fits.any(dim=1)
        if device.type == "cpu" and not going.any():  # a card would have the host wait for the answer
            break
        chosen = blocks[torch.arange(batch, device=device), fits.int().argmax(dim=1), None]
        hidden = hidden | (chosen & going.view(-1, 1, 1, 1))
    if not isinstance(ratio, Tensor):  # no block fits into a single row, nor often where few cells are wanted
        first = rectangles(torch.ones(batch, 1, 2, device=device), draws[:, 0, :1, 2:], grid)
        hidden = hidden | (first & ~hidden.flatten(1).any(dim=1).view(-1, 1, 1, 1))
    return hidden[:, 0]


def _wanted(batch: int, cells: int, ratio: float | Tensor, device: torch.device) -> Tensor:
    """How many cells are to be hidden (B, 1): at least one is left to see, and of one ratio for all one is hidden."""
    if isinstance(ratio, Tensor):  # a sample of its own may have nothing hidden
        return (ratio * cells).round().clamp(max=cells - 1).expand(batch)[:, None]
    ratio = torch.full((), ratio, device=device)
    return (ratio * cells).round().clamp(min=1).clamp(max=cells - 1).expand(batch)[:, None]


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


def rectangles(sides: Tensor, places: Tensor, grid: Sequence[int]) -> Tensor:
    """Whole-cell rectangles (B, K, *grid) of sides (B, K, 2) in cells at places (B, K, 2) in [0, 1)."""
    inside = []
    for axis, length in enumerate(grid):
        side = sides[..., axis].round().clamp(1, length)
        start = (places[..., axis] * (length - side + 1)).floor()
        cell = torch.arange(length, device=sides.device)
        inside.append((cell >= start[..., None]) & (cell < (start + side)[..., None]))
    return inside[0][..., :, None] & inside[1][..., None, :]


def centre_mask(batch: int, size: Sequence[int], area: float, device: torch.device) -> Tensor:
    """One centred rectangle, or stretch, of `area` (B, 1, *size). Context encoders (1604.07379, section 3.3)."""
    mask = torch.zeros(batch, 1, *size, dtype=torch.bool, device=device)
    sides = [max(1, round(side * area ** (1 / len(size)))) for side in size]
    if sides == list(size):  # something is left to see
        sides[sides.index(max(sides))] -= 1
    inside = mask
    for axis, (whole, side) in enumerate(zip(size, sides), start=2):
        inside = inside.narrow(axis, (whole - side) // 2, side)
    inside.fill_(True)
    return mask


def block_mask(batch: int, size: Sequence[int], area: float, device: torch.device, blocks: int = 6) -> Tensor:
    """Several rectangles, or stretches, at random places, which may overlap, about `area` in all (B, 1, *size).

    Context encoders (section 3.3, "random block").
    """
    axes = len(size)
    draws = randomness.uniform((batch, blocks, 2 * axes), "blocks", device)
    # With k blocks of share s each, 1 - (1 - s)^k is covered where they fall independently; whole blocks inside the
    # image overlap a little more, so their sides are 8 % longer on average.
    share = 1 - (1 - area) ** (1 / blocks)
    sides = share ** (1 / axes) * (0.78 + 0.6 * draws[..., :axes])
    starts = draws[..., axes:] * (1 - sides)
    inside = []
    for axis, side in enumerate(size):
        place = (torch.arange(side, device=device) + 0.5) / side
        start = starts[..., axis, None]
        inside.append((place >= start) & (place < start + sides[..., axis, None]))
    met = inside[0] if axes == 1 else inside[0][..., :, None] & inside[1][..., None, :]
    hidden = met.any(dim=1).flatten(1)
    # Where all was met something is left to see, and where nothing was, as by blocks narrower than a pixel, something
    # is hidden: the place at which the first block was drawn.
    place = hidden.new_zeros(batch, 1, dtype=torch.int64)
    for axis, side in enumerate(size):
        place = place * side + (draws[:, :1, axes + axis] * side).long()
    some = (hidden.gather(1, place) | ~hidden.any(dim=1, keepdim=True)) & ~hidden.all(dim=1, keepdim=True)
    return hidden.scatter(1, place, some).view(batch, 1, *size)


def region_mask(batch: int, size: Sequence[int], area: float, device: torch.device, grain: int = 4) -> Tensor:
    """A region of arbitrary shape that covers `area` (B, 1, *size): the heights of a smooth random landscape.

    Context encoders (section 3.3, "random region") take their shapes from segmentation masks of another data set;
    a landscape of `grain` hills a side gives shapes as irregular without one.
    """
    hills = randomness.normal((batch, 1, *[grain] * len(size)), "region", device)
    smooth = "bicubic" if len(size) == 2 else "linear"
    landscape = F.interpolate(hills, size=tuple(size), mode=smooth, align_corners=True).flatten(1)
    hidden = max(1, min(round(area * landscape.shape[1]), landscape.shape[1] - 1))  # something is left to see
    # The height is set for each image, so that exactly the wanted area lies above it.
    threshold = landscape.topk(hidden, dim=1).values[:, -1:]
    return (landscape >= threshold).view(batch, 1, *size)
