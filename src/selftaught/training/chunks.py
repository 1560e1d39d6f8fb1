"""Large batches in little memory: the encoder takes a few samples at a time, and again when their gradient is due.

What it gives is joined before the loss, so a contrastive batch keeps all its negatives (after GradCache, 2101.06983).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from selftaught.contracts.encoder import CALLS, Encoder, Tokens, batch_norms
from selftaught.methods.parts.crops import cuts
from selftaught.methods.parts.teacher import Frozen
from selftaught.system import distributed


def encode_in_chunks(method: nn.Module, size: int) -> None:
    """Make every encoder inside, a teacher's copy too, take at most `size` samples at a time.

    The loss and its gradient stay the same, but for batch norm, whose statistics become those of a chunk.
    """
    for module in method.modules():
        # One that others have taught is in no list of modules; what holds it is called in its place.
        names = CALLS if isinstance(module, Encoder) else ("forward",) if isinstance(module, Frozen) else ()
        for name in names:
            if hasattr(module, name):  # no function in a function, in which a copy would find the first encoder
                setattr(module, name, partial(_in_chunks, module, getattr(module, name), size))


def _in_chunks(encoder: nn.Module, function: Callable[..., Any], size: int, x: Tensor, *args: Any, **named: Any) -> Any:
    """`function` of x and of what else comes with a row for each of its samples, `size` samples at a time at most.

    Where one of an encoder's functions calls another, the first cuts, and the second gets no more than it may.
    Parts differ by one sample at most: of one that is left over, batch norm would take statistics of a single sample.
    """
    if len(x) <= size:
        return function(x, *args, **named)
    learns = torch.is_grad_enabled() and any(p.requires_grad for p in encoder.parameters())
    made = []
    for rows in cuts(len(x), math.ceil(len(x) / size)):
        here = [_part(value, rows, len(x)) for value in (x, *args)]
        aside = {key: _part(value, rows, len(x), key) for key, value in named.items()}
        if learns:  # not reentrant, since that kind takes no keywords and wants views that need gradients
            again = partial(_contexts, encoder)
            made.append(checkpoint(function, *here, use_reentrant=False, context_fn=again, **aside))
        else:
            made.append(function(*here, **aside))
    return _joined(made)


def _contexts(encoder: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _again(encoder, distributed.is_alone(), distributed.block())


def _part(value: Any, rows: slice, count: int, name: str = "") -> Any:
    # What all samples share may be as long as the batch by chance: a vector that fills holes (dim,), who may look at
    # whom (N, N).
    shared = not isinstance(value, Tensor) or value.ndim < 2 or (name == "attend" and value.ndim == 2)
    return value if shared or len(value) != count else value[rows]


def _joined(made: Sequence[Any]) -> Any:
    first = made[0]
    if isinstance(first, Tokens):
        layers = tuple(torch.cat(layer) for layer in zip(*(each.layers for each in made)))
        patches, prefix = (torch.cat([getattr(each, part) for each in made]) for part in ("patches", "prefix"))
        there = [each.there for each in made if each.there is not None]
        return Tokens(patches, prefix, layers, torch.cat(there) if there else None)
    if isinstance(first, tuple):
        return tuple(map(_joined, zip(*made)))
    return torch.cat(list(made))


@contextmanager
def _again(module: nn.Module, alone: bool, block: int) -> Iterator[None]:
    """The second pass over a chunk, in backward: batch norm sees no other processes than before, and keeps nothing."""
    with distributed.alone() if alone else distributed.among(block), _statistics_kept(module):
        yield


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Leave running statistics as they are: the second pass over a chunk is no news."""
    norms = [layer for layer in batch_norms(module) if layer.track_running_stats]
    before = [(layer.momentum, layer.num_batches_tracked) for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
        layer.num_batches_tracked = None if layer.num_batches_tracked is None else layer.num_batches_tracked.clone()
    try:
        yield
    finally:
        for layer, (momentum, count) in zip(norms, before):
            layer.momentum, layer.num_batches_tracked = momentum, count
