"""A stand-in for aeon, which is mostly missing where tests run: as strict as it is, and as small as can be."""

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from selftaught.data.series import baseline

PLACE = "aeon.transformations.collection.convolution_based"


class MiniRocket:
    """How much of each series lies above thresholds of the series it was fitted to."""

    fitted: list[np.ndarray] = []  # of all that were ever made  # noqa: RUF012

    def __init__(self, *, random_state: int) -> None:
        self.random_state = random_state

    def fit(self, x: np.ndarray) -> "MiniRocket":
        np.random.seed(self.random_state)  # everybody's, as aeon does
        self.fitted.append(checked(x))
        self.biases = np.quantile(x, np.random.uniform(size=40))
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        above = checked(x)[..., None] > self.biases
        return above.mean(axis=2).reshape(len(x), -1).astype(np.float32)


def checked(x: np.ndarray) -> np.ndarray:
    """Series as aeon takes them (B, channels, points). Raises ValueError."""
    if x.ndim != 3 or x.shape[2] < 9 or np.isnan(x).any():
        raise ValueError(f"not to be taken: {x.shape}, {np.isnan(x).sum()} missing")
    return x


def with_aeon(monkeypatch: pytest.MonkeyPatch, there: bool = True) -> None:
    """Let there be a small aeon, or none; and nothing that was said of it before."""
    names = [".".join(PLACE.split(".")[: count + 1]) for count in range(PLACE.count(".") + 1)]
    held: Any = [ModuleType(name) for name in names]
    held[-1].MiniRocket = MiniRocket
    for name, module in zip(names, held):
        monkeypatch.setitem(sys.modules, name, module if there else None)
    monkeypatch.setattr(MiniRocket, "fitted", [])
    baseline.say_once.cache_clear()
