"""What a strategy promises that says which samples to label first; a file beside this one is one, called as it is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.judging.choosing.pool import Pool, Rows

FOLDER = "selftaught.judging.choosing"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked of a strategy, besides what there is to choose from."""

    count: int  # samples that are to be chosen
    labelled: Rows = field(default_factory=lambda: np.zeros(0, np.int64))  # which are known already
    classes: int = 10  # how many there are thought to be
    seed: int = 0
    probabilities: NDArray[Any] | None = None  # of classes (N, classes), where a classifier says some
    progress: Callable[[int, int], None] = lambda done, total: None  # of what comes before the first choice


@dataclass(frozen=True)
class Pick:
    """A sample that was chosen, and why."""

    row: int
    worth: float | None  # as the strategy's measure has it; None where there was nothing to measure by
    cluster: int | None = None  # by number, where the strategy makes any


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A way to choose."""

    # One after another, the most wanted first, for as long as any are open. Who chooses takes each from the pool.
    choose: Callable[[Pool, Wanted], Iterator[Pick]]
    measure: str | None  # what `worth` is called
    digest: str  # what it goes by, for people
    needs_classifier: bool = False


def named(name: str) -> Strategy:
    """The strategy of the file of this name."""
    found: Strategy = import_module(f"{FOLDER}.{name}").STRATEGY
    return found
