"""Views of several sizes through one network (multi-crop; SwAV, 2006.09882, section 3.2)."""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def through(network: Callable[[Tensor], Tensor], views: Sequence[Tensor]) -> Tensor:
    """What `network` makes of each view (V x B x D); neighbours of one size go through it together."""
    # Neighbours only, so that the order of views is that of the answers without sorting back.
    made = [
        network(torch.cat(list(group))) for _, group in itertools.groupby(views, key=lambda view: tuple(view.shape[2:]))
    ]
    return torch.cat(made).unflatten(0, (len(views), -1))


def evenly(everything: Tensor, most: int = 256) -> tuple[Tensor, ...]:
    """Parts of about one size, of at most `most` samples each."""
    # Not `split`, whose last part may be a single sample, of which batch norm takes no statistics.
    return everything.chunk(-(-len(everything) // most))
