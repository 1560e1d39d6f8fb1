"""Which rows of a tensor are this process's, where a tensor is spread over several: consecutive ones of dimension 0."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor

from selftaught.system.errors import DataError

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

SPREAD = "torch.distributed.tensor"  # slow to import, and there wherever a tensor is spread


class CheckpointError(DataError):
    """A checkpoint is damaged or incomplete, or is that of another network."""


@dataclass(frozen=True)
class Rows:
    """What a process holds of a tensor."""

    held: Tensor  # (end - begin, ...), or the whole
    shape: tuple[int, ...]  # of the whole
    begin: int = 0
    split: bool = False  # whether others hold other rows; else everybody holds all of it
    spare: bool = False  # whether another process holds the very same rows, and writes them

    @property
    def end(self) -> int:
        return self.begin + len(self.held) if self.split else self.shape[0] if self.shape else 1

    @property
    def is_everywhere(self) -> bool:
        """Whether each process has the same, be it nothing."""
        return not self.split or self.shape[0] == 0

    @property
    def nbytes(self) -> int:
        """Of the whole."""
        return math.prod(self.shape) * self.held.itemsize


def rows_of(tensor: Tensor | Rows) -> Rows:
    """What is here of a tensor. Raises CheckpointError for one that is spread by anything but rows."""
    if isinstance(tensor, Rows):
        return tensor
    return _rows_here(tensor) if is_split(tensor) else Rows(tensor.detach(), tuple(tensor.shape))


def _rows_here(tensor: "DTensor") -> Rows:
    at: Sequence[int] = tensor.device_mesh.get_coordinate() or ()
    ways = list(zip(tensor.placements, at, tensor.device_mesh.shape, strict=True))
    begin, end, spare = _share(len(tensor), ways) if tensor.ndim else (0, 1, any(at))
    held = tensor.to_local().detach()
    if tensor.ndim and len(held) != end - begin:
        raise CheckpointError(f"{len(held)} rows of a tensor are here, where {end - begin} were to be")
    return Rows(held, tuple(tensor.shape), begin, any(way.is_shard() and size > 1 for way, _, size in ways), spare)


def is_split(tensor: Tensor) -> "TypeGuard[DTensor]":
    """Whether torch calls a tensor one that several processes hold."""
    module: Any = sys.modules.get(SPREAD)
    return module is not None and isinstance(tensor, module.DTensor)


def _share(count: int, ways: list[tuple[Any, int, int]]) -> tuple[int, int, bool]:
    """First and last of `count` rows that a process holds, and whether others hold the same.

    ways: for each dimension of the mesh of processes, how rows are placed, its place there and how many there are.
    """
    begin, end, spare = 0, count, False
    for way, place, size in ways:
        if way.is_shard(0) and type(way).__name__ == "Shard":
            first, last = part(end - begin, place, size)
            begin, end = begin + first, begin + last
        elif way.is_replicate():
            spare = spare or place > 0
        else:
            raise CheckpointError(f"a tensor that is spread as {way} cannot be saved; rows of dimension 0 can")
    return begin, end, spare


def whole(tensor: Tensor) -> Tensor:
    """All rows of a tensor; those that hold it call this together."""
    return tensor.full_tensor() if is_split(tensor) else tensor


def part(count: int, place: int, size: int) -> tuple[int, int]:
    """The rows that number `place` of `size` processes holds, as torch deals them out: equal shares but for the last.

    >>> [part(10, place, 4) for place in range(4)]
    [(0, 3), (3, 6), (6, 9), (9, 10)]
    """
    share = -(-count // size)
    return min(place * share, count), min((place + 1) * share, count)


def on_host(groups: Mapping[str, Mapping[str, Tensor | Rows]]) -> dict[str, dict[str, Rows]]:
    """A copy of all that is here, which stays as it is whatever becomes of the tensors. A card is waited for once."""
    copies = {group: {name: _copied(rows_of(x)) for name, x in tensors.items()} for group, tensors in groups.items()}
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return copies


def _copied(rows: Rows) -> Rows:
    """The same rows on the host; from a card they are still on their way."""
    card = rows.held.is_cuda and torch.cuda.is_available()
    copy = torch.empty_like(rows.held, device="cpu", pin_memory=card)
    return replace(rows, held=copy.copy_(rows.held, non_blocking=card))
