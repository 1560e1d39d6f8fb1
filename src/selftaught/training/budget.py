"""How many steps fit a time budget, by timing a few of them on a copy that is thrown away."""

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from torch import Tensor

from ..progress import clock, say
from ..recipes import Pretrain
from .fit import fit
from .interruption import Stop

if TYPE_CHECKING:
    from .pretrain import Job

WARM_UP, FEWEST, MOST = 2, 8, 200  # steps
SHARE = 0.03  # of the budget that measuring may take


class _EnoughError(Exception):
    """The measurement is over."""


def within_budget(job: "Job", recipe: Pretrain, stop: Stop) -> Pretrain:
    """The recipe with as many steps as its budget allows; `job` is consumed."""
    assert recipe.budget and recipe.batch_size
    began = time.perf_counter()
    patience = SHARE * recipe.budget
    marks: list[float] = []

    def mark(step: int, terms: dict[str, Tensor]) -> None:
        marks.append(time.perf_counter())
        stop.poll()
        if step >= WARM_UP + FEWEST and marks[-1] - began > patience:
            raise _EnoughError

    with suppress(_EnoughError):
        fit(
            job.fabric,
            job.method,
            job.optimizer,
            job.batches,
            steps=WARM_UP + MOST,
            training=job.training,
            seed=recipe.seed,
            watch=mark,
            forward=job.forward,
        )
    per_step = (marks[-1] - marks[WARM_UP - 1]) / (len(marks) - WARM_UP)
    steps = max(1, int((recipe.budget - (time.perf_counter() - began)) / per_step))
    rate = recipe.batch_size / per_step
    say(f"budget   {clock(recipe.budget)} at {rate:,.0f} samples/s: {steps:,} steps")
    return recipe.model_copy(update={"steps": steps})
