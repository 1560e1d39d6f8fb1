"""What follows every step of a run, in this order: its line, a look, an end where one is called for, a checkpoint."""

from typing import Any

from torch import Tensor

from selftaught.run.folder import RunFolder
from selftaught.system.errors import DivergedError, Interrupted
from selftaught.system.interruption import Stop
from selftaught.system.saying import say
from selftaught.training.guards import refuse_many
from selftaught.training.job import Job
from selftaught.training.keeping import Keeping
from selftaught.training.looking.choice import SettledError
from selftaught.training.looking.looks import Looks
from selftaught.training.recorder import Recorder


class Follower:
    """What the loop calls after each step; it ends the run by raising, with the state of that step saved."""

    def __init__(
        self, job: Job, run: RunFolder, stop: Stop, recorder: Recorder, looks: Looks, keeping: Keeping
    ) -> None:
        self.job, self.run, self.stop = job, run, stop
        self.recorder, self.looks, self.keeping = recorder, looks, keeping
        self.step = recorder.start  # the last that is done
        self.left_out = run.bad_steps()

    def __call__(self, step: int, terms: dict[str, Tensor]) -> None:
        self.step = step
        try:
            self._follow(step, terms)
        except Interrupted:  # a look can be stopped as well, after a step that no checkpoint holds yet
            if self.keeping.saved != step:
                self.keeping.save(step)
            raise

    def _follow(self, step: int, terms: dict[str, Tensor]) -> None:
        recipe, last = self.job.recipe, step == self.job.recipe.steps
        self.recorder.time()
        look = last or self.looks.health.due(step)
        if look or self.recorder.is_due(step):
            with self.recorder.line(step, terms) as line:
                self.looks.note(line["loss"])
                if look:
                    line |= self.looks.take(step)
        if self.looks.state == "collapsing" and recipe.on_collapse == "stop":
            self.keeping.save(step)
            raise DivergedError(f"step {step:,}: {line['verdict']}")
        if last:
            return  # what comes after the loop saves it, and nothing is left that a stop could end
        if self.stop.reason:
            raise Interrupted(f"stopped by {self.stop.reason} at step {step:,}; add --resume to go on")
        if self.looks.choice.settled:
            raise SettledError
        if self.keeping.is_due(step):
            self.keeping.attempt(step)

    def leave_out(self, step: int, loss: float, norm: float) -> None:
        """Note a step that was left out because it was not finite, and its samples; end the run after too many."""
        keys = [self.job.samples.keys[row] for row in self.job.batches.rows(step - 1)]
        self.left_out.append(step)
        self.run.note_bad_step({"step": step, "loss": str(loss), "gradient_norm": str(norm), "samples": keys})
        say(f"warning: step {step:,} was left out: loss {loss:g}, gradient norm {norm:g}; see bad_batches.jsonl")
        try:
            refuse_many(self.left_out, step)
        except DivergedError:
            self.keeping.save(step)
            raise

    def totals(self) -> dict[str, Any]:
        """{steps, chosen_step, samples_per_second, seconds, final_terms, health, verdict} of the finished run.

        Health and verdict are those of the network the run ends with.
        """
        self.stop.poll()  # scores take long; the files of the run are all there by now
        kept = self.keeping.chosen or self.step
        steps = {"steps": self.step, "chosen_step": kept}
        return {**steps, **self.recorder.totals(self.step), **self.looks.totals(kept)}
