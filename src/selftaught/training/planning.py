"""From what was asked to what will be done: each open choice is decided by the data, or measured in little time."""

from typing import Any

from torch import nn

from selftaught.contracts.samples import Samples
from selftaught.run.plan import Plan
from selftaught.run.quantities import NONE
from selftaught.run.recipes import Pretrain
from selftaught.system import clock, distributed, processes
from selftaught.system.interruption import Stop
from selftaught.training.batches import refuse_uneven
from selftaught.training.measuring.batch_size import chunk_that_fits, fitting_batch
from selftaught.training.measuring.budget import Pace, Work, seconds_of_steps, work_of
from selftaught.training.measuring.speed import fastest, usual
from selftaught.training.measuring.spreading import holds, refuse_unmeasured, shard_of
from selftaught.training.measuring.trial import Trial
from selftaught.training.resolve import power_of_two, resolve


def planned_by_all(
    recipe: Pretrain, samples: Samples, stop: Stop, module: nn.Module | None, began: float | None
) -> tuple[Plan, Pace]:
    """The plan that the leader makes, alone, for all processes, and its pace."""

    def decided() -> tuple[Plan, Pace]:
        with distributed.alone():
            return planned(recipe, Trial(samples, stop, module=module, budget=recipe.budget), began)

    def told() -> tuple[dict[str, Any], float, float | None, float]:
        plan, pace = decided()
        return plan.model_dump(mode="json"), pace.work.small, pace.budget, pace.began

    if processes.count() == 1:
        return decided()
    values, small, budget, since = processes.led(told)
    plan = Plan.parse(values, saved=True)
    return plan, Pace(Work(plan.grow, small), budget, since)


def planned(recipe: Pretrain, trial: Trial, began: float | None = None) -> tuple[Plan, Pace]:
    """The plan of a recipe, and its pace, with a time budget where one decides the steps.

    The clock runs since `began`, so that a budget pays for reading the data, too, or, without that, from when all else
    is decided. The batch comes first, since what is fastest depends on it, and whether it fits the memory after that,
    since it depends on what is fastest.
    """
    samples = trial.samples
    shard = shard_of(resolve(recipe, samples), recipe, samples, trial.module)
    recipe = recipe.model_copy(update={"shard": shard})
    plan = resolve(recipe, samples)
    if shard != NONE and not holds(plan, samples, trial.module):
        refuse_unmeasured(recipe)
        refuse_uneven(plan.batch_size, processes.count())
        # No trial tells what smaller views cost: their pixels do.
        return plan.computed(usual(recipe, plan)), Pace(Work(plan.grow, plan.grow.side**2 if plan.grow else 1.0))
    if recipe.batch_size == "auto":
        fits = min(fitting_batch(plan, trial), power_of_two(samples.count // 4) // processes.count())
        plan = resolve(recipe.model_copy(update={"batch_size": fits * processes.count()}), samples)
    refuse_uneven(plan.batch_size, processes.count())
    plan = plan.computed(fastest(recipe, _share(plan), trial))
    named = recipe.batch_size is not None or "batch_size" in recipe.training or recipe.encode_chunk is not None
    plan = plan.model_copy(update={"encode_chunk": chunk_that_fits(_share(plan), trial, named)})
    if recipe.budget is None or recipe.steps is not None:  # a resumed run has the steps that it began with
        return plan, Pace(work_of(_share(plan), trial))
    began = clock.now() if began is None else began
    seconds, work = seconds_of_steps(_share(plan), trial)
    pace = Pace(work, recipe.budget, began)
    return plan.model_copy(update={"steps": pace.steps(_share(plan), seconds)}), pace


def _share(plan: Plan) -> Plan:
    """The plan of what one process does, which is what can be measured by one."""
    return plan.model_copy(update={"batch_size": max(2, plan.batch_size // processes.count())})
