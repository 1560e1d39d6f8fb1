"""The class of each pixel of samples, numbered from 0: what a dense probe learns and is judged on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.system.errors import DataError
from selftaught.system.saying import say
from selftaught.system.text import printable

VOID = -1  # of a pixel of which nothing is said
MOST = 1000  # classes; more are numbers of things rather than of kinds of things

Array = NDArray[Any]


@dataclass(frozen=True)
class Masks:
    """The truth of training samples followed by test samples."""

    names: list[str]  # of the classes: their numbers in the files
    truth: NDArray[np.int16]  # (N, H, W), the place of each pixel's class among the names, or VOID
    view: tuple[int, int]  # (H, W) of the plain views whose pixels these are


def masks_of(numbers: Sequence[Array], called: Sequence[str], void: int, view: tuple[int, int]) -> Masks:
    """Of class numbers (N, H, W) as in the files of each source, `called` so; `void` is of no class.

    Says which share of the pixels is of none. Raises DataError where there is nothing to tell apart, no pixel to be
    tested on, or a class is in the test set alone.
    """
    known = [np.setdiff1d(np.unique(own), [void]) for own in numbers]
    names, shown = known[0], [printable(name) for name in called]
    without = [float(np.mean(own == void)) for own in numbers]
    nothing = f"no class, only {void}, which stands for none"
    if len(names) < 2:
        held = f"only one class, {names[0]}" if len(names) else nothing
        way = f"; {void} stands for none: number classes 0, 1, 2 and so on" if len(names) and without[0] else ""
        raise DataError(f"{shown[0]} has {held}: there is nothing to tell apart{way}")
    if not len(known[-1]):
        raise DataError(f"{shown[-1]} has {nothing}: there is nothing to judge by")
    if len(names) > MOST:
        raise DataError(f"{shown[0]} has {len(names):,} class numbers, more than {MOST:,}: are things numbered there?")
    if len(unseen := np.setdiff1d(known[-1], names)):
        raise DataError(f"{shown[-1]} has class numbers that {shown[0]} has not: {_listed(unseen)}")
    if len(untested := np.setdiff1d(names, known[-1])):
        say(f"warning: {shown[-1]} has no pixel of class {_listed(untested)}: no measure says anything of them")
    for name, share in zip(shown, without):
        if share:
            counted = f"{100 * share:.3g}% of the pixels are {void}, which stands for none"
            say(f"note: {name}: {counted}: nothing is learnt or judged there")
    place = np.full(max(void, int(names[-1])) + 1, VOID, dtype=np.int16)
    place[names] = np.arange(len(names), dtype=np.int16)
    return Masks([str(name) for name in names], np.concatenate([place[own] for own in numbers]), view)


def _listed(numbers: Array) -> str:
    return ", ".join(map(str, numbers[:5].tolist())) + f" and {len(numbers) - 5} more" * (len(numbers) > 5)
