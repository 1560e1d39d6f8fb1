"""Which labels a probe may see: stratified subsets, and folds where there is no test set."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import RepeatedStratifiedKFold

from .. import randomness
from ..errors import DataError, UsageError

Rows = NDArray[np.int64]
FOLDS = 5


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


def label_subset(labels: NDArray[np.int64], count: LabelCount, seed: int) -> Rows:
    """Rows of a stratified random subset, at least one a class, ascending."""
    if count.everything:
        return np.arange(len(labels))
    order = randomness.generator(seed, "labels").permutation(len(labels))
    chosen = []
    for name in np.unique(labels):
        own = order[labels[order] == name]
        wanted = count.per_class or max(1, round(len(own) * (count.fraction or 0)))
        if wanted > len(own):
            raise DataError(f"--labels {count.text} asks for {wanted} of a class that has {len(own)}")
        chosen.append(own[:wanted])
    return np.sort(np.concatenate(chosen))


def held_out(labels: NDArray[np.int64], share: float, seed: int) -> tuple[Rows, Rows]:
    """Rows to learn from and rows held out: of each class its share, but never the last sample; both ascending."""
    order = randomness.generator(seed, "held out").permutation(len(labels))
    held = np.zeros(len(labels), dtype=bool)
    for name in np.unique(labels):
        own = order[labels[order] == name]
        held[own[: min(len(own) - 1, round(share * len(own)))]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def folds(labels: NDArray[Any], repeats: int, seed: int) -> Iterator[tuple[int, Rows, Rows]]:
    """Repeated stratified folds: (round, training rows, test rows)."""
    names, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        lonely = names[counts.argmin()]
        raise DataError(f"class {lonely} has a single label; folds need two of each, or name a --test set")
    splits = min(FOLDS, int(counts.min()))
    splitter = RepeatedStratifiedKFold(n_splits=splits, n_repeats=repeats, random_state=seed)
    for number, (train, test) in enumerate(splitter.split(labels, labels)):
        yield number // splits, train, test
