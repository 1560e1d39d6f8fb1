"""A slow copy of a network, whose outputs serve as targets."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from .profiling import part


class Teacher(nn.Module):
    """A gradient-free copy of some modules, applied in turn, that follows them by moving average."""

    def __init__(self, *students: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(deepcopy(student) for student in students).requires_grad_(False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """What the copies make of x, without a graph."""
        with part("teacher"):
            for layer in self.layers:
                x = layer(x)
        return x

    @torch.no_grad()
    def follow(self, *students: nn.Module, momentum: float) -> None:
        """Move each weight to `momentum * own + (1 - momentum) * student`.

        Statistics that the copies keep themselves (BatchNorm's) are their own: they see the teacher's activations.
        """
        own: list[Tensor] = [p for layer in self.layers for p in layer.parameters()]
        theirs: list[Tensor] = [p.detach() for student in students for p in student.parameters()]
        torch._foreach_lerp_(own, theirs, 1 - momentum)
