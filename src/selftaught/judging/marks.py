"""What a classifier comes to on samples that chose nothing, and that in a line."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import mean_absolute_error, mean_squared_error, precision_recall_fscore_support

from selftaught.judging.accuracy import Z, detail, row, votes
from selftaught.judging.aim import (
    average_precisions,
    balanced_accuracy,
    explained,
    mean_average_precision,
    targets_in,
)
from selftaught.judging.certainty import calibration_error, counting
from selftaught.judging.finetune import scores_of
from selftaught.judging.labelled import Labelled
from selftaught.judging.subsets import Rows
from selftaught.run.classifier import Calibrated
from selftaught.system import randomness
from selftaught.system.interruption import poll
from selftaught.system.text import printable

DRAWS = 200  # of a bootstrap, which suffice for a standard error (Efron and Tibshirani, 1993, section 6.4)

Array = NDArray[Any]

KEYS: Mapping[str, tuple[str, ...]] = {  # of metrics.json, by task, but those that every task has
    "classes": (
        *("accuracy", "low", "high", "balanced_accuracy", "calibration_error", "calibration_error_before"),
        *("recall", "confusion"),
    ),
    "several": (
        *("mean_average_precision", "low", "high", "macro_f1", "calibration_error", "calibration_error_before"),
        *("average_precision", "precision", "recall"),
    ),
    "number": ("r2", "low", "high", "mae", "rmse", "held_by_margin"),
}


def marks(classifier: Calibrated, data: Labelled, rows: Rows) -> dict[str, Any]:
    """What it makes of samples that chose nothing; nothing is known where there are none."""
    values, task = targets_in(data).values[rows], classifier.task
    known: dict[str, Any] = {"measured_on": len(rows)}
    if task == "classes":
        known["measured_per_class"] = np.bincount(values, minlength=len(data.names)).tolist()
    if task == "several":
        known["measured_per_class"] = values.sum(axis=0).tolist()
    if not len(rows):
        return known | dict.fromkeys(KEYS[task])
    scores = scores_of(classifier, data.subset(rows)).double()
    answers, before = (meaning.answers(scores).numpy() for meaning in _calibrated_and_not(classifier))
    by = {"classes": _of_classes, "several": _of_several, "number": _of_number}[task]
    return known | dict(zip(KEYS[task], by(classifier, answers, before, values, data.group[rows]), strict=True))


def _calibrated_and_not(classifier: Calibrated) -> tuple[Any, Any]:
    return classifier.meaning, classifier.meaning.model_copy(update={"temperature": 1.0})


def _of_classes(classifier: Calibrated, sure: Array, before: Array, truth: Rows, group: Rows) -> tuple[Any, ...]:
    said = sure.argmax(axis=1)
    right = votes(said == truth, group)
    accuracy = row("trained", "finetune", "", [[right]], len(right))
    classes = detail("trained", "finetune", "", [[(said, truth)]], len(classifier.classes))
    balanced = balanced_accuracy(truth, said, counting(group))
    errors = calibration_error(sure, truth), calibration_error(before, truth)
    return accuracy.accuracy, accuracy.low, accuracy.high, balanced, *errors, classes.recall, classes.confusion


def _of_several(classifier: Calibrated, sure: Array, before: Array, truth: Array, group: Rows) -> tuple[Any, ...]:
    """Of labels that nobody has, nothing is known; F1 leaves them out."""
    weight, there = counting(group), truth.any(axis=0)
    said = sure >= np.array(classifier.meaning.thresholds)
    how: dict[str, Any] = {"average": None, "sample_weight": weight, "zero_division": 0}
    precision, recall, f1, _ = precision_recall_fscore_support(truth, said, **how)
    mean, low, high = _with_interval(lambda some, w: mean_average_precision(truth[some], sure[some], w), group, 0.0)
    errors = _error_of_labels(sure, truth), _error_of_labels(before, truth)
    each = average_precisions(truth, sure, weight), _known(precision, said.any(axis=0)), _known(recall, there)
    return mean, low, high, float(f1[there].mean()) if there.any() else None, *errors, *each


def _of_number(classifier: Calibrated, said: Array, before: Array, truth: Array, group: Rows) -> tuple[Any, ...]:
    weight, margin = counting(group), classifier.meaning.margin
    r2, low, high = _with_interval(lambda some, w: explained(truth[some], said[some], w), group, -math.inf)
    mae = float(mean_absolute_error(truth, said, sample_weight=weight))
    rmse = math.sqrt(mean_squared_error(truth, said, sample_weight=weight))
    held = None if margin is None else float(np.average(np.abs(said - truth) <= margin, weights=weight))
    return r2, low, high, mae, rmse, held


def _error_of_labels(sure: Array, truth: Array) -> float:
    """The calibration error of what is said of each label, that a sample has it or not."""
    yes = sure.ravel()
    return calibration_error(np.stack([1 - yes, yes], axis=1), truth.ravel().astype(np.int64))


def _known(values: Array, there: Any) -> list[float | None]:
    return [float(value) if known else None for value, known in zip(values, there)]


def _with_interval(
    measure: Callable[[Rows, Array], float], group: Rows, least: float
) -> tuple[float, float | None, float | None]:
    """A measure of rows that count differently, at most 1, and its 95 % interval by drawing groups anew.

    A bootstrap of groups, each of which counts once, for the standard error; none is known of a single group.
    """
    _, number = np.unique(group, return_inverse=True)
    weight, many = counting(group), int(number.max()) + 1
    value = measure(np.arange(len(group)), weight)
    if many < 2:
        return value, None, None
    draws, found = randomness.generator(0, "marks"), []
    for _ in range(DRAWS):
        poll()
        drawn = np.bincount(draws.integers(many, size=many), minlength=many)[number] * weight
        some = np.flatnonzero(drawn)
        found.append(measure(some, drawn[some]))
    half = Z * float(np.std(found, ddof=1))
    return value, max(least, value - half), min(1.0, value + half)


def not_measured(metrics: Mapping[str, Any]) -> list[str]:
    """The classes or labels of which none was among what a classifier was measured on."""
    return [name for name, count in zip(metrics["classes"], metrics.get("measured_per_class", ())) if not count]


def in_words(metrics: Mapping[str, Any]) -> str:
    """What a classifier comes to, in a line."""
    if not metrics["measured_on"]:
        what = {"number": "how far off it is", "several": "how good it is"}.get(metrics["task"], "its accuracy")
        return f"too few labels to measure {what}; name a --test set for that"
    line = f"{_LINES[metrics['task']](metrics)} on {metrics['measured_on']:,} samples that chose nothing"
    if missing := not_measured(metrics):
        called = "label" if metrics["task"] == "several" else "class"
        line += f", none of them of {called} {', '.join(map(printable, missing[:5]))}: it says nothing of these"
    return line


def _shown(metrics: Mapping[str, Any], key: str) -> str:
    """In points, with half the interval: 71.2 ± 1.1."""
    known = metrics["low"] is not None
    return f"{100 * metrics[key]:.1f}" + (f" ± {50 * (metrics['high'] - metrics['low']):.1f}" if known else "")


def _classes_line(metrics: Mapping[str, Any]) -> str:
    both = [f"accuracy {_shown(metrics, 'accuracy')}", f"balanced accuracy {100 * metrics['balanced_accuracy']:.1f}"]
    return ", ".join(both[::-1] if metrics["uneven"] else both)


def _several_line(metrics: Mapping[str, Any]) -> str:
    f1 = "" if metrics["macro_f1"] is None else f", macro F1 {100 * metrics['macro_f1']:.1f}"
    return f"mAP {_shown(metrics, 'mean_average_precision')}{f1}"


def _number_line(metrics: Mapping[str, Any]) -> str:
    off = f"off by {metrics['mae']:.4g} on average (RMSE {metrics['rmse']:.4g})"
    margin, held = metrics["margin"], metrics["held_by_margin"]
    within = "" if margin is None else f", within ± {margin:.4g} for {held:.0%}"
    return f"R² {_shown(metrics, 'r2')}, {off}{within}"


_LINES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "classes": _classes_line,
    "several": _several_line,
    "number": _number_line,
}
