"""From what was asked to what will be done: each open choice is decided by the data, or measured in little time."""

from selftaught.run.plan import Plan
from selftaught.run.recipes import Pretrain
from selftaught.training.measuring.batch_size import fitting_batch, refuse_too_large
from selftaught.training.measuring.speed import fastest
from selftaught.training.measuring.trial import Trial
from selftaught.training.resolve import resolve


def planned(recipe: Pretrain, trial: Trial) -> Plan:
    """The plan of a recipe, but for the length that fits a budget; see `steps_within` for that.

    The batch comes first, since what is fastest depends on it, and whether it fits the memory last, since that depends
    on what is fastest.
    """
    samples = trial.samples
    plan = resolve(recipe, samples)
    if recipe.batch_size == "auto":
        plan = resolve(recipe, samples, batch_size=fitting_batch(plan, trial))
    plan = plan.computed(fastest(recipe, plan, trial))
    refuse_too_large(plan, trial)
    return plan
