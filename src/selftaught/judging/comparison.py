"""What a comparison keeps: a line for each run as it ends (comparison.jsonl), and the result (comparison.json)."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator

from selftaught.judging.result import Row
from selftaught.run.folder import RunFolder
from selftaught.system.components import Part
from selftaught.system.reading import json_lines_aloud
from selftaught.system.showing import Shown
from selftaught.system.text import printable

# Ends of an interval; one that nothing bounds is infinite, for which JSON has null.
Low = Annotated[float, BeforeValidator(lambda end: -math.inf if end is None else end)]
High = Annotated[float, BeforeValidator(lambda end: math.inf if end is None else end)]


class Ran(BaseModel):
    """One run of a comparison, a line of comparison.jsonl; of a run that failed, why."""

    method: str  # and what varies of it, where settings are compared
    settings: dict[str, Any] = {}  # those that vary
    seed: int
    rung: int  # from 1
    encoder: Part
    tokens: bool  # whether that encoder works on tokens
    run: str  # its folder, inside the comparison's
    state: Literal["done", "failed"]
    reason: str = ""
    exit_code: int = 0
    steps: int = 0
    samples: int = 0  # seen in training, each as often as it was seen
    seconds: float = 0.0  # of training
    health: dict[str, float] = {}
    verdict: str = ""  # of the health
    held_out: list[Row] = []  # judged on folds of --train, by which is chosen where there is a --test
    judged: list[Row] = []
    tested: int = 0  # samples that `judged` is about

    @property
    def collapsed(self) -> bool:
        """Whether its features were crowding together when it ended."""
        return self.verdict.startswith("collapsing")


class Rung(BaseModel):
    """A round in which every method that is left gets the same budget."""

    rung: int
    budget: float | None  # seconds of training each
    epochs: float | None  # instead
    methods: list[str]
    kept: list[str]  # which go on, best first


class Point(BaseModel):
    """What a method came to in one rung, with a 95 % interval."""

    rung: int
    minutes: float  # of training, a mean over seeds
    value: float  # an accuracy is drawn to those of the others by what is luck
    low: Low
    high: High
    seeds: int
    measured: float | None = None  # the mean over seeds as it is, where `value` was drawn in


class Over(BaseModel):
    """By how much a method is better than what learnt nothing; the interval holds 95 % for whichever is the best."""

    against: str  # untrained, pixels or usual
    gain: float
    low: Low
    high: High


class Place(BaseModel):
    """A method's place in the ranking. Its last point is what it is ranked by."""

    rank: int
    first: int  # the best rank it may deserve, for all the noise tells, among the methods of its last rung
    last: int  # the worst
    behind: list[str] = []  # the methods among those that are clearly better, for which `first` is not 1
    method: str
    family: str
    kind: str
    encoder: str
    tokens: bool
    points: list[Point]
    untrained: float | None  # accuracy of the same encoder with random weights
    pixels: float | None  # accuracy of raw pixels, or columns
    usual: float | None = None  # of what is usual beside these, where the kind of data has any
    samples: int  # seen in training, in the last rung
    note: str = ""
    over: list[Over] = []  # of accuracies

    @property
    def point(self) -> Point:
        """That of the last rung it was in."""
        return self.points[-1]

    @property
    def span(self) -> str:
        """The ranks it may deserve, for people: 2-4."""
        return f"{self.first}-{self.last}" if self.first < self.last else str(self.first)


class Comparison(Shown, BaseModel):
    """What comparison.json holds. Accuracies are in [0, 1], or what `of` says in their place."""

    out: str  # its folder
    data: str
    things: str
    measure: str  # linear, knn, or the label-free score
    labelled: bool  # whether `measure` is an accuracy, or
    of: str = "accuracy"  # what else that probe is measured by: balanced_accuracy, mAP or R2
    train: str | None
    test: str | None
    labels: str
    seeds: int
    rungs: list[Rung]
    machine: dict[str, Any]
    state: Literal["running", "done"]
    ranking: list[Place]
    verdict: str
    runs: list[Ran]

    @property
    def failed(self) -> list[Ran]:
        """Runs that came to nothing."""
        return [ran for ran in self.runs if ran.state == "failed"]


def read_runs(file: Path) -> list[Ran]:
    """Every run that is done; a line that a crash has cut is not."""
    return [Ran.model_validate(line) for line in json_lines_aloud(file, Ran, printable(str(file)))]


def training_of(run: RunFolder) -> dict[str, Any]:
    """{steps, samples, seconds, health, verdict} of a finished run, whether or not it was cut on the way."""
    status, batch = run.status, run.recipe.batch_size
    assert batch
    # Each start of a run begins its clock anew, so the seconds are added up from the pace that each line tells.
    seconds, before = 0.0, 0
    for line in run.metrics():
        if line.get("samples_per_second"):
            seconds += (line["step"] - before) * batch / line["samples_per_second"]
        before = line["step"]
    kept = {name: status[name] for name in ("steps", "health", "verdict")}
    return {**kept, "samples": status["steps"] * batch, "seconds": round(seconds, 2)}
