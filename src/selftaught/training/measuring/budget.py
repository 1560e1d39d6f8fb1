"""How many steps fit a time budget: by timing a few on a copy that is thrown away, and corrected on the way."""

from contextlib import suppress
from typing import TYPE_CHECKING

from torch import Tensor

from selftaught.run.recipes import Pretrain
from selftaught.system import clock
from selftaught.system.errors import UsageError
from selftaught.system.interruption import Stop
from selftaught.system.saying import say
from selftaught.system.text import duration
from selftaught.training.fit import fit

if TYPE_CHECKING:
    from selftaught.training.job import Job


WARM_UP, FEWEST, MOST = 2, 8, 200  # steps
SHARE = 0.03  # of the budget that measuring may take
TAIL = 5.0  # seconds for the last checkpoint, picture and scores; at most SHARE of the budget
CORRECTED_AT = (0.3, 0.7, 0.9)  # of the steps; a machine is seldom as fast all the time as in its first minute


class _EnoughError(Exception):
    """The measurement is over."""


def within_budget(job: "Job", recipe: Pretrain, stop: Stop, began: float) -> Pretrain:
    """The recipe with as many steps as the budget allows that runs since `began`; `job` is consumed."""
    assert recipe.budget and recipe.batch_size
    now = clock.now()
    patience = SHARE * recipe.budget
    marks: list[float] = []

    def mark(step: int, terms: dict[str, Tensor]) -> None:
        marks.append(clock.now())
        stop.poll()
        if step >= WARM_UP + FEWEST and marks[-1] - now > patience:
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
    steps = int(_left(recipe.budget, began) / per_step)
    if not steps:
        taken = duration(clock.now() - began)
        raise UsageError(
            f"a budget of {duration(recipe.budget)} leaves no time to train: reading and measuring took {taken}, and "
            f"one step takes {per_step:.2g} s; give more, or say how long with --steps"
        )
    rate = recipe.batch_size / per_step
    say(f"budget   {duration(recipe.budget)} at {rate:,.0f} samples/s: {steps:,} steps")
    return recipe.model_copy(update={"steps": steps})


def corrected(recipe: Pretrain, step: int, rate: float, began: float) -> Pretrain:
    """The recipe with a new number of steps, now that the machine is known to do `rate` of them a second."""
    assert recipe.budget and recipe.steps
    left = _left(recipe.budget, began)
    steps = step + max(1, int(left * rate))
    if steps != recipe.steps:
        say(f"budget   {duration(left)} left: {steps:,} steps instead of {recipe.steps:,}")
    return recipe.model_copy(update={"steps": steps})


def _left(budget: float, began: float) -> float:
    return max(0.0, budget - min(TAIL, SHARE * budget) - (clock.now() - began))
