"""What a classifier comes to on samples that chose nothing, and that in a line."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import mean_absolute_error, mean_squared_error, precision_recall_fscore_support
from torch import Tensor

from selftaught.judging import units
from selftaught.judging.accuracy import detail, row, votes
from selftaught.judging.certainty import calibration_error
from selftaught.judging.finetune import scores_of
from selftaught.judging.labelled import Labelled
from selftaught.judging.metrics import (
    average_precisions,
    balanced_accuracy,
    counting_once,
    explained,
    macro_f1,
    mean_average_precision,
)
from selftaught.judging.parts import parts_of_numbers, reach_of_labels, within_of_parts
from selftaught.judging.precision import parts as parts_of_labels
from selftaught.judging.subsets import Rows
from selftaught.run.classifier import Calibrated
from selftaught.run.meaning import Meaning
from selftaught.system.text import printable

Array = NDArray[Any]

KEYS: Mapping[str, tuple[str, ...]] = {  # of metrics.json, by task, but those that every task has
    "classes": (
        *("accuracy", "low", "high", "balanced_accuracy", "calibration_error", "calibration_error_before"),
        *("recall", "confusion"),
    ),
    "several": (
        *("mAP", "low", "high", "macro_F1", "calibration_error", "calibration_error_before"),
        *("average_precision", "precision", "recall"),
    ),
    "number": ("R2", "low", "high", "MAE", "RMSE", "held_by_margin"),
}
FEWER = ("measured_distinct", "measured_groups")  # what is measured as one, where that is fewer than the samples


def marks(classifier: Calibrated, data: Labelled, rows: Rows) -> dict[str, Any]:
    """What it makes of samples that chose nothing; nothing is known where there are none."""
    values, task = data.truth[rows], classifier.task
    known: dict[str, Any] = {"measured_on": len(rows)}
    if task == "classes":
        known["measured_per_class"] = np.bincount(values, minlength=len(data.names)).tolist()
    if task == "several":
        known["measured_per_class"] = values.sum(axis=0).tolist()
    if not len(rows):
        return known | dict.fromkeys(KEYS[task])
    scores, group = scores_of(classifier, data.subset(rows)).double(), data.group[rows]
    by = {"classes": _of_classes, "several": _of_several, "number": _of_number}[task]
    return known | dict(zip(KEYS[task], by(classifier.meaning, scores, values, group), strict=True))


def _of_classes(meaning: Meaning, scores: Tensor, truth: Rows, group: Rows) -> tuple[Any, ...]:
    sure, before = _sure(meaning, scores)
    said = sure.argmax(axis=1)
    right = votes(said == truth, group)
    accuracy = row("trained", "finetune", "", [[right]], len(right))
    weight = counting_once(group)
    classes = detail("trained", "finetune", "", said, truth, weight, sure.shape[1])
    balanced = balanced_accuracy(truth, said, weight)
    errors = calibration_error(sure, truth, weight), calibration_error(before, truth, weight)
    return accuracy.accuracy, accuracy.low, accuracy.high, balanced, *errors, classes.recall, classes.confusion


def _of_several(meaning: Meaning, scores: Tensor, truth: Array, group: Rows) -> tuple[Any, ...]:
    """Nothing is known of labels that no sample has."""
    sure, before = _sure(meaning, scores)
    weight, said, there = counting_once(group), sure >= np.array(meaning.thresholds), truth.any(axis=0)
    how: dict[str, Any] = {"average": None, "sample_weight": weight, "zero_division": 0}
    precision, recall, _, _ = precision_recall_fscore_support(truth, said, **how)
    errors = _error_of_labels(sure, truth, weight), _error_of_labels(before, truth, weight)
    each = average_precisions(truth, sure, weight), _known(precision, said.any(axis=0)), _known(recall, there)
    if not there.any():
        return None, None, None, None, *errors, *each
    within = _within(parts_of_labels(sure, truth, weight), group, reach_of_labels(truth, weight))
    return mean_average_precision(truth, sure, weight), *within, macro_f1(truth, said, weight), *errors, *each


def _of_number(meaning: Meaning, scores: Tensor, truth: Array, group: Rows) -> tuple[Any, ...]:
    """R² is of numbers that differ, or nothing is known of it."""
    said, weight = meaning.answers(scores).numpy(), counting_once(group)
    known: tuple[Any, ...] = None, None, None
    if len(np.unique(truth)) > 1:
        known = explained(truth, said, weight), *_within(parts_of_numbers(said, truth, weight), group)
    mae = float(mean_absolute_error(truth, said, sample_weight=weight))
    rmse = math.sqrt(mean_squared_error(truth, said, sample_weight=weight))
    off, margin = np.abs(said - truth), meaning.margin
    return *known, mae, rmse, None if margin is None else float(np.average(off <= margin, weights=weight))


def _sure(meaning: Meaning, scores: Tensor) -> tuple[Array, Array]:
    """Probabilities (N, C), and those before they were calibrated."""
    plain = meaning.model_copy(update={"temperature": 1.0})
    return meaning.answers(scores).numpy(), plain.answers(scores).numpy()


def _error_of_labels(sure: Array, truth: Array, weight: Array) -> float:
    """The calibration error of what is said of each label, that a sample has it or not."""
    yes, each = sure.ravel(), np.repeat(weight, truth.shape[1])
    return calibration_error(np.stack([1 - yes, yes], axis=1), truth.ravel().astype(np.int64), each)


def _known(values: Array, there: Any) -> list[float | None]:
    return [float(value) if known else None for value, known in zip(values, there)]


def _within(parts: Array, group: Rows, reach: float | None = None) -> tuple[float | None, float | None]:
    """The 95 % interval of a measure by what each sample adds (N,), as in `parts`; none is known of a single group."""
    each = votes(parts, group)
    return within_of_parts(each, reach) if len(each) > 1 else (None, None)


def not_measured(metrics: Mapping[str, Any]) -> list[str]:
    """The classes or labels of which none was among what a classifier was measured on."""
    return [name for name, count in zip(metrics["classes"], metrics.get("measured_per_class", ())) if not count]


def in_words(metrics: Mapping[str, Any]) -> str:
    """What a classifier comes to, in a line: on --test where that is named, else on what was held out."""
    task, those = metrics["task"], "samples that chose nothing"
    if metrics.get("test"):
        metrics, those = {**metrics, **dict.fromkeys(FEWER), **metrics["test"]}, "samples of --test"
    if not (said := _LINES[task](metrics)):
        few = "too few labels" if metrics.get("held_out") else "no labels were held out"
        return f"{few} to measure {_UNKNOWN.get(task, 'its accuracy')}; name a --test set for that"
    line = f"{said} on {metrics['measured_on']:,} {those}{units.counted_once(metrics)}"
    if missing := not_measured(metrics):
        called = "label" if task == "several" else "class"
        line += f", none of them of {called} {', '.join(map(printable, missing[:5]))}: it says nothing of these"
    return line


def _shown(metrics: Mapping[str, Any], key: str) -> str:
    """In points, with the interval, where that is known: 71.2 ± 1.1; of R² as it is."""
    if metrics["low"] is None:
        return units.written(key, metrics[key])
    return units.within(key, metrics[key], metrics["low"], metrics["high"])


def _classes_line(metrics: Mapping[str, Any]) -> str:
    if metrics["accuracy"] is None:
        return ""
    both = [f"accuracy {_shown(metrics, 'accuracy')}", f"balanced accuracy {100 * metrics['balanced_accuracy']:.1f}"]
    return ", ".join(both[::-1] if metrics["uneven"] else both)


def _several_line(metrics: Mapping[str, Any]) -> str:
    if metrics["mAP"] is None:
        return ""
    return f"mAP {_shown(metrics, 'mAP')}, macro F1 {100 * metrics['macro_F1']:.1f}"


def _number_line(metrics: Mapping[str, Any]) -> str:
    if metrics["MAE"] is None:
        return ""
    words = [f"off by {metrics['MAE']:.4g} on average (RMSE {metrics['RMSE']:.4g})"]
    if metrics["R2"] is not None:
        words.insert(0, f"R² {_shown(metrics, 'R2')}")
    if metrics["margin"] is not None:
        words.append(f"{metrics['held_by_margin']:.0%} within ± {metrics['margin']:.4g}")
    return ", ".join(words)


_UNKNOWN = {"several": "how good it is", "number": "how far off it is"}
_LINES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "classes": _classes_line,
    "several": _several_line,
    "number": _number_line,
}
