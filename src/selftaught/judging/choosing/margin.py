"""Margin sampling (Scheffer, Decomain and Wrobel, 2001): where two classes are nearly as likely.

https://doi.org/10.1007/3-540-44816-0_31
"""

from collections.abc import Iterator

import numpy as np

from selftaught.judging.choosing.pool import Pool
from selftaught.judging.choosing.strategy import Pick, Strategy, Wanted
from selftaught.judging.choosing.uncertainty import by_worth


def margin(pool: Pool, wanted: Wanted) -> Iterator[Pick]:
    """The open sample whose two likeliest classes differ least; its worth is that difference, the less the better."""
    assert wanted.probabilities is not None
    second, first = np.sort(wanted.probabilities, axis=1)[:, -2:].T
    yield from by_worth(pool, second - first, first - second)


STRATEGY = Strategy(
    choose=margin, measure="margin", digest="where a classifier wavers between two classes", needs_classifier=True
)
