"""Features of earlier batches, kept as part of a method's state."""

import torch
from torch import Tensor, nn

from . import distributed


class Queue(nn.Module):
    """The newest `size` features, first in, first out; how many there are yet is part of its state."""

    features: Tensor
    place: Tensor
    count: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("features", torch.zeros(size, dim))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @property
    def full(self) -> bool:
        """Whether every slot holds a feature."""
        return int(self.count) == len(self.features)

    @torch.no_grad()
    def push(self, x: Tensor) -> None:
        """Put features x (B, dim) of all processes in, in place of the oldest."""
        x = distributed.gather(x.detach()).to(self.features.dtype)[-len(self.features) :]
        slots = (int(self.place) + torch.arange(len(x), device=x.device)) % len(self.features)
        self.features[slots] = x
        self.place.fill_((int(self.place) + len(x)) % len(self.features))
        self.count.fill_(min(int(self.count) + len(x), len(self.features)))
