"""TypiClust (Hacohen, Dekel and Weinshall, 2022, 2202.02794): the most typical sample of each cluster.

With few labels what is typical teaches more than what is uncertain. As many clusters are made as there will be labels;
those without one come first, the largest before the others, and of each the sample that lies closest to its neighbours.
Numbers (20 neighbours, clusters of more than 5, at most 500 of them) and mini-batches beyond 50 are the authors'.
Deviation: a cluster in which a sample was chosen counts as labelled once more, where theirs go in turns.
"""

import warnings
from collections.abc import Iterator

import numpy as np
import torch

from selftaught.judging.choosing.pool import SAME, Array, Pool, Rows
from selftaught.judging.choosing.strategy import Pick, Strategy, Wanted
from selftaught.judging.neighbours import neighbours
from selftaught.system.interruption import poll

NEIGHBOURS = 20
SMALLEST = 5  # samples: a cluster of so many or fewer comes last
MOST = 500  # clusters
MINI = 50  # clusters beyond which k-means learns from mini-batches
BATCH = 5000


def typiclust(pool: Pool, wanted: Wanted) -> Iterator[Pick]:
    """Of the cluster with the fewest labels, the largest among such, the most typical sample that is open."""
    of = clusters(pool.features, min(MOST, len(wanted.labelled) + wanted.count), wanted.seed)
    sizes = np.bincount(of)
    covered = np.bincount(of[wanted.labelled], minlength=len(sizes))
    typical: dict[int, tuple[Rows, Array]] = {}
    while pool.open.any():
        left = np.flatnonzero(np.bincount(of[pool.open], minlength=len(sizes)))
        cluster = min(left.tolist(), key=lambda one: (sizes[one] <= SMALLEST, covered[one], -sizes[one]))
        if cluster not in typical:
            members = np.flatnonzero(of == cluster)
            typical[cluster] = members, typicality(pool.features[members])
        members, worth = typical[cluster]
        best = int(np.where(pool.open[members], worth, -np.inf).argmax())
        covered[cluster] += 1
        pool.take(members[[best]])
        yield Pick(int(members[best]), float(worth[best]), cluster)


def typicality(features: Array) -> Array:
    """One over the mean distance from the nearest neighbours: (N,) of features of length one (N, D).

    There are 20 of these, or half of all where that is less. A sample that is alone is not typical.
    """
    k = min(NEIGHBOURS, len(features) // 2)
    if not k:
        return np.zeros(len(features))
    unit, found = torch.from_numpy(np.ascontiguousarray(features)), []
    for similarity, _ in neighbours(unit, unit, k + 1):
        poll()
        apart = np.sort(np.sqrt(np.maximum(2 - 2 * similarity.numpy().astype(np.float64), 0)), axis=1)
        found.append(apart[:, 1:].mean(axis=1))  # the nearest is the sample itself, or a copy as near
    return 1 / np.maximum(np.concatenate(found), SAME)


def clusters(features: Array, count: int, seed: int) -> Rows:
    """The cluster of each sample (N,), from 0 on, by k-means; fewer than `count` where many samples are the same."""
    from sklearn.cluster import (
        KMeans,
        MiniBatchKMeans,
    )  # half a second, which those who name another strategy are spared
    from sklearn.exceptions import ConvergenceWarning

    count = min(count, len(features))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # that samples are the same
        if count > MINI:
            means = MiniBatchKMeans(count, batch_size=BATCH, n_init=3, random_state=seed)
        else:
            means = KMeans(count, n_init=3, random_state=seed)
        return np.unique(means.fit_predict(features), return_inverse=True)[1].astype(np.int64)


STRATEGY = Strategy(choose=typiclust, measure="typicality", digest="the most typical sample of each cluster")
