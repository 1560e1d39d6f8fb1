"""The maps of encoders, for probes that say something of each place in an image."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from selftaught.contracts.encoder import Encoder
from selftaught.judging.coarse import finest
from selftaught.judging.heads import Parts
from selftaught.judging.inside import of_all
from selftaught.judging.labelled import Labelled
from selftaught.system.errors import UsageError
from selftaught.system.saying import say
from selftaught.training.looking.features import as_inputs, view_batches

CELLS = 8  # of each place, along each side, whose mean colours stand for its pixels
FEWEST = 2  # places along each side, or nothing could be told apart in an image

Rows = NDArray[np.int64]


def maps(kind: str, encoder: Encoder, data: Labelled) -> Tensor:
    """The last maps of all samples (N, D, h, w). Raises UsageError where an encoder's is no map of an image.

    Where they are too many to be held, places that lie side by side are averaged, and that is said.
    """
    first, count = as_inputs(encoder, next(view_batches(data.train, patch=encoder.patch))[:1]), len(data.classes)
    with torch.no_grad():
        made = encoder.map(first)
    if made.ndim != 4 or min(made.shape[2:]) < FEWEST:
        places = " x ".join(map(str, made.shape[2:]))
        raise UsageError(
            f"--probe segment needs a map of at least {FEWEST} x {FEWEST} places, and that of the {kind} encoder has "
            f"{places}: larger images, by --size, have more"
        )
    coarsest = -(-min(made.shape[2:]) // FEWEST)
    side = finest(range(1, coarsest + 1), lambda side: 4 * averaged(made, side).numel() * count)
    if side > 1:
        say(f"note: the {kind} maps of {count:,} samples are averaged over {side} x {side} places, to fit")
    return of_all(f"{kind} maps", encoder, data, lambda own, x: (averaged(own.map(x), side),))[0]


def averaged(made: Tensor, side: int) -> Tensor:
    """A map (B, D, h, w), the places of squares of so many averaged."""
    height, width = (-(-length // side) for length in made.shape[2:])
    return made if side == 1 else F.adaptive_avg_pool2d(made, (height, width))


def pixels_at(data: Labelled, grid: Sequence[int]) -> Tensor:
    """What is to be known of each place of a grid (h, w) without a network (N, D, h, w): its pixels, where it lies.

    Where it has more than 8 x 8 pixels, these are the means of so many parts, or of fewer where they are too many to be
    held, which is said; its position may curve once.
    """
    count, places = sum(samples.count for samples in data.sources), grid[0] * grid[1]
    first, found = next(view_batches(data.train))[:1], list[Tensor]()
    cells = finest(range(CELLS, 0, -1), lambda cells: 4 * count * places * first.shape[1] * cells**2)
    if cells < min(CELLS, *(length // own for length, own in zip(first.shape[2:], grid))):
        say(f"note: the pixels of {count:,} samples are averaged to {cells} x {cells} a place, to fit in memory")
    for samples in data.sources:
        for x in view_batches(samples):
            tall, wide = (max(1, min(cells, length // own)) for length, own in zip(x.shape[2:], grid))
            parts = F.adaptive_avg_pool2d(x, (grid[0] * tall, grid[1] * wide))
            patches = F.unfold(parts, (tall, wide), stride=(tall, wide)).unflatten(2, tuple(grid))
            found.append(torch.cat([patches, _position(grid).expand(len(x), -1, -1, -1)], dim=1))
    return torch.cat(found)


def _position(grid: Sequence[int]) -> Tensor:
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, places) for places in grid), indexing="ij")
    return torch.stack([y, x, y * y, x * x, x * y])


def evened(values: Tensor, part: Rows) -> Parts:
    """Maps (N, D, h, w) to be scaled, each of their numbers by what it is at all places of the training part."""
    own = values[torch.as_tensor(part)]
    mean, deviation = own.mean(dim=(0, 2, 3)), own.std(dim=(0, 2, 3), correction=0)
    return Parts(values, mean[:, None, None], torch.where(deviation > 0, deviation, 1.0)[:, None, None])
