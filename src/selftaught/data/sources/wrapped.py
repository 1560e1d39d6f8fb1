"""What an object in Python holds, where its type would be taken for something else: series, and texts."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from selftaught.system.errors import UsageError

SHAPE = "an array of (N, points) or (N, channels, points), or a list of arrays of (points,) or (channels, points)"


class Series:
    """Time series that are held in Python, in whatever place data is named.

    values: (N, points) or (N, channels, points), NaN for what is missing, or a list of arrays, (points,) or (channels,
    points), of any lengths; of a tensor its numbers. groups: of each which recording, machine or person it is of, none
    of whom is on two sides of a split; keys: what each is called (default: its number); channels, units: of each
    channel; rate: points in a unit of time. Raises UsageError.
    """

    kind: ClassVar = "series"

    def __init__(
        self,
        values: Any,
        *,
        groups: Sequence[Any] | None = None,
        keys: Sequence[Any] | None = None,
        channels: Sequence[str] | None = None,
        units: Sequence[str] | None = None,
        rate: float | None = None,
    ) -> None:
        known = {"groups": groups, "keys": keys, "channels": channels, "units": units, "rate": rate}
        told = {name: np.asarray(value) for name, value in known.items() if value is not None}
        self.arrays: dict[str, NDArray[Any]] = {**_joined(values), **told}  # named as in a .npz of series

    def __len__(self) -> int:
        return len(self.arrays["x"]) if "x" in self.arrays else len(self.arrays["offsets"]) - 1


class Texts:
    """Texts that are held in Python, in whatever place data is named: a list of paths would be of images.

    texts: strings, None for one that is missing; keys: what each is called (default: its number). Raises UsageError.
    """

    kind: ClassVar = "text"

    def __init__(self, texts: Iterable[Any], *, keys: Sequence[Any] | None = None) -> None:
        if isinstance(texts, str):
            raise UsageError("Texts takes a list of texts, and was given a single one")
        self.texts = ["" if _is_missing(text) else text for text in texts]
        if odd := {type(text).__name__ for text in self.texts if not isinstance(text, str)}:
            raise UsageError(f"Texts takes strings, and was given something of type {min(odd)}")
        self.keys = [str(row) for row in range(len(self.texts))] if keys is None else [str(key) for key in keys]
        if len(self.keys) != len(self.texts):
            raise UsageError(f"Texts was given {len(self.keys):,} keys for {len(self.texts):,} texts")

    def __len__(self) -> int:
        return len(self.texts)


def _is_missing(text: Any) -> bool:
    return text is None or (isinstance(text, float) and text != text)


def _joined(values: Any) -> dict[str, NDArray[Any]]:
    """The values as a .npz holds them: those of several lengths one behind the other."""
    values = on_the_host(values)
    if isinstance(values, np.ndarray) and values.dtype != object:
        if values.ndim not in (2, 3):
            raise UsageError(f"Series takes {SHAPE}; it was given shape {values.shape}")
        return {"x": values}
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray) or not len(values):
        raise UsageError(f"Series takes {SHAPE}; it was given {type(values).__name__}")
    each = [np.asarray(on_the_host(one)) for one in values]
    each = [one[:, None] if one.ndim == 1 else one.T for one in each]
    if any(one.ndim != 2 or one.dtype.kind not in "fiub" for one in each):
        raise UsageError(f"Series takes {SHAPE}, of numbers; something in the list is none of these")
    if len(counts := sorted({one.shape[1] for one in each})) > 1:
        raise UsageError(f"Series takes as many channels of each; it was given {' and '.join(map(str, counts))}")
    offsets = np.cumsum([0, *(len(one) for one in each)])
    return {"values": np.concatenate(each), "offsets": offsets}


def on_the_host(values: Any) -> Any:
    """A tensor as an array, on the CPU, of a type that numpy has; anything else as it is.

    Of a masked array NaN is what is masked. Raises UsageError where its type has none.
    """
    if isinstance(values, np.ma.MaskedArray):
        if values.dtype.kind != "f" and np.ma.is_masked(values):
            told = f"of a masked array of {values.dtype} nothing says what its masked values are"
            raise UsageError(f"{told}: give it as floating point, or its filled(value)")
        return values.filled(np.nan) if values.dtype.kind == "f" else values.data
    if not hasattr(values, "detach"):
        return values
    values = values.detach().cpu()
    return (values.float() if "bfloat16" in str(values.dtype) else values).numpy()
