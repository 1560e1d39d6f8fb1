"""Labelled samples, and which of them are learnt from and which judged on.

No copy is on both sides. Subsets are stratified, and so are the folds where there is no test set.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.contracts.samples import Samples
from selftaught.judging.groups import together
from selftaught.judging.masks import Masks
from selftaught.judging.subsets import LabelCount, Rows, folds, held_out, label_subset, merged
from selftaught.judging.targets import Targets, Task
from selftaught.system.errors import DataError
from selftaught.system.text import printable


@dataclass(frozen=True)
class Split:
    """Which samples a probe may learn from and which it is judged on."""

    repeat: int
    train: Rows
    test: Rows


_OF_EACH = ("classes", "content", "exact", "named")  # of the fields below those that have a number for each sample


@dataclass
class Labelled:
    """Labelled samples: those to learn from, those of a test set if there is one, and all their classes."""

    train: Samples
    test: Samples | None
    classes: NDArray[np.int64]  # of the training samples followed by the test samples; else the strata of `targets`
    names: list[str]  # of the classes, as the disk has them
    content: Rows  # of each of them a number, the same for the same content, and for what looks just alike
    exact: Rows  # likewise, only for the same content
    named: Rows | None = None  # likewise, for those of which the user says that they belong together
    targets: Targets | None = None  # the truth, where it may be another one than `classes`
    masks: Masks | None = None  # the class of each pixel, where that is what is learnt; `classes` are one stratum then

    @property
    def task(self) -> Task:
        """What labels are: one class of each sample, several, or a number."""
        return self.targets.task if self.targets else "classes"

    @property
    def truth(self) -> NDArray[Any]:
        """What is so of all samples: classes (N,), labels (N, L) as bool, or numbers (N,)."""
        return self.targets.values if self.targets else self.classes

    @property
    def strata(self) -> list[str]:
        """What `classes` are called, where they are no classes, too."""
        return self.names if self.task == "classes" else [f"part {i + 1}" for i in range(int(self.classes.max()) + 1)]

    @cached_property
    def group(self) -> Rows:
        """A number for each sample (N,), the same for what is no independent evidence: copies, and what a group has."""
        return self.content if self.named is None else together(self.named, self.content)

    @property
    def sources(self) -> list[Samples]:
        """Training samples, then test samples."""
        return [self.train, self.test] if self.test else [self.train]

    @property
    def tested(self) -> int:
        """How many samples an accuracy is measured on; copies of one are one, and so is a group."""
        return len(np.unique(self.group[self.test_rows if self.test else slice(None)]))

    @property
    def distinct(self) -> int:
        """How many of those are no copies."""
        return len(np.unique(self.content[self.test_rows if self.test else slice(None)]))

    def subset(self, rows: Rows) -> Samples:
        """Samples by row; all of one source."""
        if self.test and rows[0] >= self.train.count:
            return self.test.subset(rows - self.train.count)
        return self.train.subset(rows)

    def apart(self, train: Rows, test: Rows) -> Rows:
        """Those of the `train` rows of whose group none is among the `test` rows: a copy there would be no test."""
        return train[~np.isin(self.group[train], self.group[test])]

    @property
    def test_rows(self) -> Rows:
        """Those of the test set; none where there is none."""
        return np.arange(self.train.count, len(self.classes))

    @property
    def not_tested(self) -> Rows:
        """The training rows that may be learnt from: those without a copy, or one of their group, in the test set."""
        return self.part(self.test_rows)

    def part(self, test: Rows) -> Rows:
        """The training rows, labels known or not, without copies of what is judged on, or others of its groups."""
        return self.apart(np.arange(self.train.count), test)

    def beyond_test(self) -> "Labelled":
        """The training samples that the test set has nothing of, neither a copy nor one of their group, by themselves.

        In folds of these something can be chosen before the test set is asked.
        """
        rows = self.not_tested
        held = {name: own[rows] for name in _OF_EACH if (own := getattr(self, name)) is not None}
        if targets := self.targets:
            held["targets"] = replace(targets, values=targets.values[rows], strata=targets.strata[rows])
        if masks := self.masks:
            held["masks"] = replace(masks, truth=masks.truth[rows])
        train = self.train if len(rows) == self.train.count else self.train.subset(rows)
        return evened(replace(self, train=train, test=None, **held))

    @property
    def copies(self) -> int:
        """How many training samples have a copy among what is judged: in the test set or, in folds, anywhere."""
        return self._repeated(self.content)

    @property
    def near_copies(self) -> int:
        """How many of them only look like one there, as the same picture does that was compressed or scaled again."""
        return self.copies - self._repeated(self.exact)

    def _repeated(self, content: Rows) -> int:
        if self.test:
            return int(np.isin(content[: self.train.count], content[self.test_rows]).sum())
        return int((np.bincount(content)[content] > 1).sum())


def evened(data: Labelled) -> Labelled:
    """With strata, where these are of our own making, none of which has too few training groups for folds.

    Samples of the test set have no say: each goes with the training samples of its stratum.
    """
    if data.task != "classes":
        learnt, known = slice(data.train.count), np.zeros(1 + int(data.classes.max()), dtype=np.int64)
        known[data.classes[learnt]] = merged(data.classes[learnt], data.group[learnt])
        data.classes = known[data.classes]
    return data


def spare(data: Labelled, rows: Rows, share: float, seed: int) -> tuple[Rows, Rows]:
    """Of training `rows` those to learn from, and the share that is held out; no group is on both sides."""
    learnt, held = held_out(data.classes[rows], data.group[rows], share, seed)
    return without_losing(data, rows, data.apart(rows[learnt], rows[held])), rows[held]


def without_losing(data: Labelled, rows: Rows, left: Rows) -> Rows:
    """Those `left` of training `rows`. Raises DataError where a class has lost all of its samples."""
    if data.task == "classes":
        refuse_lost(data, np.setdiff1d(data.classes[rows], data.classes[left]))
    return left


def refuse_lost(data: Labelled, lost: Rows) -> None:
    if len(lost):
        names = ", ".join(printable(data.names[number]) for number in lost[:5].tolist())
        alike = "copies" if data.named is None else "copies, or others of their group,"
        raise DataError(f"all samples of {names} have {alike} among what is judged: nothing is left to learn from")


def splits(data: Labelled, count: LabelCount, repeats: int, seed: int) -> Iterator[Split]:
    """Every split that a number of labels is judged on; all probes and all kinds of features see the same."""

    def drawn(known: Rows, number: int) -> Rows:
        return known[label_subset(data.classes[known], data.strata, count, seed + number)]

    known = data.not_tested
    if data.test:
        for repeat in range(repeats):
            yield Split(repeat, drawn(known, repeat), data.test_rows)
        return
    for number, (repeat, train, test) in enumerate(folds(data.classes, data.group, data.strata, repeats, seed)):
        yield Split(repeat, drawn(without_losing(data, known, data.apart(train, test)), number), test)
