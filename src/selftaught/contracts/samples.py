"""Samples of any kind of data, how each becomes network input, and what makes views of them."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from selftaught.system.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


class Preparation(Protocol):
    """How a sample becomes network input; recorded with the encoder."""

    modality: ClassVar[str]
    mean: tuple[float, ...]  # per channel, of values in [0, 1]
    std: tuple[float, ...]

    @property
    def channels(self) -> int: ...

    @property
    def size(self) -> tuple[int, ...]:
        """Of a plain view, without its channels."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a plain view."""

    def in_words(self) -> str:
        """What follows the number of samples: at 8 x 8 px, 1 channel(s)."""

    def recipe(self) -> str:
        """What is done to a sample, for people."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """As plain data."""


class MakeViews(Protocol):
    """Makes the views a method asks for."""

    @abstractmethod
    def __call__(self, rows: "Tensor", /, *raw: Any) -> "tuple[Tensor, ...]":
        """One tensor a view, of sample numbers (B,) and what a batch of the samples holds.

        Runs inside `randomness.at(...)`, unless every view is plain or index.
        """

    def size(self, name: str) -> tuple[int, ...]:
        """Of a view, without its channels."""

    def describe(self) -> dict[str, dict[str, Any]]:
        """Every view in use with its options as they are, for people."""


class Looked(Protocol):
    """What was looked at before the first step."""

    rows: NDArray[np.int64]
    fingerprint: str
    broken: dict[int, str]  # those that cannot be used, by number, with the reasons
    facts: dict[str, Any]  # what these are like, as plain data


class Samples(Protocol):
    """Samples by row number, with keys and, where they were wanted, labels."""

    name: str
    count: int
    keys: Sequence[str]
    labels: list[str] | None
    preparation: Any
    former_fingerprint: str  # of names and sizes: runs that were made before `fingerprint` was of content have this one
    quarantined: list[tuple[str, str]]
    notes: Sequence[str] = ()  # how they were read, where that could be mistaken; for people
    groups: Sequence[str] | None = None  # by row, the same for samples that are no independent evidence
    own: Mapping[str, Any] = {}
    guidance: Any = None  # what training makes of their metadata, where any are used
    sampled: "Looked | None" = None  # what was looked at, where not all was; then some may be broken

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of what all samples hold, or of names, sizes and what was looked at."""

    def digests(self, progress: Callable[[int, int], None] = lambda done, total: None) -> NDArray[np.uint8] | None:
        """Of the content of each sample (N, 16); None where nobody knows. To read it may take long."""
        return None

    def metadata(self, names: Sequence[str], file: str | None = None, labels: str | None = None) -> list[Any]:
        """Columns that say something of the samples beside what they hold; see `data/opening.py`."""
        raise UsageError(f"{self.name} has no metadata")

    def refuse_columns(self, names: Sequence[str], file: str | None = None, labels: str | None = None) -> None:
        """Raise DataError and UsageError where `metadata` has no such columns."""
        self.metadata(names, file, labels)

    def told_labels(self) -> list[str] | None:
        """The label that the source has of each sample, "" for none, whether or not labels were wanted; else None."""
        return None

    def let_source_go(self) -> None:
        """Keep no more than what samples are made of."""

    @abstractmethod
    def batch(self, rows: NDArray[np.int64]) -> "tuple[Tensor, ...]":
        """What views are made of, for these rows."""

    def prefetch(self, rows: NDArray[np.int64]) -> None:
        """A hint that the batch of `rows` will be wanted soon."""

    def replaced(self, rows: NDArray[np.int64]) -> Mapping[int, str]:
        """Which of these samples, that a batch held, are broken, and of their substitutes; with the reasons."""
        return {}

    def know_broken(self, broken: Mapping[int, str]) -> None:
        """Take these samples for broken, whatever they hold by now: they were when they were met."""

    def subset(self, rows: NDArray[np.int64]) -> "Samples":
        """The same samples, only those of `rows`."""

    def seen(self, row: int, side: int) -> NDArray[np.uint8] | None:
        """A sample as its source has it, RGB (H, W, 3), neither side longer than `side`; None where views say all."""
        return None

    def heard(self, row: int, rate: int) -> NDArray[np.float32] | None:
        """The sound of a sample in [-1, 1], so many values a second; None where there is none, or none any more."""
        return None

    @abstractmethod
    def views(self, names: Sequence[str], **how: Any) -> MakeViews:
        """What makes these views; `how`: patch, options, exact, dtype, channels_last."""
