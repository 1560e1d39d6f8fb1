"""The few collective operations that objectives need; each is the identity in a single process."""

from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from selftaught.system.context import holding
from selftaught.system.devices import moved

_alone: ContextVar[bool] = ContextVar("alone", default=False)


def _running() -> bool:
    return dist.is_available() and dist.is_initialized() and not _alone.get()


# Called otherwise since torch 2.14, which warns of the former names.
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
_reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor


def rank() -> int:
    """This process's number."""
    return dist.get_rank() if _running() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if _running() else 1


WAYS = ("gather", "total", "shuffled")


class Exchange(NamedTuple):
    """What a process has for the others, once: bytes of its own."""

    way: str  # one of WAYS
    size: int
    back: bool  # whether gradients come back the same way


_noted: ContextVar[list[Exchange] | None] = ContextVar("noted", default=None)


def noting(into: list[Exchange]) -> AbstractContextManager[None]:
    """Let a list have every exchange that is asked for inside, be there others or not."""
    return holding(_noted, into)


def _note(way: str, x: Tensor) -> None:
    if (into := _noted.get()) is not None:
        into.append(Exchange(way, x.nbytes, x.requires_grad and torch.is_grad_enabled() and way != "shuffled"))


def gather(x: Tensor) -> Tensor:
    """Stack x (B, ...) from every process to (world * B, ...), letting gradients flow back to each."""
    _note("gather", x)
    return _Gather.apply(x) if world_size() > 1 else x


def total(x: Tensor) -> Tensor:
    """The sum of x over all processes, letting gradients flow back to each."""
    _note("total", x)
    return _Sum.apply(x) if world_size() > 1 else x


def shuffled(x: Tensor, order: Tensor) -> Tensor:
    """This process's share (B, ...) of the rows of all processes, x (B, ...) each, in another order, without gradients.

    order: (world * B,), the same everywhere, on the CPU. Each row goes to the one process that is to have it.
    """
    _note("shuffled", x)
    if world_size() == 1:
        return x[moved(order, x.device)]
    wanted, share = order.view(world_size(), -1), len(x)
    sent = [rows[rows // share == rank()] - rank() * share for rows in wanted]
    source = wanted[rank()] // share
    come = torch.empty_like(x, memory_format=torch.contiguous_format)
    counts = source.bincount(minlength=world_size()).tolist()
    dist.all_to_all_single(come, x[moved(torch.cat(sent), x.device)], counts, [len(rows) for rows in sent])
    # They come by source, and of each in the order wanted.
    return come[moved(source.argsort(stable=True).argsort(), x.device)]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return each(x).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        # Every process computes the loss from the same gathered rows, so each row's gradient is the sum of all.
        # Nobody needs the sums of others' rows: gloo and NCCL know how to leave them where they belong.
        own = grad.new_empty(len(grad) // world_size(), *grad.shape[1:])
        _reduce_scatter(own, grad.contiguous())
        return own


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return summed(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return summed(grad)  # every process's loss depends on every x


def summed(x: Tensor, group: Any = None) -> Tensor:
    """The sum of x over the processes of a group, or over all, without gradients."""
    x = x.contiguous().clone()
    dist.all_reduce(x, group=group)
    return x


def each(x: Tensor, group: Any = None) -> Tensor:
    """x of every process of a group, or of all, (world, *x.shape), without gradients."""
    stacked = x.new_empty(dist.get_world_size(group), *x.shape)
    _all_gather(stacked.view(-1), x.contiguous().view(-1), group=group)
    return stacked


def alone() -> AbstractContextManager[None]:
    """Let all inside, batch norm too, see only what this process holds, as in one that has no others."""
    return holding(_alone, True)


def is_alone() -> bool:
    """Whether `alone` is in force."""
    return _alone.get()


_block: ContextVar[int] = ContextVar("block", default=0)


def among(count: int) -> AbstractContextManager[None]:
    """Let batch norms sum over this process and its neighbours by number, so many in all; 0: over all of theirs."""
    return holding(_block, count)


def block() -> int:
    """What `among` says."""
    return _block.get()


_groups: dict[int, Any] = {}  # of the processes at hand, by how many are in each


def in_blocks(count: int) -> Any:
    """The group of this process, where every `count` processes in their order are one; all have to ask at once."""
    if count not in _groups:
        _groups[count] = dist.new_subgroups(count)[0]
    return _groups[count]


def forget_groups() -> None:
    """Know of no groups any more, as the processes part."""
    _groups.clear()
