"""Which labels a probe may see: stratified subsets, and folds where there is no test set."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedGroupKFold

from selftaught.system import randomness
from selftaught.system.errors import DataError, UsageError

Rows = NDArray[np.int64]
FOLDS = 5


@dataclass(frozen=True)
class Split:
    """Which samples a probe may learn from and which it is judged on."""

    repeat: int
    train: Rows
    test: Rows


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
    raise UsageError(f"--labels cannot be {item!r}: 10% is a fraction of the labels, 5 is per class")


def label_subset(labels: NDArray[np.int64], names: Sequence[str], count: LabelCount, seed: int) -> Rows:
    """Rows of a stratified random subset, at least one a class, ascending; labels (N,) count in `names`."""
    if count.everything:
        return np.arange(len(labels))
    chosen = []
    for number, own in _by_class(labels, seed, "labels"):
        wanted = count.per_class or max(1, round(len(own) * (count.fraction or 0)))
        if wanted > len(own):
            there = f"class {names[number]}, which has {len(own)}"
            raise DataError(f"--labels {count.text} asks for {wanted} of {there} to learn from")
        chosen.append(own[:wanted])
    return np.sort(np.concatenate(chosen))


def held_out(labels: NDArray[np.int64], content: Rows, share: float, seed: int) -> tuple[Rows, Rows]:
    """Rows to learn from and rows held out: of each class its share, but never all of it; both ascending.

    Samples of a class that have the same `content` (N,) stay together, so a share of few contents may be exceeded.
    """
    held = np.zeros(len(labels), dtype=bool)
    for _, own in _by_class(labels, seed, "held out"):
        _, first, numbers = np.unique(content[own], return_index=True, return_inverse=True)
        drawn = np.argsort(np.argsort(first))[numbers]  # of each sample the turn of its content
        ends = np.cumsum(np.bincount(drawn))
        wanted = round(share * len(own))
        turns = np.searchsorted(ends, wanted) + 1 if wanted else 0
        held[own[drawn < min(turns, len(ends) - 1)]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _by_class(labels: NDArray[np.int64], seed: int, purpose: str) -> Iterator[tuple[int, Rows]]:
    """Each class and its rows in random order."""
    order = randomness.generator(seed, purpose).permutation(len(labels))
    for number in np.unique(labels):
        yield int(number), order[labels[order] == number]


def folds(
    labels: NDArray[np.int64], content: Rows, names: Sequence[str], repeats: int, seed: int
) -> Iterator[tuple[int, Rows, Rows]]:
    """Repeated stratified folds: (round, training rows, test rows). What has the same content stays together."""
    distinct = [len(np.unique(content[labels == number])) for number in range(len(names))]
    if min(distinct) < 2:
        lonely = names[int(np.argmin(distinct))]
        raise DataError(f"class {lonely} has a single labelled sample; folds need two of each, or name a --test set")
    splits = min(FOLDS, *distinct)
    if len(np.unique(content)) == len(content):
        rounds = RepeatedStratifiedKFold(n_splits=splits, n_repeats=repeats, random_state=seed).split(labels, labels)
        for number, (train, test) in enumerate(rounds):
            yield number // splits, train, test
        return
    for repeat in range(repeats):
        splitter = StratifiedGroupKFold(splits, shuffle=True, random_state=seed + repeat)
        for train, test in splitter.split(labels, labels, content):
            yield repeat, train, test
