"""By chance alone, but for look-alikes: what every other strategy has to beat."""

from collections.abc import Iterator

import numpy as np

from selftaught.judging.choosing.pool import Pool
from selftaught.judging.choosing.strategy import Pick, Strategy, Wanted
from selftaught.system import randomness


def random(pool: Pool, wanted: Wanted) -> Iterator[Pick]:
    """Open samples in an order that the seed draws."""
    for row in randomness.generator(wanted.seed, "choosing").permutation(len(pool.features)).tolist():
        if pool.open[row]:
            pool.take(np.array([row]))
            yield Pick(row, None)


STRATEGY = Strategy(choose=random, measure=None, digest="by chance")
