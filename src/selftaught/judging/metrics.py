"""How good answers are, by the field's metrics; samples may weigh differently, as what is of one group counts once.

Of scikit-learn's functions only what it leaves open is settled here: which classes and labels count.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, r2_score, recall_score

UNEVEN = 4  # times that one class may have the samples of another, before accuracy says little of the rare ones
EVEN = 0.5  # from which probability on a label is said, unless something has chosen another

Array = NDArray[Any]


def uneven(counts: Array) -> bool:
    """Whether some class has more than four times the samples of another, by how many each has (C,)."""
    return bool(counts.max() > UNEVEN * counts.min())


def counting_once(group: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights (N,) by which every group (N,) counts once."""
    _, number = np.unique(group, return_inverse=True)
    return 1 / np.bincount(number)[number]


def balanced_accuracy(truth: Array, said: Array, weight: Array | None = None) -> float:
    """The mean over those classes that there are of the share that is found."""
    how: dict[str, Any] = {"labels": np.unique(truth), "average": "macro", "zero_division": 0}
    return float(recall_score(truth, said, sample_weight=weight, **how))


def average_precisions(truth: Array, scores: Array, weight: Array | None = None) -> list[float | None]:
    """The average precision of each label (N, L) by scores (N, L); None where no sample has it."""
    each = zip(truth.T, scores.T)
    return [float(average_precision_score(own, s, sample_weight=weight)) if own.any() else None for own, s in each]


def mean_average_precision(truth: Array, scores: Array, weight: Array | None = None) -> float:
    """Over those labels (N, L) that some sample has; 0 where none has any."""
    known = [value for value in average_precisions(truth, scores, weight) if value is not None]
    return float(np.mean(known)) if known else 0.0


def macro_f1(truth: Array, said: Array, weight: Array | None) -> float:
    """Over those labels (N, L) that some sample has, by whether they are said (N, L); 0 where none has any."""
    there = truth.any(axis=0)
    each = f1_score(truth, said, average=None, sample_weight=weight, zero_division=0)
    return float(each[there].mean()) if there.any() else 0.0


def explained(truth: Array, said: Array, weight: Array | None = None) -> float:
    """R² of numbers (N,); 0 of a single one."""
    return float(r2_score(truth, said, sample_weight=weight)) if len(truth) > 1 else 0.0
