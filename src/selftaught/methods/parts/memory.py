"""Features of earlier batches, or one of every sample, kept as part of a method's state."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selftaught.methods.parts.mirrors import Mirror
from selftaught.system import distributed, randomness
from selftaught.system.errors import UsageError
from selftaught.system.memory import machine_memory
from selftaught.system.text import filesize

NUMBER = 4  # bytes of each number of a bank: float32


class Queue(nn.Module):
    """The newest `size` features, first in, first out; how many there are yet is part of its state."""

    def __init__(self, size: int, dim: int, *, filled: bool = False) -> None:
        """`filled`: start full of random unit vectors, as MoCo does (1911.05722)."""
        super().__init__()
        start = F.normalize(torch.randn(size, dim), dim=1) if filled else torch.zeros(size, dim)
        self.features = nn.Buffer(start)
        self.place = nn.Buffer(torch.zeros((), dtype=torch.int64))
        self.count = nn.Buffer(torch.tensor(size if filled else 0))
        self._place, self._count = Mirror(), Mirror()

    @property
    def full(self) -> bool:
        """Whether every slot holds a feature."""
        return self._count.read(self.count) == len(self.features)

    @torch.no_grad()
    def push(self, x: Tensor) -> None:
        """Put features x (B, dim) of all processes in, in place of the oldest."""
        # Of all processes, so that each holds the same queue; of more than fits, the last.
        x = distributed.gather(x.detach()).to(self.features.dtype)[-len(self.features) :]
        place, count = int(self._place.read(self.place)), int(self._count.read(self.count))
        slots = (place + torch.arange(len(x), device=x.device)) % len(self.features)
        self.features[slots] = x
        self._place.write(self.place, (place + len(x)) % len(self.features))
        self._count.write(self.count, min(count + len(x), len(self.features)))


class Bank(nn.Module):
    """One unit vector for every sample of the data: a moving average of its features.

    Each process holds all of it, count x dim x 4 bytes: 51 GB for a hundred million samples of 128 numbers.
    """

    def __init__(self, count: int, dim: int, *, filled: bool = True, beside: int = 0) -> None:
        """`filled`: start with random vectors, else with zeros; `beside`: what else the method keeps of each sample, in
        numbers of as many bytes.

        Raises UsageError where all of it is larger than the machine's memory, before taking any.
        """
        super().__init__()
        self.kept = dim + beside
        refuse_beyond(machine_memory(), count, self.kept)
        start = F.normalize(torch.randn(count, dim), dim=1) if filled else torch.zeros(count, dim)
        self.features = nn.Buffer(start)

    def drawn(self, count: int) -> Tensor:
        """The numbers of `count` slots drawn as noise (count,), the same for all of the batch."""
        return randomness.indices(randomness.whole((count,), "noise", self.features.device), len(self.features))

    @torch.no_grad()
    def push(self, index: Tensor, x: Tensor, momentum: float) -> None:
        """Move the slots `index` (B,) towards features x (B, dim) of all processes, and back to unit length."""
        index, x = distributed.gather(index), distributed.gather(x.detach()).to(self.features.dtype)
        # Unit length before, or a long feature would count for more, and after, as the mean of two is shorter.
        moved = torch.lerp(F.normalize(x, dim=1), self.features[index], momentum)
        self.features[index] = F.normalize(moved, dim=1)


def refuse_beyond(memory: int, count: int, numbers: int) -> None:
    """Raise UsageError where what is kept of `count` samples, of each so many numbers, takes more than `memory`."""
    sample = numbers * NUMBER
    if count * sample > memory:
        taken = f"{filesize(count * sample)} in every process"
        raise UsageError(
            f"the method keeps {numbers} numbers of each of {count:,} samples, {taken}, and there are "
            f"{filesize(memory)} of memory: use --limit {memory // (2 * sample)}, a smaller --method.dim, or a method "
            "that keeps nothing of each sample, such as moco or swav"
        )


def kept_of_each(method: nn.Module) -> int:
    """The numbers that a method keeps of each sample of the data: what its banks say, each of all."""
    return max((bank.kept for bank in _banks(method)), default=0)


def refuse_banks_beyond(memory: int, method: nn.Module) -> None:
    """Raise UsageError where what a method keeps of each sample takes more than `memory` bytes, those of a device."""
    for bank in _banks(method)[:1]:  # each speaks for all
        refuse_beyond(memory, len(bank.features), bank.kept)


def _banks(method: nn.Module) -> list[Bank]:
    return [module for module in method.modules() if isinstance(module, Bank)]
