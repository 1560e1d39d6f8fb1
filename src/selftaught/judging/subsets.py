"""Which rows: subsets of the labels, shares that are held out, and folds, all stratified by class.

What is of one group is never on two sides.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedGroupKFold

from selftaught.system import randomness
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import printable

FOLDS = 5

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class LabelCount:
    """How many labels: a fraction of all, or a number per class."""

    text: str
    fraction: float | None = None
    per_class: int | None = None

    @property
    def everything(self) -> bool:
        """Whether all labels are used."""
        return self.fraction == 1.0

    def __str__(self) -> str:
        if self.everything:
            return "all labels"
        return f"{self.per_class} per class" if self.per_class else f"{self.text} of the labels"


def parse_labels(text: str) -> list[LabelCount]:
    """Label counts such as `1%,10%,5`."""
    return [_label_count(item.strip()) for item in text.split(",")]


def _label_count(item: str) -> LabelCount:
    if re.fullmatch(r"\d+", item) and int(item) > 0:
        return LabelCount(item, per_class=int(item))
    if (match := re.fullmatch(r"(\d+(?:\.\d+)?)%", item)) and 0 < float(match[1]) <= 100:
        return LabelCount(item, fraction=float(match[1]) / 100)
    way = "10% is a fraction of the labels, 5 is per class" + ("; a CSV is --train-labels" if ".csv" in item else "")
    raise UsageError(f"--labels cannot be {item!r}: {way}")


def label_subset(labels: NDArray[np.int64], names: Sequence[str], count: LabelCount, seed: int) -> Rows:
    """Rows of a stratified random subset, at least one a class, ascending; labels (N,) count in `names`."""
    if count.everything:
        return np.arange(len(labels))
    chosen = []
    rows = dict(_by_class(labels, seed, "labels"))
    for number, own in rows.items():
        wanted = count.per_class or max(1, round(len(own) * (count.fraction or 0)))
        if wanted > len(own):
            there = f"class {printable(names[number])}, which has {len(own)}"
            most = f"there are at most {min(map(len, rows.values())):,} of each class"
            raise DataError(f"--labels {count.text} asks for {wanted} of {there} to learn from: {most}")
        chosen.append(own[:wanted])
    return np.sort(np.concatenate(chosen))


def merged(strata: NDArray[np.int64], group: Rows) -> NDArray[np.int64]:
    """Strata (N,) of which those with too few groups for folds are one, or, if that is too few, of the largest."""
    found, own = np.unique(strata, return_inverse=True)
    groups = np.array([len(np.unique(group[own == number])) for number in range(len(found))])
    rare = groups < FOLDS
    if rare.all():
        return np.zeros_like(strata)
    apart = len(found) if len(np.unique(group[rare[own]])) >= FOLDS else int(groups.argmax())
    return np.unique(np.where(rare[own], apart, own), return_inverse=True)[1].astype(np.int64)


def held_out(labels: NDArray[np.int64], group: Rows, share: float, seed: int) -> tuple[Rows, Rows]:
    """Rows to learn from and rows held out: of each class its share, but never all of it; both ascending.

    Samples of a `group` (N,) stay together, so that the share of few groups may be exceeded, or, where a class has all
    of its samples in one, not be reached.
    """
    if not len(labels):
        return np.arange(0), np.arange(0)
    drawn = dict(_by_class(labels, seed, "held out"))
    wanted = {number: round(share * len(own)) for number, own in drawn.items()}
    members = _members(group)
    left = {number: len(np.unique(group[labels == number])) for number in wanted}  # groups that are not held out
    held = np.zeros(len(labels), dtype=bool)
    for number in dict.fromkeys(group[np.concatenate(list(drawn.values()))].tolist()):
        rows = members[number]
        inside, counts = np.unique(labels[rows], return_counts=True)
        if any(wanted[own] > 0 for own in inside) and all(left[own] > 1 for own in inside):
            held[rows] = True
            for own, count in zip(inside, counts):
                wanted[own] -= count
                left[own] -= 1
    return np.flatnonzero(~held), np.flatnonzero(held)


def _members(group: Rows) -> dict[int, Rows]:
    """The rows of each group."""
    order = np.argsort(group, kind="stable")
    numbers, starts = np.unique(group[order], return_index=True)
    return dict(zip(numbers.tolist(), np.split(order, starts[1:])))


def _by_class(labels: NDArray[np.int64], seed: int, purpose: str) -> Iterator[tuple[int, Rows]]:
    """Each class and its rows in random order."""
    order = randomness.generator(seed, purpose).permutation(len(labels))
    for number in np.unique(labels):
        yield int(number), order[labels[order] == number]


def folds(
    labels: NDArray[np.int64], group: Rows, names: Sequence[str], repeats: int, seed: int
) -> Iterator[tuple[int, Rows, Rows]]:
    """Repeated stratified folds: (round, training rows, test rows). What is of one group (N,) stays together."""
    distinct = [len(np.unique(group[labels == number])) for number in range(len(names))]
    if min(distinct) < 2:
        lonely = int(np.argmin(distinct))
        copied = (labels == lonely).sum() > 1
        held = "only copies of a single labelled sample, or one group" if copied else "a single labelled sample"
        way = "folds need two of each, or name a --test set"
        raise DataError(f"class {printable(names[lonely])} has {held}; {way}")
    splits = min(FOLDS, *distinct)
    if len(np.unique(group)) == len(group):
        rounds = RepeatedStratifiedKFold(n_splits=splits, n_repeats=repeats, random_state=seed).split(labels, labels)
        for number, (train, test) in enumerate(rounds):
            yield number // splits, train, test
        return
    for repeat in range(repeats):
        splitter = StratifiedGroupKFold(splits, shuffle=True, random_state=seed + repeat)
        for train, test in splitter.split(labels, labels, group):
            if len(test):  # of groups that differ much in size one fold may get none
                yield repeat, train, test
