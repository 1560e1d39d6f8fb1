"""Two steps of a method on the CPU and on the stand-in card; the second one's waits are counted.

In the first one tables that are kept for a device are made.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from selftaught.reporting.preview import drawn
from selftaught.training.beginning import _everything
from selftaught.training.job import Job, prepare
from tests.gpu.card import Held, Waits, used, waits
from tests.gpu.machine import beside_a_card

STEPS = 2


@dataclass
class Tried:
    """What two steps came to."""

    losses: list[dict[str, float]]  # terms of each step
    views: Waits  # in making the views of the second
    step: Waits  # in the second itself
    operations: set[str] = field(default_factory=set)  # on the card, by name
    pictures: dict[str, Tensor] = field(default_factory=dict)  # what preview draws of two images after them


def tried(job: Job) -> Tried:
    """Two steps of a job, wherever it lies."""
    if job.method.starts:
        job.method.start(_everything(job))
    found = Tried([], Waits(), Waits())
    for step in range(STEPS):
        with waits() as found.views:
            views = job.batches(step)
        with waits() as found.step, used() as operations:
            _step(job, step, views, found.losses)
        found.operations |= set(operations)
    if len(job.samples.preparation.shape) == 3:
        found.pictures = drawn(job, 2, 0)
    return found


class Given:
    """Batches that are made already."""

    def __init__(self, views: tuple[Tensor, ...], device: torch.device) -> None:
        self.views, self.device = views, device

    def __call__(self, step: int) -> tuple[Tensor, ...]:
        return self.views

    def of_run(self, steps: int, until: int) -> AbstractContextManager[None]:
        return nullcontext()


def _step(job: Job, step: int, views: tuple[Tensor, ...], losses: list[dict[str, float]]) -> None:
    seen: list[dict[str, Tensor]] = []
    given = replace(job, batches=Given(views, job.batches.device))
    given.fit(steps=STEPS, start=step, until=step + 1, watch=lambda step, terms: seen.append(terms))
    losses.append({name: _value(term) for name, term in seen[0].items()})


def _value(term: Tensor) -> float:
    return (term.held if isinstance(term, Held) else term).item()


def on_the_cpu(plan: Any, samples: Any) -> Tried:
    """Two steps without a card."""
    return tried(prepare(plan, samples, None))


def on_the_card(plan: Any, samples: Any) -> Tried:
    """The same beside the stand-in."""
    with beside_a_card():
        return tried(prepare(plan, samples, None))
