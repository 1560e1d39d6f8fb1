"""What labels say of samples: one class of each, several labels, or a number; and how such samples are told apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from selftaught.data.sources.labels import BETWEEN as BETWEEN  # what parts the labels of one sample
from selftaught.system.errors import DataError, UsageError
from selftaught.system.saying import say
from selftaught.system.text import as_number, printable

Task = Literal["classes", "several", "number"]
STRATA = 5  # parts of a range of numbers, each of which every split has samples of
MANY = 50  # whole numbers, beyond which they are hardly names of classes
HELD: dict[Task, str] = {
    "classes": "one class a sample",
    "several": "several labels a sample",
    "number": "a number a sample",
}

Array = NDArray[Any]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Targets:
    """The truth of samples, and the strata (N,) that every split has something of."""

    task: Task
    names: list[str]  # of the classes or labels, as the disk has them; of a number, of its strata
    values: Array  # classes (N,) int64, labels (N, L) bool, or numbers (N,) float64
    strata: Rows


def targets_of(
    labels: Sequence[Sequence[str]],
    asked: str = "auto",
    name: str = "--train",
    source: str = "--train",
    columns: str | None = None,
) -> Targets:
    """Of training and, if there are any, test labels, as one. Raises DataError and UsageError.

    asked: the task, or auto: several where labels have a `;`, a number where they have a fraction, else classes; name:
    of the training data, which the command takes as `source`; columns: what --label-column says.
    """
    together = [label for own in labels for label in own]
    task = cast(Task, asked) if asked in get_args(Task) else _guessed(labels[0], columns)
    if task == "several":
        return _several(labels, together, name, source)
    return _numbers(labels, together, name) if task == "number" else _classes(labels, together, source)


def looks(labels: Sequence[str]) -> Task:
    """What labels are, by how they are written; whole numbers are names of classes."""
    if any(BETWEEN in label for label in labels):
        return "several"
    numbers = [number_in(label) for label in dict.fromkeys(labels)]
    fractions = None not in numbers and any(not cast(float, number).is_integer() for number in numbers)
    return "number" if fractions else "classes"


def _guessed(labels: Sequence[str], columns: str | None) -> Task:
    """What the labels look like, said aloud where it is not a class."""
    task = looks(labels)
    if task == "several":
        named = {name.strip() for name in (columns or "").split(",")}  # of which such labels are made
        apart = len(named) > 1 and all(named.issuperset(names_in(label)) for label in labels)
        why = "--label-column names several columns" if apart else f"some have a {BETWEEN!r}"
        say(f"task     several labels a sample, as {why}; --task classes takes each text for a class")
    elif task == "number":
        say("task     a number a sample, as some labels have a fraction; --task classes takes each for a class")
    elif (count := len(set(labels))) > MANY and all(number_in(label) is not None for label in labels):
        say(f"note: the labels are {count:,} whole numbers, taken for classes; --task number takes their values")
    return task


def names_in(label: str) -> list[str]:
    """Each of the several labels of a sample."""
    return [part for part in map(str.strip, label.split(BETWEEN)) if part]


def number_in(label: str) -> float | None:
    """What a label says as a number; None where that is none, or not finite."""
    value = as_number(label)
    return None if value is None or not math.isfinite(value) else value


def _classes(labels: Sequence[Sequence[str]], together: Sequence[str], source: str) -> Targets:
    names = sorted(set(labels[0]))
    _refuse_unseen(set(labels[-1]), names, "classes", source)
    number = {name: i for i, name in enumerate(names)}
    values = np.array([number[label] for label in together], dtype=np.int64)
    return Targets("classes", names, values, values)


def _several(labels: Sequence[Sequence[str]], together: Sequence[str], name: str, source: str) -> Targets:
    """Strata are by the rarest label of each sample, so that splits have some of it."""
    sets = [frozenset(names_in(label)) for label in together]
    learnt = sets[: len(labels[0])]
    names = sorted(frozenset().union(*learnt))
    _refuse_unseen(frozenset().union(*sets[-len(labels[-1]) :]), names, "labels", source)
    if len(names) < 2:
        raise DataError(f"{name} has {len(names)} different label: there is nothing to tell apart")
    values = np.array([[label in own for label in names] for own in sets], dtype=bool)
    counts = values[: len(learnt)].sum(axis=0)
    rarest = np.where(values, counts, len(together) + 1).argmin(axis=1)
    return Targets("several", names, values, np.where(values.any(axis=1), rarest, len(names)).astype(np.int64))


def _numbers(labels: Sequence[Sequence[str]], together: Sequence[str], name: str) -> Targets:
    """Strata are parts of the range with about as many training samples each; those of a test set have no say in it."""
    values = [number_in(label) for label in together]
    if odd := [label for label, value in zip(together, values) if value is None][:3]:
        raise UsageError(f"--task number: {printable(name)} has labels that are none, such as '{printable(odd[0])}'")
    found = np.array(values, dtype=np.float64)
    learnt = found[: len(labels[0])]
    if len(np.unique(learnt)) < 2:
        raise DataError(f"{name} has only one value, {learnt[0]:g}: there is nothing to tell apart")
    edges = np.unique(np.quantile(learnt, np.linspace(0, 1, STRATA + 1)[1:-1]))
    held = np.unique(np.searchsorted(edges, learnt))  # the parts that any of them is in
    strata = np.searchsorted(held, np.searchsorted(edges, found)).clip(max=len(held) - 1).astype(np.int64)
    return Targets("number", [f"part {i + 1}" for i in range(len(held))], found, strata)


def _refuse_unseen(tested: set[str] | frozenset[str], names: Sequence[str], called: str, source: str) -> None:
    if unseen := sorted(tested - set(names)):
        told = f"--test has {called} that {source} has not: {_listed(unseen, 5)}"
        raise DataError(
            f"{told}; {source} has {_listed(names, 20)}: give both the same names, or leave these samples out"
        )
    if untested := sorted(set(names) - tested):
        say(f"warning: --test has no samples of {_listed(untested, 5)}: no accuracy says anything of them")


def _listed(names: Sequence[str], most: int) -> str:
    return ", ".join(map(printable, names[:most])) + ", ..." * (len(names) > most)
