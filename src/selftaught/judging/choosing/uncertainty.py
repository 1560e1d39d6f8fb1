"""Uncertainty sampling (Lewis and Gale, 1994, cmp-lg/9407020): what a classifier is least sure of."""

from collections.abc import Iterator

import numpy as np

from selftaught.judging.choosing.pool import Array, Pool
from selftaught.judging.choosing.strategy import Pick, Strategy, Wanted


def uncertainty(pool: Pool, wanted: Wanted) -> Iterator[Pick]:
    """The open sample whose likeliest class is the least likely; its worth is what is left for all others."""
    assert wanted.probabilities is not None
    yield from by_worth(pool, 1 - wanted.probabilities.max(axis=1))


def by_worth(pool: Pool, worth: Array, shown: Array | None = None) -> Iterator[Pick]:
    """Open samples, what is worth most (N,) first; `shown` is what is said of each, where that is something else."""
    told = worth if shown is None else shown
    for row in np.argsort(-worth, kind="stable").tolist():
        if pool.open[row]:
            pool.take(np.array([row]))
            yield Pick(row, float(told[row]))


STRATEGY = Strategy(
    choose=uncertainty, measure="uncertainty", digest="what a classifier is least sure of", needs_classifier=True
)
