"""Core-set (Sener and Savarese, 2018, 1708.00489, algorithm 1): k centres, each the farthest from those before.

So every sample has a chosen one near it, also those that are like no others: what is odd comes early. Where nothing is
labelled yet, the first is the one nearest to the mean of all, where the authors have labels that were drawn.
"""

from collections.abc import Iterator

import numpy as np

from selftaught.judging.choosing.pool import Pool
from selftaught.judging.choosing.strategy import Pick, Strategy, Wanted
from selftaught.system.interruption import poll


def coreset(pool: Pool, wanted: Wanted) -> Iterator[Pick]:
    """The open sample that is farthest from all that are labelled or chosen; its worth is that distance."""
    reach = np.full(len(pool.features), np.inf)
    for apart in pool.distances(wanted.labelled):
        poll()
        reach = np.minimum(reach, apart.min(axis=1))
    first = not len(wanted.labelled)
    while (row := pool.best(pool.features @ pool.features.mean(axis=0) if first else reach)) is not None:
        worth = None if first else float(reach[row])
        first = False
        for apart in pool.distances(np.array([row])):
            reach = np.minimum(reach, apart[:, 0])
        pool.take(np.array([row]))
        yield Pick(row, worth)


STRATEGY = Strategy(choose=coreset, measure="distance", digest="whatever is farthest from all that are chosen")
