"""How a linear layer learns each kind of labels, and by what its strength is chosen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.judging import logistic, onevsrest, ridge
from selftaught.judging.targets import Task

Array = NDArray[Any]
DIGITS = 4  # of R², below which two strengths are as good: they hardly ever are the same
LEAST = 1e-6  # probability that is told from none


@dataclass(frozen=True)
class Learner:
    """What is fitted, and how good what it says is.

    fit: of z (N, k), the truth (N, ...), the penalty of each component (k,), the strength, a fit to go on from and the
    tolerance; what it gives `says` something of others. score: of what is said and what is so; more is better.
    """

    fit: Callable[[Array, Array, Array, float, Any, float], Any]
    score: Callable[[Array, Array], float]


def _classes(z: Array, truth: Array, penalty: Array, strength: float, start: Any, tolerance: float) -> logistic.Fit:
    return logistic.fit(z, truth, int(truth.max()) + 1, penalty / (strength * len(z)), start, tolerance)


def _right(said: Array, truth: Array) -> int:
    return int((said == truth).sum())


def _several(z: Array, truth: Array, penalty: Array, strength: float, start: Any, tolerance: float) -> logistic.Fit:
    return onevsrest.fit(z, truth, penalty / (strength * len(z)), start, tolerance)


def _likely(said: Array, truth: Array) -> float:
    """The share of the labels' entropy that is told, in per cent: more means more without end where all can be told.

    An order alone, as mAP sees it, would leave probabilities that mean nothing.
    """
    known = truth.mean(axis=0).clip(LEAST, 1 - LEAST)
    left, whole = (np.log(np.where(truth, sure, 1 - sure).clip(LEAST)).mean() for sure in (said, known))
    return round(float(1 - left / whole), 2)


def _number(z: Array, truth: Array, penalty: Array, strength: float, start: Any, tolerance: float) -> ridge.Ridge:
    return ridge.fit(z, truth, penalty, strength, start)


def _explained(said: Array, truth: Array) -> float:
    """R²; of samples that are all the same, how far off they are."""
    variance = float(truth.var()) or 1.0
    return round(1 - float(np.mean((said - truth) ** 2)) / variance, DIGITS)


LEARNERS: dict[Task, Learner] = {
    "classes": Learner(_classes, _right),
    "several": Learner(_several, _likely),
    "number": Learner(_number, _explained),
}
