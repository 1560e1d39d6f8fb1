"""Average precision of labels, what each sample has part in it, and whether luck explains that two differ.

Samples are weighted, as copies of one are one together; equal scores count as one step, as in scikit-learn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from selftaught.judging.paired import DRAWS, SAME
from selftaught.system import randomness
from selftaught.system.interruption import poll

WORK = 2 * 10**8  # samples times labels times draws, beyond which fewer are drawn
FEW_DRAWS = 499  # but no fewer than these
CHUNK = 64  # draws at once

Array = NDArray[Any]
Rows = NDArray[np.int64]


def parts(scores: Array, truth: Array, weights: Array) -> Array:
    """Of each sample (N,) its share in the mean average precision, whose weighted mean is that.

    scores: (N, L), truth: (N, L) bool, weights: (N,). The mean over labels, plus by how much it would move if the
    sample weighed more: the infinitesimal jackknife (Jaeckel, 1972; Efron, 1982, chapter 6), whose variance is that of
    a bootstrap over samples without drawing one. https://doi.org/10.1137/1.9781611970319. Labels that no sample has are
    left out.
    """
    known = np.flatnonzero(truth.any(axis=0))
    return np.asarray(np.mean([_parts(scores[:, label], truth[:, label], weights) for label in known], axis=0))


def _parts(scores: Array, truth: Array, weights: Array) -> Array:
    order = np.argsort(-scores, kind="stable")
    ranked, positive, weight = scores[order], truth[order], weights[order]
    ends = _ends(ranked)
    above = weight.cumsum()[ends]  # of each sample, the weight of those that score as high or higher
    precision = (weight * positive).cumsum()[ends] / above
    positives = float(weight @ positive)
    value = float((weight * positive) @ precision) / positives
    # A sample that weighs more moves the precision of each positive one that does not score higher.
    owed, lost = (_from(weight * positive * part / above, ranked) for part in (np.ones_like(above), precision))
    moved = positive * (precision - value) + positive * owed - lost
    found = np.empty_like(moved)
    found[order] = value + moved / positives * weights.sum()
    return found


def _ends(ranked: Array) -> Rows:
    """Of each of so many scores in falling order (N,), where the last that is equal to it is."""
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    return last[np.searchsorted(last, np.arange(len(ranked)))]


def _from(values: Array, ranked: Array) -> Array:
    """Of each place the sum of `values` (N,) there and beyond, from the first that scores equally."""
    first = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    begins = first[np.searchsorted(first, np.arange(len(ranked)), side="right") - 1]
    return values[::-1].cumsum()[::-1][begins]


@dataclass(frozen=True)
class Answered:
    """What two kinds of features say of the same samples: scores (N, L), the truth (N, L), groups and weights (N,)."""

    own: Array
    other: Array
    truth: Array
    group: Rows  # counted from 0 over all repeats alike
    weights: Array


def luck_of_swaps(rounds: Sequence[Answered]) -> float:
    """How often luck alone sets two mean average precisions as far apart, if neither is the better: a p-value.

    If so, what the two say of a sample, or of a group in all `rounds` of it, might as well have been said the other way
    round: a test by approximate randomisation, which holds for measures that are no mean over samples (Noreen, 1989;
    Smucker, Allan and Carterette, 2007). https://doi.org/10.1145/1321440.1321528. What was seen counts as one of the
    draws, as in `paired.luck`.
    """
    groups = 1 + max(int(own.group.max()) for own in rounds)
    rng, as_far = randomness.generator(0, "swaps"), 0
    drawn = max(FEW_DRAWS, min(DRAWS, WORK // sum(own.truth.size for own in rounds)))
    ladders = [_ladder(own, int(label), groups) for own in rounds for label in np.flatnonzero(own.truth.any(axis=0))]
    seen = abs(float(_apart(ladders, np.zeros((groups, 1)))[0]))
    for start in range(0, drawn, CHUNK):
        poll()
        swapped = rng.integers(0, 2, (groups, min(CHUNK, drawn - start)), dtype=np.int8)
        as_far += int((np.abs(_apart(ladders, swapped.astype(np.float64))) >= seen - SAME).sum())
    return (1 + as_far) / (1 + drawn)


def _apart(ladders: Sequence["_Ladder"], swapped: Array) -> Array:
    """How far two mean average precisions are apart (draws,) where so many groups are `swapped` (groups, draws)."""
    return np.asarray(np.mean([ladder.apart(swapped) for ladder in ladders], axis=0))


@dataclass(frozen=True)
class _Ladder:
    """The scores of one label that positive samples have, highest first: S steps, of both kinds of features.

    What is not in the one's list is in the other's, so sums over both tell of either.
    """

    own: Array  # (S, 1) weight of the samples that have come with each step, by own scores
    moved: Any  # (S, groups) and what of it goes, or comes, where a group is swapped
    both: Array  # (S, 1) of either list
    own_positive: Array  # likewise, of positive samples alone
    moved_positive: Any
    both_positive: Array

    def apart(self, swapped: Array) -> Array:
        """By how much the first average precision is above the second (draws,)."""
        hits, reached = self.own_positive + self.moved_positive @ swapped, (self.own + self.moved @ swapped).cumsum(0)
        whole = self.both_positive.sum() / 2
        first = _precision(hits, reached)
        return np.asarray((first - _precision(self.both_positive - hits, self.both.cumsum(0) - reached)) / whole)


def _precision(hits: Array, reached: Array) -> Array:
    """The sum over positive samples (draws,) of the precision at each."""
    return np.asarray((hits * hits.cumsum(axis=0) / np.where(reached > SAME, reached, 1.0)).sum(axis=0))


def _ladder(of: Answered, label: int, groups: int) -> _Ladder:
    scores, truth = np.concatenate([of.own[:, label], of.other[:, label]]), np.tile(of.truth[:, label], 2)
    group, weight, others = np.tile(of.group, 2), np.tile(of.weights, 2), np.arange(len(scores)) >= len(of.group)
    steps = np.unique(-scores[truth])
    step = np.searchsorted(steps, -scores)

    def held(kept: Array) -> tuple[Array, Any, Array]:
        at, by = step[kept], weight[kept]
        own, both = (np.bincount(at, values, len(steps))[:, None] for values in (by * ~others[kept], by))
        signs = np.where(others[kept], by, -by)
        return own, csr_array((signs, (at, group[kept])), shape=(len(steps), groups)), both

    return _Ladder(*held(step < len(steps)), *held(truth))
