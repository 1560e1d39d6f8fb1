"""Samples to choose from by their features: whoever is chosen takes along all that look just like it.

Features have length one, so the distance of two is that of their directions, sqrt(2 - 2 cosine), from 0 to 2.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 24  # distances that are held at once
LOOKED_AT = 1000  # samples at most whose nearest neighbour tells how near neighbours usually are
ALIKE = 0.2  # of that: what is nearer looks just alike
SAME = 2e-3  # distances that rounding may leave of none, as cosines in float32 are right to 1e-6

Array = NDArray[Any]
Rows = NDArray[np.int64]


class Pool:
    """Features of samples, and which of these may still be chosen."""

    def __init__(self, features: Array, content: Rows | None = None, near: float = 0.0) -> None:
        """features: (N, D) of length one; content: (N,) the same for copies; near: the distance of look-alikes."""
        self.features = features
        self.content = np.arange(len(features)) if content is None else content
        self.near = near
        self.open = np.ones(len(features), dtype=bool)

    def take(self, rows: Rows) -> None:
        """Close these samples, their copies and their look-alikes."""
        self.open[np.isin(self.content, self.content[rows])] = False
        if self.near > 0:
            for apart in self.distances(rows):
                self.open[(apart <= self.near).any(axis=1)] = False

    def distances(self, rows: Rows) -> Iterator[Array]:
        """Of all samples from `rows`: (N, m), some of these at a time."""
        at_once = max(1, CHUNK // len(self.features))
        for start in range(0, len(rows), at_once):
            yield distances(self.features, self.features[rows[start : start + at_once]])

    def best(self, worth: Array) -> int | None:
        """Which open sample is worth most (N,), the first among equals; None where none is open."""
        return int(np.where(self.open, worth, -np.inf).argmax()) if self.open.any() else None


def distances(one: Array, other: Array) -> Array:
    """Of features of length one (N, D) from others (M, D): (N, M)."""
    return np.sqrt(np.maximum(2 - 2 * (one @ other.T), 0))


def look_alike(features: Array, recordings: Rows | None = None) -> float:
    """How near two samples are at most that look just alike: a fifth of how near neighbours usually are.

    A fixed distance would not do: to a network that has learnt little all samples are near each other. What is usual
    is the median of a thousand samples' nearest neighbours but copies, evenly spread. 0 where there are copies alone.
    recordings: of each sample the number of what it is a part of (N,), where neighbours are those of others alone.
    """
    rows = np.unique(np.linspace(0, len(features) - 1, min(LOOKED_AT, len(features))).astype(np.int64))
    at_once, nearest = max(1, CHUNK // len(features)), []
    for start in range(0, len(rows), at_once):
        apart = distances(features[rows[start : start + at_once]], features)
        apart[apart < SAME] = np.inf
        if recordings is not None:
            apart[recordings[rows[start : start + at_once], None] == recordings] = np.inf
        nearest.append(apart.min(axis=1))
    found = np.concatenate(nearest)
    found = found[np.isfinite(found)]
    return ALIKE * float(np.median(found)) if len(found) else 0.0
