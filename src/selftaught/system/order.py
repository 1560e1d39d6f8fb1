"""In which order an epoch shows samples: a pure function of seed, epoch and place, so nothing of it is ever saved.

`Full` shuffles everything, by an array of all numbers. `Blocks` takes no memory, whatever the number of samples: what
lies side by side is shown in blocks, which are permuted, and mixed a few at a time, so that a disk or a network reads
each block once an epoch and in one go. A batch is made of as many lanes as processes may share, each of which goes
through blocks of its own; which processes there are changes nothing.
"""

import hashlib
from functools import lru_cache
from math import gcd
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from selftaught.system import randomness

Kind = Literal["full", "blocks"]
Rows = NDArray[np.int64]
Words = NDArray[np.uint64]

LANES = 16  # of a batch, at most; so many processes, or a divisor of them, read different blocks
BLOCK = 4096  # samples, at most
FEWEST = 64  # blocks of a lane, where there are as many samples
WINDOW = 4  # blocks of a lane that are mixed
ROUNDS = 8  # of a Feistel network; four make any permutation (Luby and Rackoff, 1988), but of very few things
MIXING = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)  # of SplitMix64 (Steele, Lea and Flood, 2014)


class Order(Protocol):
    """Which samples a batch of an epoch shows."""

    def __call__(self, epoch: int, batch: int, start: int, stop: int) -> Rows:
        """The numbers of the samples at places `start:stop` of a batch, by its number in the epoch."""


class Full(Order):
    """Everything is shuffled."""

    def __init__(self, seed: int, count: int, size: int) -> None:
        """`count` samples in batches of `size`."""
        self._size = size
        # Two: of this epoch, and of the next where steps look ahead.
        self._order = lru_cache(2)(lambda epoch: randomness.permutation(seed, epoch, count))

    def __call__(self, epoch: int, batch: int, start: int, stop: int) -> Rows:
        first = batch * self._size
        return self._order(epoch)[first + start : first + stop]


class Apart(Full):
    """Everything is shuffled, and no batch holds two of a group, as long as there are batches enough to part them."""

    def __init__(self, seed: int, groups: Rows, size: int) -> None:
        """`groups` (N,): of each sample the number of its group; in batches of `size`."""
        super().__init__(seed, len(groups), size)
        self._order = lru_cache(2)(lambda epoch: self._dealt(seed, epoch, groups))

    def _dealt(self, seed: int, epoch: int, groups: Rows) -> Rows:
        """An order whose groups stand in one line each behind the other, dealt out to the batches like cards."""
        batches = len(groups) // self._size
        shown = randomness.permutation(seed, epoch, len(groups))[: batches * self._size]
        _, first, own = np.unique(groups[shown], return_index=True, return_inverse=True)
        line = shown[np.argsort(first[own.reshape(-1)], kind="stable")]  # the groups as they are first met
        # The batches are shuffled as well: neighbours have the same groups, and a queue holds the batches before.
        order = randomness.generator(seed, "batches", epoch).permutation(batches)
        return line.reshape(self._size, batches)[:, order].T.reshape(-1)


class Blocks(Order):
    """What lies side by side stays together: an epoch is a line of permuted blocks, of which each lane has a part."""

    def __init__(self, seed: int, count: int, size: int) -> None:
        """`count` samples in batches of `size`."""
        self._seed, self._count = seed, count
        lanes = gcd(size, LANES)
        self.share = size // lanes  # of a batch, for a lane
        self.span = count // size * self.share  # of an epoch, for a lane
        self.block = max(1, min(BLOCK, count // (lanes * FEWEST)))

    def __call__(self, epoch: int, batch: int, start: int, stop: int) -> Rows:
        lanes, within = np.divmod(np.arange(start, stop), self.share)
        line = lanes * self.span + batch * self.share + within
        return self._samples(self._mixed(line, lanes, epoch), epoch)

    def _mixed(self, line: Rows, lanes: Rows, epoch: int) -> Rows:
        """Places on the line, shuffled inside the windows of their lanes."""
        width = WINDOW * self.block
        windows = line // width
        low = np.maximum(windows * width, lanes * self.span)
        high = np.minimum((windows + 1) * width, (lanes + 1) * self.span)
        own, which = np.unique(np.stack([lanes, windows]), axis=1, return_inverse=True)
        keys = np.stack([keys_of(self._seed, "window", epoch, *pair) for pair in own.T.tolist()])
        return low + permuted(line - low, high - low, keys[which.reshape(-1)].T)

    def _samples(self, line: Rows, epoch: int) -> Rows:
        """The samples at places on the line: its blocks begin at another one each epoch, the last may be shorter."""
        whole = self._count // self.block
        number, within = np.divmod(line, self.block)
        number = np.where(number < whole, permuted(number % whole, whole, keys_of(self._seed, "blocks", epoch)), number)
        return (number * self.block + within + self.begin(epoch)) % self._count

    def begin(self, epoch: int) -> int:
        """The sample at which the first block of an epoch begins, as the others follow it."""
        whole = self._count // self.block
        keys = keys_of(self._seed, "begin", epoch // whole)
        return self.block * int(permuted(np.array([epoch % whole]), whole, keys)[0])


ORDERS: dict[Kind, type[Full] | type[Blocks]] = {"full": Full, "blocks": Blocks}


def permuted(places: Rows, count: Rows | int, keys: Words) -> Rows:
    """Where each of some places (N,) in [0, count) goes in the permutation that is told by keys, of `keys_of`.

    count, keys: of all places alike, or (N,) and (ROUNDS, N) of each. A Feistel network on the next power of four, gone
    through again until it ends inside (Black and Rogaway, 2002).
    """
    counts, which = np.unique(count, return_inverse=True)
    halves = np.array([max(1, (int(one - 1).bit_length() + 1) // 2) for one in counts.tolist()], np.uint64)
    ends, half = (np.broadcast_to(of[which.reshape(-1)], places.shape) for of in (counts.astype(np.uint64), halves))
    keys = np.broadcast_to(keys.reshape(ROUNDS, -1), (ROUNDS, *places.shape))
    made = places.astype(np.uint64)
    left = np.arange(len(places))
    while len(left):
        made[left] = _round_about(made[left], half[left], keys[:, left])
        left = left[made[left] >= ends[left]]
    return made.astype(np.int64)


def _round_about(words: Words, half: Words, keys: Words) -> Words:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = words >> half, words & mask
    for key in keys:
        left, right = right, left ^ (_scrambled(right ^ key) & mask)
    return (left << half) | right


def _scrambled(words: Words) -> Words:
    words = words * MIXING[0]
    words ^= words >> np.uint64(29)
    words *= MIXING[1]
    return words ^ (words >> np.uint64(32))


@lru_cache(256)
def keys_of(*told: str | int) -> Words:
    """Keys (ROUNDS,) for what is told."""
    digest = hashlib.blake2b("/".join(map(str, told)).encode(), digest_size=8 * ROUNDS).digest()
    return np.frombuffer(digest, np.uint64)
