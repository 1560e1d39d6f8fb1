"""ProbCover (Yehuda, Dekel, Hacohen and Weinshall, 2022, 2205.11320, algorithm 1): cover most with balls of one radius.

The radius is the largest at which 95 % of balls hold samples of a single class, classes being k-means
clusters, as many as there are thought to be: so it is the twentieth part from below of how far samples are from the
nearest of another cluster. Deviation: where all is covered before enough are chosen, covering begins anew.
"""

from collections.abc import Iterator

import numpy as np

from selftaught.judging.choosing.pool import CHUNK, Array, Pool, Rows, distances
from selftaught.judging.choosing.strategy import Pick, Strategy, Wanted
from selftaught.judging.choosing.typiclust import clusters
from selftaught.system.interruption import poll

PURE = 0.95  # of the balls
LOOKED_AT = 2000  # samples at most that choose the radius, evenly spread


def probcover(pool: Pool, wanted: Wanted) -> Iterator[Pick]:
    """The open sample whose ball holds the most that nothing covers yet; its worth is how many these are."""
    within = radius(pool.features, wanted.classes, wanted.seed)
    everything = _held(pool.features, np.arange(len(pool.features)), within, wanted)
    covered = np.zeros(len(pool.features), dtype=bool)
    for apart in pool.distances(wanted.labelled):
        covered |= (apart <= within).any(axis=1)
    held = everything - _held(pool.features, np.flatnonzero(covered), within, wanted)
    while (row := pool.best(held)) is not None:
        if not held[row]:
            covered, held = np.zeros_like(covered), everything.copy()
            row = pool.best(held)
            assert row is not None
        (apart,) = pool.distances(np.array([row]))
        new = (apart[:, 0] <= within) & ~covered
        worth, covered = float(held[row]), covered | new
        held = held - _held(pool.features, np.flatnonzero(new), within, wanted)
        pool.take(np.array([row]))
        yield Pick(row, worth)


def _held(features: Array, rows: Rows, within: float, wanted: Wanted) -> Rows:
    """How many of `rows` lie in the ball around each sample (N,)."""
    count = np.zeros(len(features), dtype=np.int64)
    at_once = max(1, CHUNK // len(features))
    for start in range(0, len(rows), at_once):
        poll()
        count += (distances(features, features[rows[start : start + at_once]]) <= within).sum(axis=1)
        wanted.progress(min(start + at_once, len(rows)), len(rows))
    return count


def radius(features: Array, classes: int, seed: int) -> float:
    """The largest at which 95 % of the balls are pure."""
    rows = np.unique(np.linspace(0, len(features) - 1, min(LOOKED_AT, len(features))).astype(np.int64))
    some = features[rows]
    of = clusters(some, classes, seed)
    apart = np.where(of[:, None] == of, np.inf, distances(some, some)).min(axis=1)
    apart = apart[np.isfinite(apart)]
    return float(np.quantile(apart, 1 - PURE, method="lower")) if len(apart) else 2.0


STRATEGY = Strategy(choose=probcover, measure="covered", digest="whatever is like the most that are like no chosen one")
