"""Accuracies with intervals, and how much more one has than another, from what was said and what is so."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from sklearn.metrics import confusion_matrix

from selftaught.judging.result import Detail, Gain, Row

Z = 1.96  # a 95 % interval
SHOWN_CLASSES = 100  # a larger confusion matrix is not kept

# Of each repeat, of each of its folds: what was said (N,), and what is so.
Answers = Sequence[Sequence[tuple[NDArray[Any], NDArray[Any]]]]
Right = Sequence[Sequence[NDArray[Any]]]  # likewise, how many of the answers to each content are right: see `votes`


def votes(right: NDArray[Any], content: NDArray[np.int64]) -> NDArray[Any]:
    """One vote for each content (M,), the share of its samples (N,) that are right: copies of one tell no more than it.

    As it is where none has a copy.
    """
    _, number = np.unique(content, return_inverse=True)
    counts = np.bincount(number)
    return right if len(counts) == len(right) else np.bincount(number, right) / counts


def row(features: str, probe: str, labels: str, right: Right, samples: int, folded: bool = False) -> Row:
    """The mean accuracy over repeats on `samples` different test samples; `right` says of each fold's which are.

    The interval joins two independent errors: Wilson's for so many test samples, and that of the mean over repeats,
    which see other labels. `folded`: the folds of a repeat learn from each other's test samples, and every repeat has
    the same samples, so that their spread says less than it seems to; see `_over_repeats`.
    """
    mean, spread = _over_repeats(right, folded)
    low, high = wilson(mean, samples)
    return Row(
        features=features,
        probe=probe,
        labels=labels,
        accuracy=mean,
        low=max(0.0, mean - _joined(mean - low, spread, folded)),
        high=min(1.0, mean + _joined(high - mean, spread, folded)),
        repeats=len(right),
    )


def gain_over(own: Right, other: Right, probe: str, labels: str, against: str, folded: bool = False) -> Gain:
    """How much more of the same samples `own` gets right than `other`, with a 95 % interval of the difference.

    What both get right or wrong says nothing of the difference, which makes its interval narrower than those of two
    accuracies. One sample more on which each is the better keeps few samples from proving too much (Agresti and Min,
    2005). https://doi.org/10.1002/sim.1781
    """
    apart = [[a.astype(float) - b for a, b in zip(*folds)] for folds in zip(own, other)]
    gain, spread = _over_repeats(apart, folded)
    # In one round of folds each sample is judged once; otherwise every repeat judges the same ones.
    samples = np.concatenate(apart[0]) if folded else np.mean([folds[0] for folds in apart], axis=0)
    noise = Z * float(np.append(samples, [1.0, -1.0]).std() / math.sqrt(len(samples) + 2))
    half = _joined(noise, spread, folded)
    return Gain(probe=probe, labels=labels, against=against, gain=gain, low=gain - half, high=gain + half)


def _over_repeats(values: Right, folded: bool) -> tuple[float, float]:
    """The mean of values over repeats, and half its 95 % interval by how much repeats or, `folded`, folds differ.

    The variance of the mean over all folds of all repeats is that of a fold times 1/J + 1/(folds - 1), J being how many
    there are in all: the second part, test over training samples, is what sharing samples costs. Nadeau and Bengio
    (2003, section 3). https://doi.org/10.1023/A:1024068626366
    """
    means = [float(np.concatenate(list(folds)).mean()) for folds in values]
    parts = [float(fold.mean()) for folds in values for fold in folds] if folded else means
    sharing = 1 / (len(values[0]) - 1) if folded else 0.0
    return sum(means) / len(means), _student(parts, 1 / len(parts) + sharing)


def _joined(noise: float, spread: float, folded: bool) -> float:
    """Half an interval of two errors, that of few samples and that over repeats, which are independent but of folds."""
    return max(noise, spread) if folded else math.hypot(noise, spread)


def _student(values: Sequence[float], share: float) -> float:
    """Half a 95 % interval by Student's t, for a mean whose variance is a share of that of the values."""
    if len(values) < 2:
        return 0.0
    return float(stdtrit(len(values) - 1, 0.975)) * math.sqrt(share * float(np.var(values, ddof=1)))


def detail(features: str, probe: str, labels: str, answers: Answers, classes: int) -> Detail:
    """The answers class by class."""
    said, truth = (np.concatenate([fold[i] for folds in answers for fold in folds]) for i in (0, 1))
    matrix = confusion_matrix(truth, said, labels=np.arange(classes))
    recall = [int(own[i]) / int(own.sum()) if own.sum() else None for i, own in enumerate(matrix)]
    kept = matrix.tolist() if classes <= SHOWN_CLASSES else None
    return Detail(features=features, probe=probe, labels=labels, recall=recall, confusion=kept)


def wilson(share: float, samples: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share seen in so many samples."""
    scale = 1 + Z**2 / samples
    centre = (share + Z**2 / (2 * samples)) / scale
    half = Z / scale * math.sqrt(share * (1 - share) / samples + Z**2 / (4 * samples**2))
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))
