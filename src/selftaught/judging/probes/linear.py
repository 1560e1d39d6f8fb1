"""The linear probe: logistic regression whose strength is chosen on training labels alone."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from selftaught.judging.probe import Exam, Probe
from selftaught.system.interruption import poll

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C, inverse regularisation
WITHOUT_CHOICE = 1e-2  # where a class has one label only
HELD_OUT = 0.2

Array = NDArray[Any]


def linear_predict(
    train: Array, labels: Array, test: Array, seed: int, content: Array | None = None
) -> tuple[Array, float]:
    """The class of each test feature (M,), and the C that was chosen; train: (N, D), labels: (N,), test: (M, D).

    Features should have about unit variance (`baselines.standardised`), since C acts on all of them alike. Of training
    samples with the same `content` (N,) the first alone helps to choose C: a copy on both sides would mislead.
    """
    once = slice(None) if content is None else np.sort(np.unique(content, return_index=True)[1])
    strength = choose_strength(train[once], labels[once], seed)
    return _fit(_model(strength), train, labels).predict(test), strength


def choose_strength(train: Array, labels: Array, seed: int) -> float:
    """The C that does best on held-out training samples: a fifth of them, or folds where a class has under ten."""
    fewest = int(np.bincount(np.unique(labels, return_inverse=True)[1]).min())
    if fewest < 2:
        return WITHOUT_CHOICE
    if fewest < 10:
        splitter: Any = StratifiedKFold(min(fewest, 5), shuffle=True, random_state=seed)
    else:
        splitter = StratifiedShuffleSplit(1, test_size=HELD_OUT, random_state=seed)
    right = np.zeros(len(STRENGTHS))
    for fit_rows, held_rows in splitter.split(train, labels):
        model = _model(STRENGTHS[0])
        for i, strength in enumerate(STRENGTHS):  # weakest first, each starting from the one before
            model.C = strength
            _fit(model, train[fit_rows], labels[fit_rows])
            right[i] += (model.predict(train[held_rows]) == labels[held_rows]).sum()
    return STRENGTHS[int(right.argmax())]


def _model(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=200, tol=1e-3, warm_start=True)


def _fit(model: LogisticRegression, train: Array, labels: Array) -> LogisticRegression:
    poll()
    with warnings.catch_warnings():
        # The largest C may still be moving after 200 iterations; its accuracy has long settled.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(train, labels)


def _predict(features: Array, exam: Exam) -> Array:
    rows, data, split = exam.split.train, exam.data, exam.split
    return linear_predict(features[rows], data.classes[rows], features[split.test], split.repeat, data.content[rows])[0]


# The verdict that counts most: what a linear layer can read is what others who use the features can count on.
PROBE = Probe(predict=_predict, takes="standardised", priority=3, work="linear probe")
