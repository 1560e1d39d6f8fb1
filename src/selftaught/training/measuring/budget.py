"""What steps cost, and how many fit a time budget: a few tell that no run keeps, and those on the way correct it."""

from dataclasses import dataclass
from statistics import fmean

from selftaught.run.plan import Plan
from selftaught.run.quantities import Growth
from selftaught.system import clock
from selftaught.system.errors import UsageError
from selftaught.system.saying import say
from selftaught.system.text import duration
from selftaught.training.measuring.trial import ROWS, Trial, seconds_a_step, times

WARM_UP, MOST = 2, 200  # steps
FEWEST = 4  # steps of the whole batch that there must be time for, or smaller ones tell
SHARE = 0.03  # of the budget that the last checkpoint, picture and scores may take
TAIL = 5.0  # seconds for these at most
CORRECTED_AT = (0.3, 0.7, 0.9)  # of the steps; a machine is seldom as fast all the time as in its first minute


@dataclass(frozen=True)
class Work:
    """What steps cost, counted in steps of whole views: one whose views have yet to grow costs `small`.

    That is more than their pixels say: samples are read, turned and cut out as for whole views, and weights changed.
    """

    growth: Growth | None = None
    small: float = 1.0

    @property
    def mean(self) -> float:
        """Of one step, taking all together."""
        return 1 - self.growth.steps * (1 - self.small) if self.growth else 1.0

    def of(self, start: int, stop: int, steps: int) -> float:
        """Of the steps from `start` to `stop`, of so many."""
        small = max(0, min(stop, self.growth.turn(steps)) - start) if self.growth else 0
        return stop - start - small + small * self.small

    def steps_for(self, done: float, step: int, steps: int) -> float:
        """How many steps after `step`, of `steps` as things stood, cost so much."""
        if self.growth is None or not self.growth.steps:
            return done
        whole = min(done, step / self.growth.steps - step)  # of more, those that come next would be small
        if step >= self.growth.turn(steps):  # and what has grown does not shrink again
            return whole
        return max(whole, (done + self.small * step) / self.mean - step)


@dataclass(frozen=True)
class Pace:
    """What steps cost, and the seconds of a `budget` that runs since it `began`, where that decides how many."""

    work: Work
    budget: float | None = None
    began: float = 0.0

    @property
    def left(self) -> float:
        """Seconds of the budget that there are for steps."""
        budget = self.budget or 0.0
        return max(0.0, budget - min(TAIL, SHARE * budget) - (clock.now() - self.began))

    def steps(self, plan: Plan, whole: float) -> int:
        """How many steps of a plan fit the budget, where one of whole views takes so many seconds."""
        per_step = whole * self.work.mean
        steps, budget = int(self.left / per_step), duration(self.budget or 0.0)
        if not steps:
            taken = duration(clock.now() - self.began)
            long = duration(per_step) if per_step >= 1 else f"{per_step:.2g} s"
            raise UsageError(
                f"a budget of {budget} leaves no time to train: reading and measuring took {taken}, and "
                f"one step takes {long}; give more, or say how long with --steps"
            )
        say(f"budget   {budget} at {plan.batch_size / per_step:,.0f} samples/s: {steps:,} steps")
        return steps

    def corrected(self, steps: int, step: int, rate: float) -> int:
        """A new number of steps, now that the machine is known, at `step`, to do `rate` of whole views' a second."""
        left = self.left
        now = step + max(1, int(self.work.steps_for(left * rate, step, steps)))
        if now != steps:
            say(f"budget   {duration(left)} left: {now:,} steps instead of {steps:,}")
        return now


def work_of(plan: Plan, trial: Trial) -> Work:
    """What steps cost beside each other, by a few of few samples."""
    if plan.grow is None:
        return Work()
    rows = min(plan.batch_size, ROWS)
    return Work(plan.grow, _few(plan, trial, rows, small=True) / _few(plan, trial, rows))


def seconds_of_steps(plan: Plan, trial: Trial) -> tuple[float, Work]:
    """What a step of whole views takes, and what steps cost beside each other.

    The mean of as many steps as measuring may go on for, of both kinds where views grow; from smaller batches where not
    even a few would fit.
    """
    rows = min(plan.batch_size, ROWS)
    whole = _few(plan, trial, rows) * plan.batch_size / rows
    kinds = 2 if plan.grow else 1
    if kinds * FEWEST * whole > trial.left:
        return whole, work_of(plan, trial)
    whole = _many(plan, trial, trial.left / kinds)
    return whole, Work(plan.grow, _many(plan, trial, trial.left, small=True) / whole) if plan.grow else Work()


def _few(plan: Plan, trial: Trial, rows: int, *, small: bool = False) -> float:
    """Seconds a step of so many samples takes; of whole views they may be known."""
    if small:
        return seconds_a_step(trial.job(plan, rows, small=True), trial.stop, clock.now() + trial.left)
    return trial.known.get((plan.way, rows)) or trial.seconds(plan, rows)


def _many(plan: Plan, trial: Trial, allowed: float, *, small: bool = False) -> float:
    """The mean of the whole batch's steps that fit the seconds which are allowed."""
    until = clock.now() + allowed
    job = trial.job(plan, plan.batch_size, small=small)
    steps = times(job, trial.stop, WARM_UP + MOST, lambda took: clock.now() + took[-1] > until)
    return fmean(steps[WARM_UP:] or steps)
