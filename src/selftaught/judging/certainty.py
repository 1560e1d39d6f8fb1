"""How sure a classifier may be, by samples that it has not learnt from: a temperature, thresholds, a margin."""

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
from selftaught.run.meaning import HELD, RANGE, Meaning
from selftaught.system.saying import say
from selftaught.system.text import number_of, printable

BINS = 15  # as of Guo et al.; the error depends on their number, so it stays the same for all
FEWEST = 5  # samples with a label that choose its threshold; with fewer it is said where it is likelier than not

Array = NDArray[Any]


def meaning_of(model: Classifier, data: Labelled, rows: Rows) -> Meaning:
    """What the scores of a model mean, by training rows that it has not learnt from; what is doubtful is said."""
    aim = model.aim
    plain = Meaning(task=aim.task, mean=aim.mean, deviation=aim.deviation, chosen_by=0)
    if aim.task == "several":
        plain = plain.model_copy(update={"thresholds": (EVEN,) * aim.outputs})
    if not len(rows):
        say(plain.doubts())
        return plain
    scores, group, truth = scores_of(model, data.subset(rows)), data.group[rows], data.truth[rows]
    weight, sure = counting_once(group), plain.model_copy(update={"chosen_by": len(np.unique(group))})
    if aim.task == "number":
        sure = sure.model_copy(update={"margin": fitted_margin(np.abs(aim.said(scores) - truth), group)})
        _warn_of_doubts(sure, group)
        return sure
    temperature = fitted_temperature(scores, aim.truth[torch.from_numpy(rows)], weight)
    sure = sure.model_copy(update={"temperature": temperature})
    _warn_of_doubts(sure, group)
    if aim.task == "classes":
        return sure
    _warn_of_rare([name for name, own in zip(data.names, truth.T) if _is_rare(own, weight)])
    thresholds = fitted_thresholds(sure.answers(scores.double()).numpy(), truth, weight)
    return sure.model_copy(update={"thresholds": thresholds})


def fitted_temperature(scores: Tensor, truth: Tensor, weight: Array | None = None) -> float:
    """What scores (N, C) of samples that were not learnt from must be divided by to be as sure as they are right.

    The least cross-entropy (Guo et al., 2017, section 4.2), with targets that leave room for the mistake that few
    samples have not shown yet (Platt, 1999, section 2.2); of several labels that of each, by one temperature for all.
    truth: classes (N,), or labels (N, C) as 0 and 1; weight: what samples count (N,). https://arxiv.org/abs/1706.04599
    """
    weight = np.ones(len(scores)) if weight is None else weight
    scores, doubt, count = scores.double(), 1 / (round(weight.sum()) + 2), torch.from_numpy(weight / weight.sum())
    sure, alike = truth.double() * (1 - doubt) + doubt / 2, bool((weight == weight[0]).all())
    how: dict[str, Any] = {"reduction": "mean" if alike else "none"}  # the two are rounded differently

    def loss(log: float) -> float:
        scaled = scores / float(np.exp(log))
        if truth.ndim == 2:
            off = F.binary_cross_entropy_with_logits(scaled, sure, **how)
        else:
            off = F.cross_entropy(scaled, truth, label_smoothing=doubt, **how)
        return float(off if alike else count @ off.reshape(len(off), -1).mean(dim=1))

    return float(np.exp(minimize_scalar(loss, bounds=RANGE, method="bounded").x))


def fitted_thresholds(probabilities: Array, truth: Array, weight: Array) -> tuple[float, ...]:
    """From which probability (N, L) on each label is to be said, for the best F1 on samples that count `weight` (N,).

    Half-way to the next lower probability that was seen; 0.5 of a label that samples have who count fewer than five.
    """
    return tuple(_threshold(*own, weight) for own in zip(probabilities.T, truth.T))


def _is_rare(truth: Array, weight: Array) -> bool:
    """Whether too few samples (N,), by what they count, have a label."""
    return bool(weight[truth].sum() < FEWEST - 1e-9)


def _threshold(sure: Array, truth: Array, weight: Array) -> float:
    if _is_rare(truth, weight):
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


def calibration_error(probabilities: Array, labels: NDArray[np.int64], weight: Array | None = None) -> float:
    """By how much the probability of the likeliest class (N, classes) is off from how often it is right, on average.

    The expected calibration error in 15 equal bins (Naeini et al., 2015), in [0, 1]; samples count `weight` (N,).
    """
    weight = np.ones(len(labels)) if weight is None else weight
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place, off = np.minimum((sure * BINS).astype(int), BINS - 1), weight * (sure - right)
    return sum(abs(float(off[place == i].sum())) for i in range(BINS)) / float(weight.sum())


def independent(group: Rows) -> str:
    """How many samples (N,) are, of which what is of one group is one, for people."""
    count = len(np.unique(group))
    return number_of(count, "sample") if count == len(group) else f"{number_of(count, 'group')} of samples"


def _warn_of_doubts(meaning: Meaning, group: Rows) -> None:
    """Say where so few samples (N,), of which what is of one group is one, might as well have chosen otherwise."""
    if doubts := meaning.doubts(independent(group)):
        say(f"warning: {doubts}")


def _warn_of_rare(names: list[str]) -> None:
    if names:
        listed = ", ".join(map(printable, names[:5]))
        say(f"note: under {FEWEST} of the held-out samples have {listed}: said from a probability of {EVEN} on")
