"""How many steps fit a time budget: by timing a few of a network that is thrown away, and corrected on the way."""

from statistics import fmean

from selftaught.run.plan import Plan
from selftaught.run.quantities import Growth
from selftaught.system import clock
from selftaught.system.errors import UsageError
from selftaught.system.saying import say
from selftaught.system.text import duration
from selftaught.training.measuring.trial import ROWS, Trial, times

WARM_UP, MOST = 2, 200  # steps
FEWEST = 4  # steps of the whole batch that there must be time for, or smaller ones tell
SHARE = 0.03  # of the budget that the last checkpoint, picture and scores may take
TAIL = 5.0  # seconds for these at most
CORRECTED_AT = (0.3, 0.7, 0.9)  # of the steps; a machine is seldom as fast all the time as in its first minute


def steps_within(plan: Plan, budget: float, trial: Trial, began: float) -> int:
    """Steps that fit the seconds of a budget that runs since `began`."""
    per_step = _seconds_a_step(plan, trial) * mean_work(plan.grow)
    steps = int(_left(budget, began) / per_step)
    if not steps:
        taken = duration(clock.now() - began)
        long = duration(per_step) if per_step >= 1 else f"{per_step:.2g} s"
        raise UsageError(
            f"a budget of {duration(budget)} leaves no time to train: reading and measuring took {taken}, and "
            f"one step takes {long}; give more, or say how long with --steps"
        )
    say(f"budget   {duration(budget)} at {plan.batch_size / per_step:,.0f} samples/s: {steps:,} steps")
    return steps


def _seconds_a_step(plan: Plan, trial: Trial) -> float:
    """The mean of whole steps, as long as measuring may go on; from smaller ones where not even a few would fit."""
    rows = min(plan.batch_size, ROWS)
    small = trial.known.get((plan.way, rows)) or trial.seconds(plan, rows)
    supposed = small * plan.batch_size / rows
    if FEWEST * supposed > trial.left:
        return supposed
    until = clock.now() + trial.left
    steps = times(
        trial.job(plan, plan.batch_size), trial.stop, WARM_UP + MOST, lambda took: clock.now() + took[-1] > until
    )
    return fmean(steps[WARM_UP:] or steps)


def work(growth: Growth | None, start: int, stop: int, steps: int) -> float:
    """What steps from `start` to `stop`, of so many, cost in steps of whole views: by the pixels of their views."""
    small = max(0, min(stop, growth.turn(steps)) - start) if growth else 0
    return stop - start - small + small * (growth.side**2 if growth else 1)


def mean_work(growth: Growth | None) -> float:
    """The same of one step, taking all together."""
    return 1 - growth.steps * (1 - growth.side**2) if growth else 1.0


def corrected(budget: float, steps: int, step: int, rate: float, began: float, growth: Growth | None = None) -> int:
    """A new number of steps, now that the machine is known, at `step`, to do `rate` of whole views' a second."""
    left = _left(budget, began)
    now = step + max(1, int(_steps_for(left * rate, step, steps, growth)))
    if now != steps:
        say(f"budget   {duration(left)} left: {now:,} steps instead of {steps:,}")
    return now


def _steps_for(done: float, step: int, steps: int, growth: Growth | None) -> float:
    """How many steps after `step`, of `steps` as things stood, are so much work."""
    if growth is None or not growth.steps:
        return done
    whole = min(done, step / growth.steps - step)  # of more, those that come next would be small
    if step >= growth.turn(steps):  # and what has grown does not shrink again
        return whole
    return max(whole, (done + growth.side**2 * step) / mean_work(growth) - step)


def _left(budget: float, began: float) -> float:
    return max(0.0, budget - min(TAIL, SHARE * budget) - (clock.now() - began))
