"""The few collective operations that objectives need; each is the identity in a single process."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def _running() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """This process's number."""
    return dist.get_rank() if _running() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if _running() else 1


def gather(x: Tensor) -> Tensor:
    """Stack x (B, ...) from every process to (world * B, ...), letting gradients flow back to each."""
    return _Gather.apply(x) if world_size() > 1 else x


def total(x: Tensor) -> Tensor:
    """The sum of x over all processes, letting gradients flow back to each."""
    return _Sum.apply(x) if world_size() > 1 else x


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        # Every process computes the loss from the same gathered rows, so each row's gradient is the sum of all.
        grad = grad.contiguous().clone()
        dist.all_reduce(grad)
        return grad.chunk(world_size())[rank()]


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.contiguous().clone()
        dist.all_reduce(grad)
        return grad
