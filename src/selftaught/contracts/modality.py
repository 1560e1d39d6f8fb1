"""What a kind of data brings along, so that everything else can do without knowing which kind it is.

A modality is a package beside `images/` with a class of samples (its rows, opened and at hand), a preparation (how a
sample becomes network input) and a way to build encoders by name. Methods never import one, and it imports no method.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

    from selftaught.contracts.encoder import Encoder
    from selftaught.contracts.findings import Findings
    from selftaught.system.components import Part


NAMES = ("images", "tables")


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

    def told(self) -> str:
        """For people, after the number of samples: at 8 x 8 px, 1 channel(s)."""

    def recipe(self) -> str:
        """What is done to a sample, for people."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """As plain data."""


class MakeViews(Protocol):
    """Makes the views a method asks for."""

    def __call__(self, rows: "Tensor", /, *raw: Any) -> "tuple[Tensor, ...]": ...

    def size(self, name: str) -> tuple[int, ...]:
        """Of a view, without its channels."""

    def describe(self) -> dict[str, dict[str, Any]]:
        """Every view in use with its options as they are, for people."""


class Samples(Protocol):
    """Samples by row number, with keys and, where they were wanted, labels."""

    name: str
    count: int
    keys: Sequence[str]
    labels: list[str] | None
    preparation: Any
    fingerprint: str
    quarantined: list[tuple[str, str]]

    def batch(self, rows: NDArray[np.int64]) -> "tuple[Tensor, ...]":
        """What views are made of, for these rows."""

    def prefetch(self, rows: NDArray[np.int64]) -> None:
        """A hint that the batch of `rows` will be wanted soon."""

    def subset(self, rows: NDArray[np.int64]) -> "Samples":
        """The same samples, only those of `rows`."""

    def views(self, names: Sequence[str], **how: Any) -> MakeViews:
        """What makes these views; `how`: patch, options, exact, dtype, channels_last."""


class Modality(Protocol):
    """The names a modality's package holds."""

    THINGS: str  # what its samples are called
    ENCODER: str  # where the user names none
    TOKEN_ENCODERS: Sequence[str]
    Preparation: Any
    create: Callable[..., Any]  # whose keyword-only parameters are the options of encoders
    open_samples: Callable[..., Samples]
    inspect: Callable[..., "Findings"]  # what is known of the data before training
    labels_by_key: Callable[[str], dict[str, str]]  # of labelled data, or a CSV
    view_options: Callable[[], dict[str, dict[str, Any]]]

    def recognises(self, data: str) -> bool: ...

    def guess(self, size: tuple[int, int] | None, part: "Part") -> Any: ...

    def build_encoder(self, part: "Part", preparation: Any, module: "nn.Module | None" = None) -> "Encoder": ...


def named(name: str) -> Any:
    """The modality of this name, which may come from a file: nothing else is imported. Raises ValueError."""
    if name not in NAMES:
        raise ValueError(f"there is no modality {name!r}")
    return import_module(f"selftaught.data.{name}")


def of(data: Any) -> Any:
    """The modality of the data that the user names; whatever is nothing else is images."""
    for name in NAMES[1:]:
        if named(name).recognises(data if isinstance(data, np.ndarray) else str(data)):
            return named(name)
    return named(NAMES[0])
