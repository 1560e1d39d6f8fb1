"""Accuracies with intervals, and how much more one has than another, from what was said and what is so."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from sklearn.metrics import confusion_matrix

from selftaught.judging.paired import interval, luck
from selftaught.judging.result import BASELINES, LEVEL, Detail, Gain, Row

Z = 1.96  # a 95 % interval
SHOWN_CLASSES = 100  # a larger confusion matrix is not kept

# Of each repeat, of each of its folds: what was said (N,), and what is so.
Answers = Sequence[Sequence[tuple[NDArray[Any], NDArray[Any]]]]
Right = Sequence[Sequence[NDArray[Any]]]  # likewise, how many of the answers to each content are right: see `votes`


@dataclass(frozen=True)
class Other:
    """How another measure than accuracy is judged, of which `Right` has what each content adds to it."""

    measure: str
    within: Callable[[str], tuple[float, float]]  # the 95 % interval that samples leave, of a kind of features
    lucky: Callable[[str], float]  # how often luck alone sets what is trained so far from a kind
    reach: float | None  # how much a sample adds at most; None where there is no bound, to the measure neither


def votes(right: NDArray[Any], content: NDArray[np.int64]) -> NDArray[Any]:
    """One vote for each content (M,), the share of its samples (N,) that are right: copies of one tell no more than it.

    As it is where none has a copy.
    """
    _, number = np.unique(content, return_inverse=True)
    counts = np.bincount(number)
    return right if len(counts) == len(right) else np.bincount(number, right) / counts


def voters(content: NDArray[np.int64]) -> NDArray[np.int64]:
    """The content (M,) that each of the `votes` is of."""
    own = np.unique(content)
    return content if len(own) == len(content) else own


def measured(
    right: Mapping[str, Right],
    probe: str,
    labels: str,
    samples: int,
    folded: bool = False,
    voting: Sequence[Sequence[NDArray[np.int64]]] | None = None,
    by: Other | None = None,
) -> tuple[list[Row], list[Gain]]:
    """The accuracy of each kind of features, and what those of the run gain over each of the others."""
    rows = [row(kind, probe, labels, own, samples, folded, by) for kind, own in right.items()]
    baselines, gains = sum(kind in BASELINES for kind in right), []
    for kind, own in right.items():
        if kind != "trained":
            beside = baselines if kind in BASELINES else 1
            gains.append(gain_over(right["trained"], own, probe, labels, kind, folded, voting, beside, by))
    return rows, gains


def row(
    features: str,
    probe: str,
    labels: str,
    right: Right,
    samples: int,
    folded: bool = False,
    by: Other | None = None,
) -> Row:
    """The mean accuracy over repeats on `samples` different test samples; `right` says of each fold's which are.

    The interval joins two independent errors: Wilson's for so many test samples, and that of the mean over repeats,
    which see other labels. `folded`: the folds of a repeat learn from each other's test samples, and every repeat has
    the same samples, so that their spread says less than it seems to; see `over_repeats`.
    """
    spread = over_repeats(right, folded)
    mean, half = spread.mean, spread.half()
    low, high = by.within(features) if by else wilson(mean, samples)
    least = 0.0 if not by or by.reach else -math.inf
    return Row(
        features=features,
        probe=probe,
        labels=labels,
        accuracy=mean,
        low=max(least, mean - joined(mean - low, half, folded)),
        high=min(1.0, mean + joined(high - mean, half, folded)),
        repeats=len(right),
        samples=samples,
        measure=by.measure if by else "accuracy",
    )


def gain_over(
    own: Right,
    other: Right,
    probe: str,
    labels: str,
    against: str,
    folded: bool = False,
    voting: Sequence[Sequence[NDArray[np.int64]]] | None = None,
    beside: int = 1,
    by: Other | None = None,
) -> Gain:
    """How much more of the same samples `own` gets right than `other`, with a 95 % interval of the difference.

    What both get right or wrong says nothing of the difference, which makes its interval narrower than those of two
    accuracies; see `paired.interval`. That of the samples and that over repeats are joined as independent errors, which
    never holds less than it says (Banerjee, 1960); of folds the wider one counts. `voting`: of each repeat, of each of
    its folds, whose votes these are (see `voters`), so that each sample counts once over all rounds of folds; without
    it the first round counts. `beside`: with how many others the best is sought: the lower ends hold for each, as all
    must be beaten, the upper ones for all together, as one that is better suffices.
    """
    apart = [[a.astype(float) - b for a, b in zip(*folds)] for folds in zip(own, other)]
    spread = over_repeats(apart, folded)
    if folded:  # all rounds are of the same samples, so their spread is known no better than from one
        spread = replace(spread, freedom=len(apart[0]) - 1)
    samples = each_once(apart, folded, voting)
    gain, level = spread.mean, LEVEL / beside
    lucky, reach = by.lucky(against) if by else luck(samples), by.reach if by else 1.0
    low, high = interval(samples, LEVEL, lucky, reach)[0], interval(samples, level, lucky, reach)[1]
    most = 1.0 if reach else math.inf
    down, up = joined(gain - low, spread.half(), folded), joined(high - gain, spread.half(level), folded)
    return Gain(
        probe=probe,
        labels=labels,
        against=against,
        gain=gain,
        low=max(-most, gain - down),
        high=min(most, gain + up),
        luck=lucky,
        samples=len(samples),
    )


def each_once(apart: Right, folded: bool, voting: Sequence[Sequence[NDArray[np.int64]]] | None) -> NDArray[Any]:
    """One value for each sample or group (N,): its mean over repeats."""
    if not folded:  # every repeat judges the same ones
        return np.asarray(np.mean([folds[0] for folds in apart], axis=0))
    if voting is None:
        return np.concatenate(apart[0])
    own = np.concatenate([fold for folds in voting for fold in folds])
    return votes(np.concatenate([fold for folds in apart for fold in folds]), own)


@dataclass(frozen=True)
class Spread:
    """A mean over repeats, and its standard error by how much they differ; with one repeat none is known."""

    mean: float
    error: float = 0.0
    freedom: int = 0

    def half(self, level: float = LEVEL) -> float:
        """Half its interval, by Student's t."""
        return float(stdtrit(self.freedom, 1 - level / 2)) * self.error if self.freedom else 0.0


