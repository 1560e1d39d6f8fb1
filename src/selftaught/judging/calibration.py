"""Whether a classifier is as sure as it is right, and what makes it so."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

BINS = 15  # as of Guo et al.; the error depends on their number, so it stays the same for all
RANGE = (-3.0, 3.0)  # of the logarithm of a temperature: a twentieth to twenty, which no sane network leaves


def fitted_temperature(scores: Tensor, labels: Tensor) -> float:
    """What scores (N, classes) of samples that were not learnt from must be divided by to be as sure as they are right.

    The least cross-entropy (Guo et al., 2017, section 4.2), with targets that leave room for the mistake that few
    samples have not shown yet (Platt, 1999, section 2.2). https://arxiv.org/abs/1706.04599
    """
    scores, doubt = scores.double(), 1 / (len(scores) + 2)

    def loss(log: float) -> float:
        return float(F.cross_entropy(scores / float(np.exp(log)), labels, label_smoothing=doubt))

    return float(np.exp(minimize_scalar(loss, bounds=RANGE, method="bounded").x))


def calibration_error(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """By how much the probability of the likeliest class (N, classes) is off from how often it is right, on average.

    The expected calibration error in 15 equal bins (Naeini et al., 2015), in [0, 1].
    """
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    off = [abs(float((sure[place == i] - right[place == i]).sum())) for i in range(BINS)]
    return sum(off) / len(labels)


def probabilities_of(scores: Tensor, temperature: float) -> NDArray[Any]:
    """Scores (N, classes) as probabilities."""
    return torch.softmax(scores.double() / temperature, dim=1).numpy()
