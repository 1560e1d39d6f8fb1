"""Measures that are no mean over samples, taken apart: what each sample adds, and between what they lie.

The parts of a measure have it for their mean, and its variance to the first order (the infinitesimal jackknife, or
delta method; Efron, 1982, chapter 6), so intervals, repeats and folds are those of accuracies. Coins are parts as well:
their difference has the other sign where two answers to a sample are swapped, so the test is that of accuracies.
Of samples (N,) there are what was said, what is so, and weights, as what is of one group counts once.
https://doi.org/10.1137/1.9781611970319
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from selftaught.judging.accuracy import wilson
from selftaught.judging.result import LEVEL

ENOUGH = 50  # samples, whose parts tell their noise

Array = NDArray[Any]


def coins_of_classes(said: Array, truth: Array, weights: Array) -> Array:
    """Of balanced accuracy: 1 where a sample is right, times how scarce its class is."""
    return np.asarray((said == truth) * _scarcity(truth, weights))


def _scarcity(truth: Array, weights: Array) -> Array:
    """How much more a sample counts than if all classes that there are had as many."""
    _, own = np.unique(truth, return_inverse=True)
    counts = np.bincount(own, weights)
    return np.asarray(weights.sum() / (len(counts) * counts[own]))


def parts_of_classes(said: Array, truth: Array, weights: Array) -> Array:
    """Of balanced accuracy: by how much a sample is better than its class, which has a fixed share of the whole."""
    recall, _, own = _recalls(said, truth, weights)
    return np.asarray(recall.mean() + ((said == truth) - recall[own]) * _scarcity(truth, weights))


def _recalls(said: Array, truth: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Of each class that there is the share that is found, and its samples; and of each sample its class."""
    _, own = np.unique(truth, return_inverse=True)
    counts = np.bincount(own, weights)
    return np.bincount(own, weights * (said == truth)) / counts, counts, own


def within_of_classes(said: Array, truth: Array, weights: Array) -> tuple[float, float]:
    """The 95 % interval of balanced accuracy: those of the classes, which are Wilson's, joined.

    The method of variance estimates recovery (Zou, Huang and Zhang, 2009). https://doi.org/10.1016/j.csda.2008.09.033
    """
    recall, counts, _ = _recalls(said, truth, weights)
    ends = np.array([wilson(min(1.0, share), count) for share, count in zip(recall, counts)])
    down, up = (math.sqrt(float(((ends[:, side] - recall) ** 2).sum())) / len(recall) for side in (0, 1))
    return float(recall.mean()) - down, float(recall.mean()) + up


def coins_of_numbers(said: Array, truth: Array, weights: Array) -> Array:
    """Of R², but for the 1: squared errors by the variance, which is the same whoever answers."""
    errors, _, variance = _errors(said, truth, weights)
    return np.asarray(-errors / variance)


def _errors(said: Array, truth: Array, weights: Array) -> tuple[Array, Array, float]:
    """Squared errors (N,), squared deviations from the mean, and the variance."""
    spread = (truth - np.average(truth, weights=weights)) ** 2
    return (truth - said) ** 2, spread, float(np.average(spread, weights=weights))


def parts_of_numbers(said: Array, truth: Array, weights: Array) -> Array:
    """Of R²; the variance is that of these samples, and has noise of its own."""
    errors, spread, variance = _errors(said, truth, weights)
    share = float(np.average(errors, weights=weights)) / variance
    return np.asarray(1 - errors / variance + share * (spread / variance - 1))


def within_of_parts(parts: Array, reach: float | None) -> tuple[float, float]:
    """The 95 % interval of a measure by what each sample adds (N,).

    As in `paired.interval` one more sample lies half a `reach` above and one below, or as far as most do. Of a share
    it is Wilson's, of as many samples as have such noise; else Student's, up to 1, as of R². The noise of few samples
    is not told by their parts: drawn ten at a time, 64 to 94 % of such intervals of mAP hold the truth where a network
    is good, and 88 to 98 % of those that are no narrower than the interval of an accuracy.
    """
    mean = float(parts.mean())
    far = float(parts.std()) if reach is None else reach / 2
    told = np.append(parts, [mean + far, mean - far])
    variance = float(told.var(ddof=1)) / len(told)
    if reach is None:
        half = float(stdtrit(len(told) - 1, 1 - LEVEL / 2)) * math.sqrt(variance)
        return mean - half, min(1.0, mean + half)
    few = (mean * len(parts) + 1) / (len(parts) + 2)  # no share is 0 or 1, by which no noise would be left
    mean = min(1.0, max(0.0, mean))
    low, high = wilson(mean, few * (1 - few) / variance)
    if len(parts) < ENOUGH:
        least = wilson(mean, len(parts))
        return min(low, least[0]), max(high, least[1])
    return low, high


def reach_of_classes(truth: Array, weights: Array) -> float:
    """How much a sample of the rarest class adds to balanced accuracy, if that had one right and one wrong more."""
    counts = np.bincount(np.unique(truth, return_inverse=True)[1], weights)
    return float(weights.sum() / (len(counts) * (counts.min() + 2)))


def reach_of_labels(truth: Array, weights: Array) -> float:
    """Likewise, to mAP, of what has the rarest label (N, L)."""
    counts = weights @ truth[:, truth.any(axis=0)]
    return float(weights.sum() / (len(counts) * (counts.min() + 2)))