def over_repeats(values: Right, folded: bool) -> Spread:
    """The mean of values over repeats, and its error by how much repeats or, `folded`, folds differ.

    The variance of the mean over all folds of all repeats is that of a fold times 1/J + 1/(folds - 1), J being how many
    there are in all: the second part, test over training samples, is what sharing samples costs. Nadeau and Bengio
    (2003, section 3). https://doi.org/10.1023/A:1024068626366
    """
    means = [float(np.concatenate(list(folds)).mean()) for folds in values]
    parts = [float(fold.mean()) for folds in values for fold in folds] if folded else means
    mean = sum(means) / len(means)
    if len(parts) < 2:
        return Spread(mean)
    share = 1 / len(parts) + (1 / (len(values[0]) - 1) if folded else 0.0)
    return Spread(mean, math.sqrt(share * float(np.var(parts, ddof=1))), len(parts) - 1)


def joined(noise: float, spread: float, folded: bool) -> float:
    """Half an interval of two errors, that of few samples and that over repeats, which are independent but of folds."""
    return max(noise, spread) if folded else math.hypot(noise, spread)


def detail(
    features: str,
    probe: str,
    labels: str,
    said: NDArray[np.int64],
    truth: NDArray[np.int64],
    weights: NDArray[np.float64],
    classes: int,
) -> Detail:
    """The answers (N,) class by class: what is found of each by weights (N,), and counts of what was taken for what."""
    how = {"labels": np.arange(classes)}
    found, matrix = confusion_matrix(truth, said, sample_weight=weights, **how), confusion_matrix(truth, said, **how)
    recall = [float(own[i]) / float(own.sum()) if own.any() else None for i, own in enumerate(found)]
    kept = matrix.tolist() if classes <= SHOWN_CLASSES else None
    return Detail(features=features, probe=probe, labels=labels, recall=recall, confusion=kept)


def wilson(share: float, samples: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share seen in so many samples."""
    scale = 1 + Z**2 / samples
    centre = (share + Z**2 / (2 * samples)) / scale
    half = Z / scale * math.sqrt(share * (1 - share) / samples + Z**2 / (4 * samples**2))
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))
