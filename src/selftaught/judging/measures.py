"""By what answers are measured: accuracy, balanced accuracy, mAP or R²; and how sure that is.

What is of one group counts once: its samples weigh 1 together. Of each measure the test of a difference is one by swaps
of what two kinds of features say of a sample, or of a group: if neither is the better, it might as well have been said
the other way round.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, mean_absolute_error

from selftaught.judging import parts, precision
from selftaught.judging.accuracy import Answers, Other, Right, detail, each_once, votes
from selftaught.judging.labelled import Labelled
from selftaught.judging.metrics import (
    EVEN,
    UNEVEN,
    average_precisions,
    balanced_accuracy,
    counting_once,
    explained,
    macro_f1,
    mean_average_precision,
    uneven,
)
from selftaught.judging.paired import luck
from selftaught.judging.result import Detail
from selftaught.judging.targets import Task
from selftaught.system.errors import DataError, UsageError
from selftaught.system.saying import say
from selftaught.system.text import printable

Array = NDArray[Any]
Rows = NDArray[np.int64]
Contents = Sequence[Sequence[Rows]]  # of each repeat, of each of its folds: the groups of what is asked (N,)
Round = tuple[Array, Array, Rows, Array]  # what was said (N, ...), what is so, groups and weights (N,), of a repeat


def measure_of(data: Labelled) -> str:
    """The measure that stands first; where classes differ much, why is said. Raises DataError where none can be."""
    if data.task == "several":
        return "mAP"
    if data.task == "number":
        return "R2"
    counts = np.bincount(data.classes[: data.train.count], minlength=len(data.names))
    if not uneven(counts):
        return "accuracy"
    few, many = (f"{printable(data.names[int(at)])} {counts[at]:,}" for at in (counts.argmin(), counts.argmax()))
    told = f"classes differ by more than {UNEVEN} to 1 ({few}, {many})"
    say(f"note: {told}: balanced accuracy, the mean over classes of what is found of each, stands before accuracy")
    return "balanced_accuracy"


def refuse_unmeasured(data: Labelled) -> None:
    """Raise DataError where nothing can be measured on what is judged."""
    judged = data.truth[data.test_rows] if data.test else data.truth
    if data.task == "several" and not judged.any():
        raise DataError("--test has none of the labels of --train, so nothing can be measured on it")
    if data.task == "number" and len(np.unique(judged)) < 2:
        raise DataError("--test has only one value, of which nothing can be explained; R² takes two at least")


def refuse_others(task: Task, able: dict[str, Sequence[str]], per_class: Sequence[str]) -> None:
    """Raise UsageError for probes, by the tasks they are `able` to do, and numbers of labels that are for classes."""
    if task == "classes":
        return
    are = "several a sample" if task == "several" else "numbers"
    if unable := [name for name, tasks in able.items() if task not in tasks]:
        raise UsageError(f"--probe {unable[0]} is for classes, and the labels are {are}: say --probe knn,linear")
    if per_class:
        raise UsageError(f"--labels {per_class[0]} is so many of each class, and the labels are {are}: say 10%, or so")


def values(task: Task, answers: Answers, contents: Contents) -> dict[str, float]:
    """All measures of a task by name, each a mean over repeats; what is of one group counts once."""
    found = [_MEASURED[task](said, truth, weights) for said, truth, _, weights in _rounds(answers, contents)]
    means = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
    return {name: float(f"{mean:.12g}") for name, mean in means.items()}  # the rest depends on the order of sums


def shares(measure: str, answers: Answers, contents: Contents) -> Right:
    """Of each repeat, of each of its folds, the part of each group (M,): their mean is the measure."""
    if measure == "accuracy":
        return _each(answers, contents, lambda said, truth: said == truth)
    return _of_rounds(_PARTS[measure], answers, contents)


def other_than_accuracy(
    measure: str, answers: Mapping[str, Answers], contents: Contents, voting: Contents | None
) -> Other | None:
    """How the measure is judged, by `answers` for each kind of features; nothing of accuracy, which needs no more.

    voting: as of `gain_over`; None where there are no folds.
    """
    if measure == "accuracy":
        return None
    rounds = {kind: _rounds(own, contents) for kind, own in answers.items()}
    reach = _REACH[measure]
    _, truth, _, weights = rounds["trained"][0]
    most = reach(truth, weights) if reach else None

    def within(kind: str) -> tuple[float, float]:
        if measure == "balanced_accuracy":
            ends = [parts.within_of_classes(said, truth, weights) for said, truth, _, weights in rounds[kind]]
            return float(np.mean([low for low, _ in ends])), float(np.mean([high for _, high in ends]))
        told = each_once(shares(measure, answers[kind], contents), voting is not None, voting)
        return parts.within_of_parts(told, most)

    def lucky(kind: str) -> float:
        if measure == "mAP":
            return _luck_of_swaps(rounds["trained"], rounds[kind])
        own, other = (_of_rounds(_COINS[measure], answers[name], contents) for name in ("trained", kind))
        apart = [[a - b for a, b in zip(*folds)] for folds in zip(own, other)]
        return luck(each_once(apart, voting is not None, voting))

    return Other(measure, within, lucky, most)


def _luck_of_swaps(own: Sequence[Round], other: Sequence[Round]) -> float:
    numbers = np.unique(np.concatenate([group for _, _, group, _ in own]))
    return precision.luck_of_swaps(
        [
            precision.Answered(first, second, truth, np.searchsorted(numbers, group), weights)
            for (first, truth, group, weights), (second, *_) in zip(own, other, strict=True)
        ]
    )


def _each(answers: Answers, contents: Contents, right: Callable[[Array, Array], Array]) -> Right:
    return [
        [votes(right(said, truth), content) for (said, truth), content in zip(folds, asked, strict=True)]
        for folds, asked in zip(answers, contents, strict=True)
    ]


def _rounds(answers: Answers, contents: Contents) -> list[Round]:
    """All folds of each repeat together, as each of its samples is in one; groups weigh 1 each."""
    found = []
    for folds, asked in zip(answers, contents, strict=True):
        said, truth = (np.concatenate([fold[i] for fold in folds]) for i in (0, 1))
        weights = np.concatenate([counting_once(content) for content in asked])
        found.append((said, truth, np.concatenate(list(asked)), weights))
    return found


def _of_rounds(part: Callable[[Array, Array, Array], Array], answers: Answers, contents: Contents) -> Right:
    found = []
    for (said, truth, _, weights), asked in zip(_rounds(answers, contents), contents, strict=True):
        ends = np.cumsum([len(content) for content in asked])[:-1]
        folds = np.split(part(said, truth, weights), ends)
        found.append([votes(own, content) for own, content in zip(folds, asked, strict=True)])
    return found


_PARTS = {"balanced_accuracy": parts.parts_of_classes, "mAP": precision.parts, "R2": parts.parts_of_numbers}
_COINS = {"balanced_accuracy": parts.coins_of_classes, "R2": parts.coins_of_numbers}
_REACH = {"balanced_accuracy": parts.reach_of_classes, "mAP": parts.reach_of_labels, "R2": None}


def details_of(
    task: Task, features: str, probe: str, labels: str, answers: Answers, contents: Contents, classes: int
) -> Detail:
    """The answers class by class, or label by label, of which the measures are means; of numbers nothing more is told.

    Scores of different repeats rank no samples together, so an average precision is the mean over repeats, as mAP is.
    """
    rounds = _rounds(answers, contents)
    said, truth, weights = (np.concatenate([one[i] for one in rounds]) for i in (0, 1, 3))
    if task == "classes":
        return detail(features, probe, labels, said, truth, weights, classes)
    about = Detail(features=features, probe=probe, labels=labels, recall=[], confusion=None)
    if task == "number":
        return about
    each = zip((said >= EVEN).T, truth.T)
    recall = [float(np.average(s[own], weights=weights[own])) if own.any() else None for s, own in each]
    of_labels = zip(*(average_precisions(truth, said, weights) for said, truth, _, weights in rounds))
    known = ([value for value in label if value is not None] for label in of_labels)
    precise = [float(np.mean(label)) if label else None for label in known]
    return about.model_copy(update={"recall": recall, "average_precision": precise})


def _of_classes(said: Array, truth: Array, weights: Array) -> dict[str, float]:
    accuracy = float(accuracy_score(truth, said, sample_weight=weights))
    return {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy(truth, said, weights)}


def _of_several(said: Array, truth: Array, weights: Array) -> dict[str, float]:
    precise = mean_average_precision(truth, said, weights)
    return {"mAP": precise, "macro_F1": macro_f1(truth, said >= EVEN, weights)}


def _of_numbers(said: Array, truth: Array, weights: Array) -> dict[str, float]:
    mae = float(mean_absolute_error(truth, said, sample_weight=weights))
    return {"R2": explained(truth, said, weights), "MAE": mae}


_MEASURED: dict[Task, Callable[[Array, Array, Array], dict[str, float]]] = {
    "classes": _of_classes,
    "several": _of_several,
    "number": _of_numbers,
}
