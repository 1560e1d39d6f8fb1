"""Random numbers with an address: a pure function of seed, purpose, step, view position and row.

A row's numbers stand at a place of their own, to which a draw jumps, so they depend neither on the number of
processes and micro-batches nor on what was drawn before: a resumed run equals an uninterrupted one bit for bit, and
what a process draws costs what its own rows cost. The generator is numpy's counter-based Philox (Salmon et al., 2011).
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selftaught.system.context import holding
from selftaught.system.devices import moved

WORDS = 8  # of 32 bits, that Philox gives for each value of its counter; a float32 takes one
BLOCK = 2**18  # numbers, about a millisecond: what those have in common that cannot be jumped among
# Where rows stand whose numbers take more or fewer words each. "streams", of runs begun before there were blocks: one
# behind the other, so that those before must be drawn as well. "blocks": each block of rows is a stream of its own, of
# which the first is the former stream. A run keeps its way, which its plan says.
Way = Literal["streams", "blocks"]


@dataclass(frozen=True)
class Address:
    """Where draws are made: rows `start:stop` of a global batch of `total` samples, at a step, for one view."""

    seed: int
    step: int
    start: int
    stop: int
    total: int
    position: int = 0


_address: ContextVar[Address] = ContextVar("address")
_way: ContextVar[Way] = ContextVar("way", default="blocks")


def at(seed: int, step: int, rows: slice, total: int | None = None) -> AbstractContextManager[None]:
    """Draw for rows `rows.start:rows.stop` of the global batch of `total` (default: `rows.stop`) samples."""
    return holding(_address, Address(seed, step, rows.start or 0, rows.stop, total or rows.stop))


def view(position: int) -> AbstractContextManager[None]:
    """Draw for the view at `position`; two views of one sample draw different numbers."""
    return holding(_address, replace(here(), position=position))


def drawn_by(way: Way) -> AbstractContextManager[None]:
    """Draw as a run does that began this way."""
    return holding(_way, way)


def here() -> Address:
    """The current address."""
    try:
        return _address.get()
    except LookupError:
        raise RuntimeError("random numbers need an address: call inside `with randomness.at(...)`") from None


def generator(
    seed: int, purpose: str, step: int = 0, position: int = 0, *, stream: int = 0, after: int = 0
) -> np.random.Generator:
    """A generator at an address: key from seed and purpose, counter from step, position and `stream`.

    It starts `after` so many values of the counter, of `WORDS` words each.
    """
    # A key of its own for each purpose: drawing more for one never moves what another gets.
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=16).digest()
    # The low word of the counter is left to the draws themselves; the others hold the address.
    counter = np.array([after, stream, position, step], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype=np.uint64), counter=counter))


def _place(shape: Sequence[int]) -> tuple[Address, int]:
    """The current address, at which as many rows as `shape` has are drawn, and the numbers of a row."""
    address = here()
    if shape[0] != address.stop - address.start:
        raise ValueError(f"asked for {shape[0]} rows at an address of {address.stop - address.start}")
    return address, math.prod(shape[1:])


def _draw(purpose: str, address: Address, stream: int = 0, after: int = 0) -> np.random.Generator:
    return generator(address.seed, purpose, address.step, address.position, stream=stream, after=after)


def uniform(shape: Sequence[int], purpose: str, device: torch.device | str | None = None) -> Tensor:
    """Uniform float32 numbers in [0, 1); `shape[0]` is the number of rows at this address."""
    address, columns = _place(shape)
    after, passed = divmod(address.start * columns, WORDS)
    count = passed + shape[0] * columns
    numbers = _draw(purpose, address, after=after).random(count, dtype=np.float32)[passed:]
    return moved(torch.from_numpy(numbers.reshape(tuple(shape))), device)


def whole(shape: Sequence[int], purpose: str, device: torch.device | str | None = None) -> Tensor:
    """Uniform float32 numbers in [0, 1) that all rows of the global batch share: the same on every process."""
    numbers = _draw(purpose, here()).random(tuple(shape), dtype=np.float32)
    return moved(torch.from_numpy(numbers), device)


def whole_normal(shape: Sequence[int], purpose: str, device: torch.device | str | None = None) -> Tensor:
    """Standard normal float32 numbers that all rows of the global batch share: the same on every process."""
    numbers = _draw(purpose, here()).standard_normal(tuple(shape), dtype=np.float32)
    return moved(torch.from_numpy(numbers), device)


def normal(shape: Sequence[int], purpose: str, device: torch.device | str | None = None) -> Tensor:
    """Standard normal float32 numbers; `shape[0]` is the number of rows at this address."""
    numbers = _by_rows(lambda rng, count: rng.standard_normal(count, dtype=np.float32), shape, purpose)
    return moved(torch.from_numpy(numbers), device)


def integers(high: int, shape: Sequence[int], purpose: str, device: torch.device | str | None = None) -> Tensor:
    """Integers in [0, high), int64; `shape[0]` is the number of rows at this address."""
    numbers = _by_rows(lambda rng, count: rng.integers(high, size=count), shape, purpose)
    return moved(torch.from_numpy(numbers), device)


def _by_rows(draw: Callable[[np.random.Generator, int], NDArray], shape: Sequence[int], purpose: str) -> NDArray:
    """Numbers by `draw`, which takes another one where the first is not accepted, so that none can be jumped to."""
    address, columns = _place(shape)
    rows = max(1, BLOCK // max(1, columns)) if _way.get() == "blocks" else address.total
    parts = []
    for block in range(address.start // rows, -(-address.stop // rows)):
        first, stop = (min(max(row - block * rows, 0), rows) for row in (address.start, address.stop))
        parts.append(draw(_draw(purpose, address, stream=block), stop * columns)[first * columns :])
    return np.concatenate(parts).reshape(tuple(shape))


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
    number = int(generator(seed, "torch", step, rank).integers(2**32))
    # Without another device, torch.manual_seed takes most of a millisecond to note for one whence it was called.
    (torch.manual_seed if torch.accelerator.is_available() else torch.default_generator.manual_seed)(number)
