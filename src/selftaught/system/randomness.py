"""Random numbers with an address: a pure function of seed, purpose, step, view position and row.

Every draw is made for the whole global batch and sliced to the rows at hand, so the numbers a sample gets
depend neither on the number of processes and micro-batches nor on what was drawn before: a resumed run equals
an uninterrupted one bit for bit. The generator is numpy's counter-based Philox (Salmon et al., 2011).
"""

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selftaught.system.context import holding
from selftaught.system.devices import moved


@dataclass(frozen=True)
class Address:
    """Where draws are made: rows `start:stop` of a global batch of `total` samples, at a step, for one view."""

    seed: int
    step: int
    start: int
    stop: int
    total: int
    position: int = 0

    @property
    def rows(self) -> slice:
        """Which rows of the global batch these are."""
        return slice(self.start, self.stop)


_address: ContextVar[Address] = ContextVar("address")


def at(seed: int, step: int, rows: slice, total: int | None = None) -> AbstractContextManager[None]:
    """Draw for rows `rows.start:rows.stop` of the global batch of `total` (default: `rows.stop`) samples."""
    return holding(_address, Address(seed, step, rows.start or 0, rows.stop, total or rows.stop))


def view(position: int) -> AbstractContextManager[None]:
    """Draw for the view at `position`; two views of one sample draw different numbers."""
    return holding(_address, replace(here(), position=position))


def here() -> Address:
    """The current address."""
    try:
        return _address.get()
    except LookupError:
        raise RuntimeError("random numbers need an address: call inside `with randomness.at(...)`") from None


def generator(seed: int, purpose: str, step: int = 0, position: int = 0) -> np.random.Generator:
    """A generator at an address: key from seed and purpose, counter from step and position."""
    # A key of its own for each purpose: drawing more for one never moves what another gets.
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=16).digest()
    # The low word of the counter is left to the draws themselves; the others hold the address.
    counter = np.array([0, 0, position, step], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype=np.uint64), counter=counter))


def _draw(purpose: str) -> tuple[np.random.Generator, Address]:
    address = here()
    return generator(address.seed, purpose, address.step, address.position), address


def _rows(numbers: NDArray, address: Address, shape: Sequence[int], device: torch.device | str | None) -> Tensor:
    # All rows were drawn, and most may be thrown away: that is the price of numbers that do not depend on who asks.
    if shape[0] != address.stop - address.start:
        raise ValueError(f"asked for {shape[0]} rows at an address of {address.stop - address.start}")
    return moved(torch.from_numpy(numbers[address.start : address.stop]), device)


def uniform(shape: Sequence[int], purpose: str, device: torch.device | str | None = None) -> Tensor:
    """Uniform float32 numbers in [0, 1); `shape[0]` is the number of rows at this address."""
    rng, address = _draw(purpose)
    return _rows(rng.random((address.total, *shape[1:]), dtype=np.float32), address, shape, device)


def whole(shape: Sequence[int], purpose: str, device: torch.device | str | None = None) -> Tensor:
    """Uniform float32 numbers in [0, 1) that all rows of the global batch share: the same on every process."""
    rng, _ = _draw(purpose)
    return moved(torch.from_numpy(rng.random(tuple(shape), dtype=np.float32)), device)


def whole_normal(shape: Sequence[int], purpose: str, device: torch.device | str | None = None) -> Tensor:
    """Standard normal float32 numbers that all rows of the global batch share: the same on every process."""
    rng, _ = _draw(purpose)
    return moved(torch.from_numpy(rng.standard_normal(tuple(shape), dtype=np.float32)), device)


def normal(shape: Sequence[int], purpose: str, device: torch.device | str | None = None) -> Tensor:
    """Standard normal float32 numbers; `shape[0]` is the number of rows at this address."""
    rng, address = _draw(purpose)
    return _rows(rng.standard_normal((address.total, *shape[1:]), dtype=np.float32), address, shape, device)


def integers(high: int, shape: Sequence[int], purpose: str, device: torch.device | str | None = None) -> Tensor:
    """Integers in [0, high), int64; `shape[0]` is the number of rows at this address."""
    rng, address = _draw(purpose)
    return _rows(rng.integers(high, size=(address.total, *shape[1:])), address, shape, device)


def indices(draws: Tensor, count: int) -> Tensor:
    """Uniform numbers in [0, 1) as indices of `count` things, int64."""
    # A float32 holds 24 bits: where there are more things than that, the product may round up to one too many.
    return (draws * count).long().clamp(max=count - 1)


def permutation(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order in which an epoch visits `count` samples (count,)."""
    # The epoch stands where a step does elsewhere, so that a resumed run finds its order without replaying any.
    return generator(seed, "order", epoch).permutation(count)


def subset(rows: NDArray[np.int64], labels: Sequence[str] | None, limit: int | None, seed: int) -> NDArray[np.int64]:
    """At most `limit` of `rows`, drawn and ascending; each class in proportion where there are labels, by row."""
    if limit is None or limit >= len(rows):
        return rows
    shuffled = rows[generator(seed, "limit").permutation(len(rows))]
    if labels:  # every class's share comes first in its own shuffled order
        _, own, counts = np.unique(np.array(labels)[shuffled], return_inverse=True, return_counts=True)
        place = np.empty(len(rows))  # there may be as many classes as rows, where labels are numbers
        place[np.argsort(own, kind="stable")] = np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)
        shuffled = shuffled[np.argsort((place + 0.5) / counts[own], kind="stable")]
    return np.sort(shuffled[:limit])


def seed_torch(seed: int, step: int, rank: int) -> None:
    """Seed torch's own generators, which dropout and drop-path use; not invariant to the number of processes."""
    torch.manual_seed(int(generator(seed, "torch", step, rank).integers(2**32)))
