"""A made-up third kind of data, short signals in .signal files: all that a kind of data has to say, and no more."""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder, Origin
from selftaught.contracts.findings import Findings
from selftaught.contracts.modality import Modality
from selftaught.data.encoders import Own, build
from selftaught.data.facts import classes
from selftaught.data.opening import Opened, Rows, chosen, labels_by_key
from selftaught.data.sources.source import Source
from selftaught.data.views import SingleViews
from selftaught.system import randomness
from selftaught.system.errors import UsageError

THINGS = "signals"


class Recording(Source):
    """Signals (N, length), of two classes by turns."""

    def __init__(self, file: Any) -> None:
        self.name, self.values = "recording", np.load(file) if isinstance(file, (str, Path)) else file
        self.keys = [f"at {row}" for row in range(len(self.values))]
        self.labels = ["even" if row % 2 == 0 else "odd" for row in range(len(self.values))]

    def fingerprint(self) -> str:
        return hashlib.blake2b(self.values.tobytes()).hexdigest()


class Preparation(BaseModel):
    """How long a signal is."""

    modality: ClassVar[str] = THINGS
    channels: ClassVar[int] = 1
    mean: ClassVar[tuple[float, ...]] = (0.0,)
    std: ClassVar[tuple[float, ...]] = (1.0,)
    length: int

    @property
    def size(self) -> tuple[int, ...]:
        return (self.length,)

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, self.length)

    def in_words(self) -> str:
        return f"of {self.length} values"

    def recipe(self) -> str:
        return f"Takes signals {self.in_words()}."


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    noise: float = 0.1


class Views(SingleViews):
    AUGMENTATIONS: ClassVar = dict.fromkeys(("light", "strong", "strong_other", "global", "local"), Augmentation())

    def made(self, name: str, *raw: Tensor) -> Tensor:
        (x,) = raw
        if name == "plain":
            return x
        return x + self.augmentations[name].noise * randomness.normal(x.shape, "noise", x.device)


class Signals(Opened):
    values: Any

    def keep(self, rows: Rows) -> None:
        self.values = self.values[rows]

    def batch(self, rows: Rows) -> tuple[Tensor, ...]:
        return (torch.from_numpy(self.values[rows])[:, None],)

    def views(self, names: Sequence[str], *, options: Any = None, **how: Any) -> Views:
        return Views(names, self.preparation, options)


def open_samples(
    data: Any, *, like: Any = None, labels: Any = None, labelled: bool = False, limit: int | None = None, seed: int = 0,
    **how: Any,
) -> Signals:  # fmt: skip
    source = Recording(data)
    wanted = chosen(source, THINGS, "there is no way", labels=labels, labelled=labelled, limit=limit, seed=seed)
    samples = Signals(wanted, like or Preparation(length=source.values.shape[1]))
    samples.values = source.values[wanted.rows]
    return samples


def inspect(data: str, **how: Any) -> Findings:
    source = Recording(data)
    count = len(source)
    return Findings(data=data, things=THINGS, count=count, checked=count, usable=True, labels=classes(source))


class Spectrum(Encoder):
    """One hidden layer on the whole signal."""

    def __init__(self, preparation: Preparation, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(preparation.length, width), nn.ReLU())
        self.dim, self.origin = width, Origin("selftaught", "spectrum")

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def map(self, x: Tensor) -> Tensor:
        return self.net(x)[..., None]


def create(name: str, preparation: Preparation, module: nn.Module | None = None, /, *, width: int = 16) -> Encoder:
    if name == "own":
        return Own(module, preparation.shape, THINGS)
    if name != "spectrum":
        raise UsageError(f"no encoder of signals named {name!r}")
    return Spectrum(preparation, width)


def recognises(data: Any) -> bool:
    return isinstance(data, str) and data.endswith(".signal")


MODALITY = Modality(
    THINGS=THINGS,
    ENCODER="spectrum",
    FIRST_CHOICES=("spectrum",),
    TOKEN_ENCODERS=("spectrum",),
    Preparation=Preparation,
    create=create,
    build_encoder=partial(build, create),
    guess=lambda size, part: Preparation(length=8),
    recognises=recognises,
    open_samples=open_samples,
    inspect=inspect,
    labels_by_key=partial(labels_by_key, Recording),
    view_options=Views.defaults,
)


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a folder data/signals would be."""
    package = ModuleType("selftaught.data.signals")
    package.MODALITY = MODALITY  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, package.__name__, package)
    monkeypatch.setattr(modality, "NAMES", (*modality.NAMES, THINGS))
