"""Which samples are far from all others, and which just like another, by their features alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from selftaught.judging.neighbours import neighbours
from selftaught.system.interruption import poll

DEVIATIONS = 1.4826  # of normal numbers: the deviation over the median of how far they are from their median

Array = NDArray[Any]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Surroundings:
    """What lies around each sample."""

    reach: Array  # (N,) the distance of the k-th neighbour
    pairs: Rows  # (2, M) rows of look-alikes, each pair once
    apart: Array  # (M,) their distances

    @property
    def groups(self) -> Rows:
        """Of each sample a number (N,), the same for look-alikes, and for what is like these."""
        count = len(self.reach)
        links = coo_array((np.ones(self.pairs.shape[1], np.int8), tuple(self.pairs)), shape=(count, count))
        return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


def surroundings(
    features: Array,
    k: int,
    near: float,
    progress: Callable[[int, int], None] = lambda done, total: None,
    recordings: Rows | None = None,
) -> Surroundings:
    """Of features (N, D) of length one: how far the k-th of the other samples is, and all pairs up to `near` apart.

    Of a sample that has more than k look-alikes the nearest k are found, which lead to the others. recordings: of each
    sample the number of what it is a part of (N,), two of them at least; its neighbours are then those of others alone,
    or whatever goes on for as long as k samples would look usual. Where k are not outside of the largest, k is as many.
    """
    unit = torch.from_numpy(np.ascontiguousarray(features))
    largest = 1 if recordings is None else int(np.bincount(recordings).max())
    k, itself = min(k, len(features) - largest), int(recordings is None)
    parts = None if recordings is None else torch.from_numpy(recordings)
    reach, pairs, apart, start = [], [], [], 0
    for similarity, rows in neighbours(unit, unit, k + itself, parts):
        poll()
        own = np.arange(start, start + len(rows))
        cosine = similarity.numpy().astype(np.float64)
        cosine[rows.numpy() == own[:, None]] = np.inf  # itself comes first, whatever lies in the very same place
        order = np.argsort(-cosine, axis=1, kind="stable")[:, itself:]
        other = np.take_along_axis(rows.numpy(), order, axis=1)
        distance = np.sqrt(np.maximum(2 - 2 * np.take_along_axis(cosine, order, axis=1), 0))
        reach.append(distance[:, -1])
        here, place = np.nonzero(distance <= near)
        pairs.append(np.stack([own[here], other[here, place]]))
        apart.append(distance[here, place])
        start += len(rows)
        progress(start, len(features))
    both, first = np.unique(np.sort(np.concatenate(pairs, axis=1), axis=0), axis=1, return_index=True)
    return Surroundings(np.concatenate(reach), both.astype(np.int64), np.concatenate(apart)[first])


def oddness(reach: Array) -> Array:
    """How far each sample is from its neighbours, as the set goes: in deviations above the median (N,).

    reach: the distance of the k-th neighbour (Ramaswamy, Rastogi and Shim, 2000,
    https://doi.org/10.1145/342009.335437; of deep features Sun, Ming, Zhu and Li, 2022, 2204.06507). The deviation is
    that of the median, which what is odd does not move (Iglewicz and Hoaglin, 1993, who list what is beyond 3.5).
    """
    median = np.median(reach)
    deviation = DEVIATIONS * np.median(np.abs(reach - median))
    return np.asarray((reach - median) / max(float(deviation), 1e-6))
