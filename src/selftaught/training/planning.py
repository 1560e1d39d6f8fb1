"""From what was asked to what will be done: each open choice is decided by the data, or measured in little time."""

from selftaught.run.plan import Plan
from selftaught.run.recipes import Pretrain
from selftaught.system import clock
from selftaught.training.measuring.batch_size import fitting_batch, refuse_too_large
from selftaught.training.measuring.budget import steps_within
from selftaught.training.measuring.speed import fastest
from selftaught.training.measuring.trial import Trial
from selftaught.training.resolve import resolve


def planned(recipe: Pretrain, trial: Trial, began: float | None = None) -> tuple[Plan, float | None]:
    """The plan of a recipe, and when the clock of a time budget started, where one decides the steps.

    The clock runs since `began`, so that a budget pays for reading the data, too, or, without that, from when all else
    is decided. The batch comes first, since what is fastest depends on it, and whether it fits the memory after that,
    since it depends on what is fastest.
    """
    samples = trial.samples
    plan = resolve(recipe, samples)
    if recipe.batch_size == "auto":
        plan = resolve(recipe.model_copy(update={"batch_size": fitting_batch(plan, trial)}), samples)
    plan = plan.computed(fastest(recipe, plan, trial))
    refuse_too_large(plan, trial)
    if recipe.budget is None or recipe.steps is not None:  # a resumed run has the steps that it began with
        return plan, None
    began = clock.now() if began is None else began
    return plan.model_copy(update={"steps": steps_within(plan, recipe.budget, trial, began)}), began
