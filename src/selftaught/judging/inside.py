"""The tokens and the layers of encoders, for probes that see more than one feature of a sample."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from selftaught.contracts.encoder import Encoder, TokenEncoder
from selftaught.judging.coarse import finest
from selftaught.judging.finite import refuse_infinite
from selftaught.judging.heads import Parts
from selftaught.judging.labelled import Labelled
from selftaught.judging.shown import has_blocks, opened, pooled_layers
from selftaught.system.errors import UsageError
from selftaught.system.progress import Progress
from selftaught.system.saying import say
from selftaught.training.looking.features import as_inputs, of_batches, view_batches

SIDE = 8  # of the largest squares of patches that are averaged

Rows = NDArray[np.int64]
Held = tuple[Tensor, Tensor | None]  # values (N, n, D), and which of the n hold anything (N, n); None where all do
Made = tuple[Tensor, ...]


def tokens(kind: str, encoder: Encoder, data: Labelled) -> Held:
    """The last tokens of all samples (N, n, D), class token first, or the places of the map; and which hold anything.

    Where they are too many to be held, patches that lie side by side are averaged, and that is said.
    """
    first, count = as_inputs(encoder, next(view_batches(data.train, patch=encoder.patch))[:1]), len(data.classes)
    with torch.no_grad():
        side = finest(range(1, SIDE + 1), lambda side: 4 * _tokens(encoder, first, side)[0].numel() * count)
    if side > 1:
        say(f"note: the tokens of {count:,} samples are averaged over {side} x {side}, to fit in memory")
    values, *there = of_all(f"{kind} tokens", encoder, data, lambda own, x: _tokens(own, x, side))
    return values, there[0] > 0 if there else None


def layers(kind: str, encoder: Encoder, data: Labelled) -> Held:
    """The feature that each block would give if it were the last (N, blocks, D). Raises UsageError if it has none."""
    if not has_blocks(encoder):
        raise UsageError(f"--probe layers reads the blocks of a transformer, and the {kind} encoder is none")
    return of_all(f"{kind} layers", encoder, data, lambda own, x: (_layers(own, x),))[0], None


def scaled(values: Tensor, part: Rows, each: bool, there: Tensor | None = None) -> Parts:
    """Parts (N, n, D) to be scaled by what they are in the training part; `each` of the n by itself, or all alike.

    there: (N, n), which of them hold anything and so are what the scale is of, where not all do.
    """
    rows = torch.as_tensor(part)
    own, over = (values[rows], (0, 1)) if there is None else (values[rows][there[rows]], (0,))
    mean = own.mean(dim=0 if each else over)
    deviation = own.std(dim=0 if each else over, correction=0)
    return Parts(values, mean, torch.where(deviation > 0, deviation, 1.0), there)


def as_one(pixels: NDArray[np.float32], part: Rows) -> Parts:
    """Raw pixels (N, D) as a single part, all divided by the same number: their components keep their variances."""
    values = torch.from_numpy(pixels)[:, None]
    return Parts(values, values.new_zeros(1), values[torch.as_tensor(part)].square().mean().sqrt()[None])


def of_all(called: str, encoder: Encoder, data: Labelled, made: Callable[[Encoder, Tensor], Made]) -> list[Tensor]:
    """Each of what is made of all samples (N, ...). Raises DataError where the first of it is not finite."""
    found: list[Made] = []
    with Progress(called, len(data.classes), "samples") as bar:
        for samples in data.sources:
            done = 0
            for some in of_batches(encoder, samples, lambda own, x: tuple(one.float().cpu() for one in made(own, x))):
                refuse_infinite(some[0], samples, done, f"the {called}")
                found.append(some)
                done += len(some[0])
                bar.update(bar.done + len(some[0]))
    return [torch.cat(parts) for parts in zip(*found)]


def _tokens(encoder: Encoder, x: Tensor, side: int) -> Made:
    """Tokens (B, n, D), and where not all hold anything, what share of each does (B, n)."""
    inner, x = opened(encoder, x)
    if not isinstance(inner, TokenEncoder):
        return (_averaged(inner.map(x), side),)
    made, grid = inner.tokens(x), inner.grid(x.shape[2:])
    places = made.patches.mT.unflatten(2, grid)
    if made.there is None:
        return (torch.cat([made.prefix, _averaged(places, side)], dim=1),)
    there = made.there[:, None].to(places.dtype).unflatten(2, grid)
    share = _averaged(there, side)
    means = _averaged(places * there, side) / torch.where(share > 0, share, 1.0)
    return torch.cat([made.prefix, means], dim=1), F.pad(share[..., 0], (made.prefix.shape[1], 0), value=1.0)


def _averaged(places: Tensor, side: int) -> Tensor:
    """A map (B, D, h, w) or (B, D, n) as tokens (B, n, D), those of squares of so many averaged."""
    if side > 1:
        pool = F.avg_pool2d if places.ndim == 4 else F.avg_pool1d
        places = pool(places, min(side, *places.shape[2:]), ceil_mode=True)
    return places.flatten(2).mT


def _layers(encoder: Encoder, x: Tensor) -> Tensor:
    inner, x = opened(encoder, x)
    assert isinstance(inner, TokenEncoder)
    return torch.stack(pooled_layers(inner, inner.tokens(x, layers=range(inner.depth))), dim=1)
