"""How data of every kind is opened: which samples of a source are wanted, and how they are then at hand.

A kind of data opens a source, asks `chosen` for the rows, decodes them, and holds them in a class below `Opened`.
"""

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from selftaught.contracts.modality import MakeViews
from selftaught.data.sources.labels import labels_for, read_labels
from selftaught.data.sources.source import Source
from selftaught.system import randomness
from selftaught.system.errors import DataError
from selftaught.system.text import printable

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Chosen:
    """The rows of a source that are wanted."""

    source: Source
    rows: Rows
    labels: list[str] | None  # of all rows of the source, where labels are wanted
    fingerprint: str


def chosen(
    source: Source,
    things: str,
    remedy: str,
    *,
    labels: Path | None = None,
    labelled: bool = False,
    limit: int | None = None,
    seed: int = 0,
) -> Chosen:
    """The rows of `source` that are wanted.

    things: what samples are called; remedy: how to give labels to data without any; labels: a CSV of path,label in
    place of the source's own; labelled: whether labels are wanted (then `limit` is stratified, and samples without one
    are left out); limit: a random subset of this many. Raises DataError.
    """
    if labels is not None:
        source.labels = labels_for(labels, source.keys, things)
    if labelled and source.labels is None:
        raise DataError(f"{source.name} has no labels: {remedy}")
    wanted = source.labels if labelled else None
    rows = np.array([row for row in range(len(source)) if wanted is None or wanted[row]], np.int64)
    if not len(rows):
        raise DataError(f"{source.name} has labels for none of its {things}")
    parts = source.fingerprint(), str(limit), str(seed) if limit else ""
    return Chosen(source, randomness.subset(rows, wanted, limit, seed), wanted, digest(*parts, between=source.between))


def digest(*parts: str | bytes, between: bytes = b"\n") -> str:
    """A hash of all parts, in hexadecimal."""
    joined = between.join(part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.blake2b(joined, digest_size=16).hexdigest()


class Opened(ABC):
    """Samples by row number, with keys and labels: the Samples of the contract, but for what they are made of."""

    def __init__(
        self,
        wanted: Chosen,
        preparation: Any,
        kept: Rows | slice = slice(None),
        quarantined: Sequence[tuple[str, str]] = (),
    ) -> None:
        """kept: which of the wanted rows are whole; quarantined: keys of the others, with the reason."""
        rows, labels = wanted.rows[kept], wanted.labels
        self.name, self.fingerprint = wanted.source.name, wanted.fingerprint
        self.preparation, self.quarantined = preparation, list(quarantined)
        self.keys: Sequence[str] = [wanted.source.keys[row] for row in rows]
        self.labels = [labels[row] for row in rows] if labels else None
        self.count = len(rows)

    def subset(self, rows: Rows) -> Self:
        """The same samples, only those of `rows`."""
        part = copy(self)
        part.keys = [self.keys[row] for row in rows]
        part.labels = [self.labels[row] for row in rows] if self.labels else None
        part.count = len(rows)
        part.keep(rows)
        return part

    @abstractmethod
    def keep(self, rows: Rows) -> None:
        """Hold only those of `rows` from now on."""

    @abstractmethod
    def batch(self, rows: Rows) -> tuple[Tensor, ...]:
        """What views are made of, for these rows."""

    def prefetch(self, rows: Rows) -> None:
        """A hint that the batch of `rows` will be wanted soon."""
        return  # where all are at hand

    @abstractmethod
    def views(self, names: Sequence[str], **how: Any) -> MakeViews:
        """What makes these views of the samples."""


def labels_by_key(open_source: Callable[[str], Source], labelled: str) -> dict[str, str]:
    """Labels of samples by their keys, from labelled data or a CSV of path,label. Raises DataError."""
    if labelled.lower().endswith(".csv"):
        return dict(read_labels(Path(labelled)))
    return labels_in(open_source(labelled))


def labels_in(source: Source) -> dict[str, str]:
    """The labels of a source by key. Raises DataError where it has none."""
    if source.labels is None:
        raise DataError(f"{source.name} has no labels")
    return dict(zip(source.keys, source.labels))


def classes(source: Source) -> dict[str, int]:
    """How many samples of each label a source has, for people."""
    return {printable(name): count for name, count in sorted(Counter(source.labels or []).items())}


def same_content(digests: Sequence[bytes]) -> list[list[int]]:
    """Groups of two or more places with the same digest."""
    groups: dict[bytes, list[int]] = {}
    for place, held in enumerate(digests):
        groups.setdefault(held, []).append(place)
    return [group for group in groups.values() if len(group) > 1]


def notes_of_copies(things: str, same: Sequence[Sequence[Any]]) -> list[str]:
    """What to know of groups of the same content."""
    copies = sum(len(group) - 1 for group in same)
    return [f"{copies:,} {things} are copies of others; in both parts of a split, a copy is a leak"] * bool(copies)
