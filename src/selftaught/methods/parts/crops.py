"""Views of several sizes through one network (multi-crop; SwAV, 2006.09882, section 3.2)."""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def through(network: Callable[[Tensor], Tensor], views: Sequence[Tensor], apart: bool = False) -> Tensor:
    """What `network` makes of each view (V x B x D); neighbours of one size go through it together, as one batch of its
    batch norms, or, `apart`, each by itself, as in most authors' code."""
    # Neighbours only, so that the order of views is that of the answers without sorting back.
    sizes = itertools.groupby(views, key=lambda view: tuple(view.shape[2:]))
    groups = [[view] for view in views] if apart else [list(group) for _, group in sizes]
    return torch.cat([network(torch.cat(group)) for group in groups]).unflatten(0, (len(views), -1))


def evenly(everything: Tensor, most: int = 256) -> tuple[Tensor, ...]:
    """Parts of about one size, of at most `most` samples each."""
    # Not `split`, whose last part may be a single sample, of which batch norm takes no statistics.
    return everything.chunk(-(-len(everything) // most))


def cuts(count: int, parts: int) -> list[slice]:
    """Where `count` samples are cut into so many parts, whose sizes differ by one at most.

    Not as `chunk`, which may make fewer parts than asked for, and a last one of a single sample. Of several processes'
    samples, side by side, parts that all of them share alike have the same bounds as each process's own.
    """
    bounds = [-(-count * part // parts) for part in range(parts + 1)]  # rounded up
    return [slice(first, end) for first, end in itertools.pairwise(bounds)]
