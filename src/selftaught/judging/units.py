"""What measures are called, and how their values are written; whoever reads results needs no more."""

from collections.abc import Callable, Mapping
from functools import partial
from math import inf, isfinite
from typing import Any

from selftaught.system.text import number_of

CALLED = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "mAP": "mAP",
    "macro_F1": "macro F1",
    "mIoU": "mIoU",
    "pixel_accuracy": "pixel accuracy",
    "R2": "R²",
    "MAE": "mean absolute error",
}
ASIDE = 0.01  # by how much an end may be off where it is told by half the width of its interval: a point
TOO_FEW = "too few to say"  # of samples that prove nothing
OF_NUMBERS = ("R2", "MAE")  # which are no shares of anything: they may be negative, or have the unit of labels


def called(measure: str) -> str:
    """A measure's name for people; one that is not known goes by its own."""
    return CALLED.get(measure, measure)


def is_share(measure: str) -> bool:
    """Whether a measure lies in [0, 1], and is told in points."""
    return measure not in OF_NUMBERS


def written(measure: str, value: float) -> str:
    """A value for people: 71.2 points, an R² of 0.712."""
    if is_share(measure):
        return f"{100 * value:.1f}"
    return f"{value:.3f}" if measure == "R2" else f"{value:.4g}"


def within(measure: str, value: float, low: float, high: float) -> str:
    """A value with its interval for people, see `between`; no share is more than all."""
    least, most = (0.0, 1.0) if is_share(measure) else (-inf, inf)
    return between(partial(written, measure), value, low, high, least, most)


def between(
    shown: Callable[[float], str], value: float, low: float, high: float, least: float = -inf, most: float = inf
) -> str:
    """A value with its interval: 71.2 ± 1.1, or 100.0 (72.2 to 100.0) where ± would name ends that are not its own.

    Of an end that nothing bounds it is said that too few were judged. least, most: what values can be.
    """
    if not isfinite(low) or not isfinite(high):
        return f"{shown(value)} ({TOO_FEW})"
    half = (high - low) / 2
    if abs(value - (low + high) / 2) > ASIDE or value - half < least or value + half > most:
        return f"{shown(value)} ({shown(low)} to {shown(high)})"
    return f"{shown(value)} ± {shown(half)}"


def in_groups(count: int) -> str:
    """What is said of samples of which so many groups are judged."""
    return f"in {number_of(count, 'group')}, each counted once"


def counted_once(metrics: Mapping[str, Any]) -> str:
    """What is said behind the samples of a classifier's metrics, where some count as one; "" where none do."""
    if groups := metrics.get("measured_groups"):
        return f", {in_groups(groups)}"
    distinct = metrics.get("measured_distinct")
    return f", {distinct:,} of them different, copies counted once" if distinct else ""


def axis(measure: str) -> str:
    """What stands beside the axis of a chart."""
    return called(measure) + ", %" * is_share(measure)


def sentence(measure: str) -> str:
    """How a sentence begins that tells values of it: Accuracy in per cent."""
    name = called(measure)
    return (name if name[1:].lower() != name[1:] else name.capitalize()) + " in per cent" * is_share(measure)


def scale(measure: str) -> int:
    """By what values of a chart are multiplied."""
    return 100 if is_share(measure) else 1
