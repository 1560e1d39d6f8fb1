"""Which labels are likely wrong: confident learning on what a linear probe says of samples that it has not seen.

Northcutt, Jiang and Chuang, 2021, 1911.00068, sections 3.1 (the confident joint) and 3.2 (prune by class). The same is
in cleanlab, which brings pandas along; what is needed of it here is a few lines.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from selftaught.judging.accuracy import votes
from selftaught.judging.learners import LEARNERS
from selftaught.judging.logistic import TOLERANCE
from selftaught.judging.paired import interval
from selftaught.judging.probes.linear import choose, penalised
from selftaught.judging.shown import OWN, Shown
from selftaught.judging.subsets import folds
from selftaught.system.interruption import poll

Array = NDArray[Any]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Suspects:
    """Samples whose label is likely wrong, the likeliest first."""

    rows: Rows
    likely: Rows  # the class that is the likeliest but for the label
    worth: Array  # how sure it is that the label is wrong: what is left by the probability of the label


@dataclass(frozen=True)
class Telling:
    """How far a probe tells labels of samples that it has not learnt from; what is of one group counts once."""

    right: float  # the share that it tells right
    commonest: float  # the share that has the commonest label, which are told right by knowing nothing else
    clearly: bool  # whether it tells more of them, beyond luck


def telling(probabilities: Array, labels: Rows, group: Rows) -> Telling:
    """How far `out_of_fold` (N, classes) tells labels (N,): where it does not, it cannot tell which are wrong."""
    right = votes(probabilities.argmax(axis=1) == labels, group)
    common = votes(labels == np.bincount(labels).argmax(), group)
    clearly = interval(right.astype(float) - common)[0] > 0
    return Telling(float(right.mean()), float(common.mean()), clearly)


def suspects(probabilities: Array, labels: Rows) -> Suspects:
    """As many of each class as are thought to be wrong, those whose label is the least likely.

    probabilities: (N, classes) of samples that they were not learnt from; labels: (N,).
    """
    own = probabilities[np.arange(len(labels)), labels]
    found = [np.zeros(0, np.int64)]
    for label, counts in enumerate(confident_joint(probabilities, labels)):
        members = np.flatnonzero(labels == label)
        wrong = 1 - counts[label] / counts.sum() if counts.any() else 0.0  # the share of the label, as calibrated
        found.append(members[np.argsort(own[members], kind="stable")][: round(wrong * len(members))])
    rows = np.concatenate(found)
    rows = rows[np.argsort(own[rows], kind="stable")]
    others = probabilities[rows].copy()
    others[np.arange(len(rows)), labels[rows]] = -1
    return Suspects(rows, others.argmax(axis=1), 1 - own[rows])


def confident_joint(probabilities: Array, labels: Rows) -> NDArray[np.int64]:
    """How many samples of each label are, for all that can be known, of each class: (classes, classes).

    A class is known of a sample where it is as likely as it is on average for samples of that label, or more; of
    several it is the likeliest. So nobody is counted for a class by the measure of others that the probe is surer of.
    """
    classes = probabilities.shape[1]
    usual = np.array(
        [probabilities[labels == one, one].mean() if (labels == one).any() else 2 for one in range(classes)]
    )
    confident = probabilities >= usual
    known = np.where(confident, probabilities, -1.0).argmax(axis=1)
    joint = np.zeros((classes, classes), np.int64)
    np.add.at(joint, (labels[confident.any(axis=1)], known[confident.any(axis=1)]), 1)
    return joint


def out_of_fold(
    features: Array,
    labels: Rows,
    group: Rows,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Array:
    """What a linear probe says of each sample (N, classes), which it has learnt from others alone.

    features: (N, D); labels: (N,) from 0 on, each of two groups at least; group: (N,), which is on one side of each
    fold. Whitening and strength are chosen once, within the first training part.
    """
    names = [str(number) for number in range(int(labels.max()) + 1)]
    said, learner, choice = np.zeros((len(labels), len(names))), LEARNERS["classes"], None
    parts = list(folds(labels, group, names, 1, seed))
    for done, (_, train, test) in enumerate(parts, 1):
        poll()
        own, truth = np.unique(labels[train], return_inverse=True)
        shown = Shown({OWN: features}, train)
        choice = choice or choose(shown, truth, train, seed, group[train])
        z = shown[OWN].z
        penalty = penalised(shown[OWN], choice.whitened)
        found = learner.fit(z[train], truth, penalty, choice.strength, None, TOLERANCE)
        said[np.ix_(test, own)] = softmax(z[test] @ found.weights + found.bias, axis=1)
        progress(done, len(parts))
    return said
