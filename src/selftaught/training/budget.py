"""How many steps fit a time budget, by timing a few of them on a copy that is thrown away."""

import time
from typing import TYPE_CHECKING

from torch import Tensor

from ..progress import clock, say
from ..recipes import Pretrain
from .fit import fit
from .interruption import Stop

if TYPE_CHECKING:
    from .pretrain import Job

MEASURED, WARM_UP = 8, 2  # steps


def within_budget(job: "Job", recipe: Pretrain, stop: Stop) -> Pretrain:
    """The recipe with as many steps as its budget allows; `job` is consumed."""
    assert recipe.budget and recipe.batch_size
    began = time.perf_counter()
    marks: list[float] = []

    def mark(step: int, terms: dict[str, Tensor]) -> None:
        marks.append(time.perf_counter())
        stop.poll()

    fit(
        job.fabric,
        job.method,
        job.optimizer,
        job.batches,
        steps=WARM_UP + MEASURED,
        training=job.training,
        seed=recipe.seed,
        watch=mark,
        forward=job.forward,
    )
    per_step = (marks[-1] - marks[WARM_UP - 1]) / MEASURED
    steps = max(1, int((recipe.budget - (time.perf_counter() - began)) / per_step))
    rate = recipe.batch_size / per_step
    say(f"budget   {clock(recipe.budget)} at {rate:,.0f} samples/s: {steps:,} steps")
    return recipe.model_copy(update={"steps": steps})
