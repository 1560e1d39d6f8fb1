"""What a run writes down of its steps: a line of metrics.jsonl now and then, and what they came to in all."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor

from selftaught.run.folder import RunFolder
from selftaught.system import clock
from selftaught.system.profiling import Profile
from selftaught.system.progress import Progress
from selftaught.system.saying import say
from selftaught.training.job import Job
from selftaught.training.loggers import Loggers
from selftaught.training.measuring.budget import Work
from selftaught.training.optimizers import rate_at, scaled_lr


class Stopwatch:
    """How long a run has been trained for: by this process since this was made, and by those before it.

    What was done after the checkpoint that a run goes on from is done again, so it counts once.
    """

    def __init__(self, before: float) -> None:
        self.before, self.began = before, clock.now()

    @property
    def here(self) -> float:
        """Seconds of this process."""
        return clock.now() - self.began

    @property
    def in_all(self) -> float:
        """Seconds of all that have worked on the run."""
        return self.before + self.here


def trained_for(lines: Sequence[Mapping[str, Any]]) -> float:
    """Seconds that the lines of a run tell of whose checkpoints do not say: it began its clock anew as it went on."""
    marks = [line["seconds"] for line in lines if line.get("seconds") is not None]
    return float(sum(mark for mark, after in zip(marks, [*marks[1:], 0.0]) if after < mark))


class Recorder:
    """Writes down what a step came to, and when by the clock of the run."""

    def __init__(
        self, job: Job, run: RunFolder, loggers: Loggers, start: int, work: Work, stopwatch: Stopwatch
    ) -> None:
        self.job, self.run, self.loggers, self.start, self.stopwatch = job, run, loggers, start, stopwatch
        self.terms: dict[str, float | None] = {}  # of the last line
        self.measures: dict[str, float | None] = {}  # likewise
        self.profile = Profile(run.folder) if job.recipe.profile else None
        self.bar = Progress("training", job.recipe.steps, "steps", start, partial(work.of, 0))
        self._last = (clock.now(), start, job.batches.seconds)  # when, at which step and input time a line was written

    def is_due(self, step: int) -> bool:
        """Whether this step gets a line of its own: the first always does, so that a run shows that it lives."""
        return step % self.job.recipe.log_every == 0 or step == self.start + 1

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Show how far the steps inside are, and end what watches them, however they end."""
        with self.bar:
            try:
                yield
            finally:
                if self.profile and (short := self.profile.end()):
                    say(short)

    def time(self) -> None:
        """Let the profile, where there is one, count a step; its table is said once it is there."""
        if self.profile and self.profile.step():
            for line in self.profile.lines():
                say(line)

    @contextmanager
    def line(self, step: int, terms: dict[str, Tensor]) -> Iterator[dict[str, Any]]:
        """The line of a step, to be added to inside; reading the terms waits for the device.

        It is written at the end, even that of an interruption: the step is done all the same.
        """
        values = {name: term.item() for name, term in terms.items()}
        self.measures = {name: finite(value.item()) for name, value in self.job.method.measures.items()}
        loss, now = sum(values.values()), clock.now()
        self.terms = {name: finite(value) for name, value in values.items()}
        before, logged, waited = self._last
        elapsed = max(now - before, 1e-9)
        rate = (step - logged) * self.job.batches.batch_size / elapsed
        share = (self.job.batches.seconds - waited) / elapsed
        line: dict[str, Any] = {
            "step": step,
            "epoch": round(step / self.job.batches.steps_per_epoch, 4),
            "loss": finite(loss),
            "terms": self.terms,
            "lr": self._lr(step),
            "samples_per_second": round(rate, 2),
            "input_share": round(share, 4),
            "seconds": round(self.stopwatch.in_all, 3),
        }
        line |= {"measures": self.measures} if self.measures else {}
        try:
            yield line
        finally:
            self.run.note_step(line)
            self.loggers.log(line)
        self.bar.update(step, f"loss {loss:.4g}  {rate:,.0f} samples/s  input {share:.0%}", self.job.recipe.steps)
        # From before a look, which so counts as part of the steps up to the next line: the speed is what a user gets.
        self._last = (now, step, self.job.batches.seconds)

    def _lr(self, step: int) -> float:
        """The learning rate of a step, of the peak that is announced; layers and biases may have a share of it."""
        job = self.job
        return scaled_lr(job.training, job.recipe.batch_size) * rate_at(job.training, step / job.recipe.steps)

    def totals(self, step: int) -> dict[str, Any]:
        """{samples_per_second, seconds, final_terms, measures} of the run up to this step.

        The speed is that of this process, or of the whole run where nothing was left to train.
        """
        seconds = self.stopwatch.in_all
        here = (step - self.start) * self.job.batches.batch_size / max(self.stopwatch.here, 1e-9)
        rate = here or step * self.job.batches.batch_size / max(seconds, 1e-9)
        return {
            "samples_per_second": round(rate, 2),
            "seconds": round(seconds, 2),
            "final_terms": self.terms or next((line.get("terms", {}) for line in self.run.metrics()[-1:]), {}),
            **({"measures": self.measures} if self.measures else {}),
        }


def finite(value: float) -> float | None:
    """The number, or None where there is none: JSON knows no NaN."""
    return value if math.isfinite(value) else None
