"""What values images hold: a histogram of each channel, from a sample, and whether most of their range is unused."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.contracts.findings import ChannelValues, Values
from selftaught.data.images.preparation import brightest

IMAGES, VALUES = 512, 2048  # images looked at, and values of each
BINS = 24
INSIDE = (0.001, 0.999)  # shares of the values below the least and the greatest that count: single ones may be any
UNUSED = 0.25  # of a range, below which most of it is unused
FLAT = 0.01  # of a range, below which values are as good as one beside what lies at its ends, as what stands for none


@dataclass(frozen=True)
class Some:
    """Some of the values of an image (P, C), with the least and the greatest of all its values by channel (C,)."""

    values: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]


def some_of(pixels: NDArray[Any]) -> Some:
    """An evenly spread part of the pixels (H, W, C) of an image."""
    flat = pixels.reshape(-1, pixels.shape[2])
    places = np.linspace(0, len(flat) - 1, min(len(flat), max(1, VALUES // flat.shape[1]))).astype(np.int64)
    return Some(flat[places], flat.min(axis=0), flat.max(axis=0))


def places_of(count: int) -> frozenset[int]:
    """Which of so many images are looked at."""
    return frozenset(np.linspace(0, count - 1, min(count, IMAGES)).astype(np.int64).tolist())


def values_of(seen: Sequence[Some]) -> Values | None:
    """The values of images; where they are of several kinds, of those that have the type and channels of most."""
    kinds = Counter(map(_kind, seen))
    if not kinds:
        return None
    kind = kinds.most_common(1)[0][0]
    those = [one for one in seen if _kind(one) == kind]
    values = np.concatenate([one.values for one in those]).astype(np.float64)
    low = np.min([one.low for one in those], axis=0).astype(np.float64)
    high = np.max([one.high for one in those], axis=0).astype(np.float64)
    if not np.isfinite(float(high.max()) - float(low.min())):  # numbers that are too large for anything, as a run says
        return None
    axis, (first, last) = _axis(kind[0], low.min(), high.max()), _reach(kind[0], low.min(), high.max())
    least, most = np.quantile(values, INSIDE).tolist()
    between = values[(values > low.min()) & (values < high.max())]
    return Values(
        images=len(those),
        type=kind[0],
        range=axis,
        inside=(least, most),
        used=min(1.0, (most - least) / (last - first)) if last > first else 1.0,
        between=tuple(np.quantile(between, INSIDE).tolist()) if len(between) else None,
        at_ends=1 - len(between) / values.size,
        channels=[_channel(values[:, at], low[at], high[at], axis) for at in range(kind[1])],
    )


def _kind(one: Some) -> tuple[str, int]:
    return str(one.values.dtype), one.values.shape[1]


def _channel(values: NDArray[np.float64], low: float, high: float, axis: tuple[float, float]) -> ChannelValues:
    counts = np.histogram(values, BINS, axis)[0]
    p1, median, p99 = np.quantile(values, (0.01, 0.5, 0.99)).tolist()
    return ChannelValues(min=low, p1=p1, median=median, p99=p99, max=high, counts=counts.tolist())


def _reach(kind: str, least: float, most: float) -> tuple[float, float]:
    """What values could be: of levels what their type holds, of what was measured what there is."""
    return {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0)}.get(kind, (least, most))


def _axis(kind: str, least: float, most: float) -> tuple[float, float]:
    """What a histogram is drawn over: of levels the least depth that holds them, and else what there is."""
    if kind in ("uint8", "uint16"):
        return 0.0, float(brightest(most) if kind == "uint16" else 255)
    single = most - least <= 1e-9 * max(abs(least), abs(most))  # which no bins would tell apart
    return least, least + max(1.0, abs(least)) if single else most


def note_of(values: Values | None) -> list[str]:
    """A line where most of the range of values is unused, or lies between them and what stands for none."""
    if values is None or values.inside[0] == values.inside[1]:
        return []
    reach = _reach(values.type, min(c.min for c in values.channels), max(c.max for c in values.channels))
    if values.used >= UNUSED:
        return _note_of_ends(values, reach)
    low, high = _suggested(values.type, *values.inside)
    inside = f"99.8 % of the values lie in {values.inside[0]:,.6g} to {values.inside[1]:,.6g}"
    share = f"{100 * values.used:.2g} % of {reach[0]:,.6g} to {reach[1]:,.6g}"
    return [f"{inside}, {share}, so most of that range is unused: --range {low:g}:{high:g} names what counts"]


def _note_of_ends(values: Values, reach: tuple[float, float]) -> list[str]:
    """A line where all but the least or the greatest value are as good as one beside it."""
    if not values.between or not 0 < values.between[1] - values.between[0] < FLAT * (reach[1] - reach[0]):
        return []
    low, high = values.between
    far = reach[0] if low - reach[0] > reach[1] - high else reach[1]
    shown = "{:g}:{:g}".format(*_suggested(values.type, low, high))
    inside = f"all but {100 * values.at_ends:.2g} % of the values lie in {low:,.6g} to {high:,.6g}"
    return [
        f"{inside}, and those reach {far:,.6g}, beside which these are all alike: --range {shown} names what counts"
    ]


def _suggested(kind: str, low: float, high: float) -> tuple[float, float]:
    """A range that holds what counts: of levels from black to the end of a number of bits, else rounded outwards."""
    if kind in ("uint8", "uint16") and low < high / 2:
        return 0.0, float(2 ** math.ceil(math.log2(high + 1)) - 1)
    step = 10.0 ** (math.floor(math.log10(high - low)) - 1)
    return math.floor(low / step) * step, math.ceil(high / step) * step
