"""The tokens and the layers of encoders, for probes that see more than one feature of a sample."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from selftaught.contracts.encoder import Encoder, TokenEncoder
from selftaught.judging.finite import refuse_infinite
from selftaught.judging.heads import Parts
from selftaught.judging.labelled import Labelled
from selftaught.judging.shown import has_blocks, opened, pooled_layers
from selftaught.system.errors import UsageError
from selftaught.system.progress import Progress
from selftaught.system.saying import say
from selftaught.training.looking.features import as_inputs, of_batches, view_batches

MOST = 1 << 30  # bytes of the tokens of all samples, of one encoder
SIDE = 8  # of the largest squares of patches that are averaged

Rows = NDArray[np.int64]


def tokens(kind: str, encoder: Encoder, data: Labelled) -> Tensor:
    """The last tokens of all samples (N, n, D), class token first, or the places of the map.

    Where they are too many to be held, patches that lie side by side are averaged, and that is said.
    """
    first, side = as_inputs(encoder, next(view_batches(data.train, patch=encoder.patch))[:1]), 1
    with torch.no_grad():
        while 4 * _tokens(encoder, first, side).numel() * len(data.classes) > MOST and side < SIDE:
            side += 1
    if side > 1:
        say(f"note: the tokens of {len(data.classes):,} samples are averaged over {side} x {side}, to fit in memory")
    return of_all(f"{kind} tokens", encoder, data, lambda own, x: _tokens(own, x, side))


def layers(kind: str, encoder: Encoder, data: Labelled) -> Tensor:
    """The feature that each block would give if it were the last (N, blocks, D). Raises UsageError if it has none."""
    if not has_blocks(encoder):
        raise UsageError(f"--probe layers reads the blocks of a transformer, and the {kind} encoder is none")
    return of_all(f"{kind} layers", encoder, data, _layers)


def scaled(values: Tensor, part: Rows, each: bool) -> Parts:
    """Parts (N, n, D) to be scaled by what they are in the training part; `each` of the n by itself, or all alike."""
    own = values[torch.as_tensor(part)]
    mean = own.mean(dim=0 if each else (0, 1))
    deviation = own.std(dim=0 if each else (0, 1), correction=0)
    return Parts(values, mean, torch.where(deviation > 0, deviation, 1.0))


def as_one(pixels: NDArray[np.float32], part: Rows) -> Parts:
    """Raw pixels (N, D) as a single part, all divided by the same number: their components keep their variances."""
    values = torch.from_numpy(pixels)[:, None]
    return Parts(values, values.new_zeros(1), values[torch.as_tensor(part)].square().mean().sqrt()[None])


def of_all(called: str, encoder: Encoder, data: Labelled, made: Callable[[Encoder, Tensor], Tensor]) -> Tensor:
    """What is made of all samples (N, ...). Raises DataError where any of it is not finite."""
    found: list[Tensor] = []
    with Progress(called, len(data.classes), "samples") as bar:
        for samples in data.sources:
            done = 0
            for x in of_batches(encoder, samples, lambda own, x: made(own, x).float().cpu()):
                refuse_infinite(x, samples, done, f"the {called}")
                found.append(x)
                done += len(x)
                bar.update(bar.done + len(x))
    return torch.cat(found)


def _tokens(encoder: Encoder, x: Tensor, side: int) -> Tensor:
    inner, x = opened(encoder, x)
    if not isinstance(inner, TokenEncoder):
        return _averaged(inner.map(x), side)
    made = inner.tokens(x)
    places = made.patches.mT.unflatten(2, inner.grid(x.shape[2:]))
    return torch.cat([made.prefix, _averaged(places, side)], dim=1)


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
