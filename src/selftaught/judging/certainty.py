"""How sure a classifier may be, by samples that it has not learnt from: a temperature, thresholds, a margin."""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.metrics import precision_recall_curve
from torch import Tensor

from selftaught.judging.finetune import Classifier, scores_of
from selftaught.judging.labelled import Labelled
from selftaught.judging.metrics import EVEN, counting_once
from selftaught.judging.subsets import Rows
from selftaught.run.meaning import Meaning
from selftaught.system.saying import say
from selftaught.system.text import printable

ENOUGH = 20  # held-out samples; by fewer what is chosen is a matter of luck
BINS = 15  # as of Guo et al.; the error depends on their number, so it stays the same for all
AT_THE_END = 0.01  # of the range: the search stops so far from it
RANGE = (-3.0, 3.0)  # of the logarithm of a temperature: a twentieth to twenty, which no sane network leaves
HELD = 0.95  # share of new samples that a margin is to hold
FEWEST = 5  # samples with a label that choose its threshold; with fewer it is said where it is likelier than not

Array = NDArray[Any]


def meaning_of(model: Classifier, data: Labelled, rows: Rows) -> Meaning:
    """What the scores of a model mean, by training rows that it has not learnt from; what is doubtful is said."""
    aim = model.aim
    plain = Meaning(task=aim.task, mean=aim.mean, deviation=aim.deviation)
    if aim.task == "several":
        plain = plain.model_copy(update={"thresholds": (EVEN,) * aim.outputs})
    if not len(rows):
        unknown = "how far off it is, is not known" if aim.task == "number" else "its probabilities are not calibrated"
        say(f"too few labels to hold some out: {unknown}")
        return plain
    scores, group, truth = scores_of(model, data.subset(rows)), data.group[rows], data.truth[rows]
    if aim.task == "number":
        _warn_of_few(len(np.unique(group)))
        return plain.model_copy(update={"margin": fitted_margin(np.abs(aim.said(scores) - truth), group)})
    temperature = fitted_temperature(scores, aim.truth[torch.from_numpy(rows)])
    _warn_of_doubtful(temperature, len(rows))
    sure = plain.model_copy(update={"temperature": temperature})
    if aim.task == "classes":
        return sure
    _warn_of_rare([name for name, own in zip(data.names, truth.T) if own.sum() < FEWEST])
    thresholds = fitted_thresholds(sure.answers(scores.double()).numpy(), truth, counting_once(group))
    return sure.model_copy(update={"thresholds": thresholds})


def fitted_temperature(scores: Tensor, truth: Tensor) -> float:
    """What scores (N, C) of samples that were not learnt from must be divided by to be as sure as they are right.

    The least cross-entropy (Guo et al., 2017, section 4.2), with targets that leave room for the mistake that few
    samples have not shown yet (Platt, 1999, section 2.2); of several labels that of each, by one temperature for all.
    truth: classes (N,), or labels (N, C) as 0 and 1. https://arxiv.org/abs/1706.04599
    """
    scores, doubt = scores.double(), 1 / (len(scores) + 2)
    sure = truth.double() * (1 - doubt) + doubt / 2

    def loss(log: float) -> float:
        scaled = scores / float(np.exp(log))
        if truth.ndim == 2:
            return float(F.binary_cross_entropy_with_logits(scaled, sure))
        return float(F.cross_entropy(scaled, truth, label_smoothing=doubt))

    return float(np.exp(minimize_scalar(loss, bounds=RANGE, method="bounded").x))


def fitted_thresholds(probabilities: Array, truth: Array, weight: Array) -> tuple[float, ...]:
    """From which probability (N, L) on each label is to be said, for the best F1 on samples that count `weight` (N,).

    Half-way to the next lower probability that was seen; 0.5 of a label that fewer than five samples have.
    """
    return tuple(_threshold(*own, weight) for own in zip(probabilities.T, truth.T))


def _threshold(sure: Array, truth: Array, weight: Array) -> float:
    if truth.sum() < FEWEST:
        return EVEN
    precision, recall, least = precision_recall_curve(truth, sure, sample_weight=weight)
    best = int((precision * recall / np.maximum(precision + recall, 1e-12))[:-1].argmax())
    return float(least[best] + (least[best - 1] if best else 0)) / 2


def fitted_margin(off: Array, group: Rows) -> float:
    """How far off 95 % of new samples are at most, by how far (N,) some are that were not learnt from.

    The quantile of split conformal prediction (Lei et al., 2018, algorithm 2), which holds whatever the network is,
    where new samples are like these; every group (N,) counts once. The largest where there are too few, under 19.
    That much is proven of samples that had no say in the network. Where these chose when to stop, they lie nearer to
    it than new ones do, and the margin is too narrow: of 20 that chose among 20 looks it held 91 % in a simulation.
    https://doi.org/10.1080/01621459.2017.1307116
    """
    order, weight = np.argsort(off), counting_once(group)
    below = np.cumsum(weight[order]) / (weight.sum() + 1)  # of so many and the new one
    place = int(np.searchsorted(below, HELD - 1e-9))
    return float(off[order][min(place, len(off) - 1)])


def calibration_error(probabilities: Array, labels: NDArray[np.int64]) -> float:
    """By how much the probability of the likeliest class (N, classes) is off from how often it is right, on average.

    The expected calibration error in 15 equal bins (Naeini et al., 2015), in [0, 1].
    """
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    off = [abs(float((sure[place == i] - right[place == i]).sum())) for i in range(BINS)]
    return sum(off) / len(labels)


def _warn_of_doubtful(temperature: float, samples: int) -> None:
    """Say where the temperature could as well be another one."""
    doubts = [f"was chosen by {samples} samples alone"] * (samples < ENOUGH)
    at_the_end = min(abs(math.log(temperature) - end) for end in RANGE) < AT_THE_END
    doubts += ["stands at the end of its range"] * at_the_end
    if doubts:
        say(f"warning: the temperature, {temperature:.3g}, {' and '.join(doubts)}: trust no probability of its")


def _warn_of_few(samples: int) -> None:
    """Say where so many samples, or groups, cannot tell how far off 95 of a hundred are."""
    if (reached := samples / (samples + 1)) < HELD - 1e-9:
        say(f"warning: {samples} samples alone chose the intervals: they hold {reached:.0%} of new numbers, not 95 %")


def _warn_of_rare(names: list[str]) -> None:
    if names:
        listed = ", ".join(map(printable, names[:5]))
        say(f"note: under {FEWEST} of the held-out samples have {listed}: said from a probability of {EVEN} on")
