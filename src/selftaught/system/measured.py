"""What runs on few images have brought, in measured.json beside this file: bench/small.py writes it, from rows."""

from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from selftaught.system.components import Part
from selftaught.system.reading import json_in

FILE = Path(__file__).with_name("measured.json")


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Brought(_Row):
    """What a linear probe told of a set by features of one kind: shares that were right, means over seeds."""

    set: str
    images: int = Field(gt=0)  # unlabelled ones, that were learnt from
    labels: str  # how many, in words
    method: str | None  # of the run; None: weights of others as they are
    encoder: str
    weights: bool = False  # whether it began with weights of others
    adapt: str = "all"  # which of them learnt
    flags: str  # what says this to `pretrain`
    samples: int | None = Field(None, gt=0)  # that the run was shown, where that is said
    told: float
    pixels: float  # likewise, by raw pixels
    seeds: int = Field(gt=0)
    rows: str  # where they stand, by the name of a file in docs/results


class Usual(_Row):
    """What a run on a CPU does with images, where nothing is said of it."""

    method: str
    encoder: Part | None = None  # None: what images have anyway
    size: int | None = Field(None, gt=0)  # side of a view; None: likewise
    views: dict[str, dict[str, Any]] = {}
    measured: bool = False  # whether it is the best of rows, or only what stood before there were any


class Measured(_Row):
    """The whole file."""

    below: int = Field(ge=0)  # images that are few
    usual: Usual  # of few
    many: Usual | None = None  # of as many or more; None: what a run does anyway
    brought: list[Brought] = []

    def usual_of(self, count: int) -> Usual | None:
        """What is usual for so many images."""
        return self.usual if count < self.below else self.many


@cache
def known() -> Measured:
    """What has been measured so far."""
    return Measured(**json_in(FILE, Measured, links=True))
