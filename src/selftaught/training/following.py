"""What follows every step of a run, in this order: its line, a look, an end where one is called for, a checkpoint."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from torch import Tensor

from selftaught.run.folder import RunFolder
from selftaught.run.layout import PICTURES
from selftaught.run.map import read_map
from selftaught.system import distributed, processes
from selftaught.system.errors import DataError, DivergedError, Interrupted, Unreachable
from selftaught.system.interruption import Stop
from selftaught.system.progress import Progress
from selftaught.system.saying import say
from selftaught.training.agreement import Agreement, reason_of
from selftaught.training.broken import Met
from selftaught.training.guards import is_reached, refuse_all, refuse_many
from selftaught.training.job import Job
from selftaught.training.keeping import Keeping
from selftaught.training.loggers import Loggers
from selftaught.training.looking.choice import SettledError
from selftaught.training.looking.looks import Looks
from selftaught.training.measuring.budget import Pace
from selftaught.training.recording import Recorder, Stopwatch
from selftaught.training.saving import Saving

UNREACHED = (
    "the loss depends on none of the encoder's weights, so they learn nothing: the method is to reckon it with "
    "self.encoder, without detach() or torch.no_grad()"
)


class Fellow:
    """What the loop calls after each step in a process that does not lead: it goes on, or ends, as the leader does."""

    def __init__(self, job: Job, run: RunFolder, stop: Stop, start: int) -> None:
        self.job, self.stop, self.step = job, stop, start
        self.met = Met(job, run, start)
        self.agreement = _agreed_on(stop, self.met.count)

    def __call__(self, step: int, terms: dict[str, Tensor]) -> None:
        self.step = step
        if self.met.follow(step, self.agreement.total("broken"), _is_listed(step, self.job, self.agreement)):
            processes.heard()
        if self.agreement["stop"]:
            reason_of(self.stop.reason)
        if self.agreement["stop"] or self.agreement["word"]:
            processes.heard(SettledError)

    def leave_out(self, step: int, loss: float, norm: float) -> None:
        """Wait for what the leader makes of a step that was left out."""
        processes.heard()

    def keep(self) -> None:
        """Wait until the leader has saved."""
        self.met.list(self.step)
        processes.heard()

    settled = False  # which the leader says


def _agreed_on(
    stop: Stop, broken: Callable[[int], float], word: Callable[[int], bool] = lambda step: False
) -> Agreement:
    """What one process may wish for after a step: a stop, or a word of the leader's that all wait for.

    With it travels how many samples it found to be broken.
    """
    return Agreement(stop=lambda step: bool(stop.reason), word=word, broken=broken)


def _is_listed(step: int, job: Job, agreement: Agreement) -> bool:
    """Whether what is broken is listed after a step: before whatever may save it, and often enough for people."""
    if processes.count() == 1 or agreement["stop"] or agreement["word"]:
        return True
    return step == job.recipe.steps or step % job.recipe.log_every == 0


class Follower:
    """What the loop calls after each step; it ends the run by raising, with the state of that step saved.

    Of several processes it is the leader's, and what it decides the others hear.
    """

    def __init__(
        self, job: Job, run: RunFolder, stop: Stop, loggers: Loggers, saving: Saving, start: int, pace: Pace
    ) -> None:
        """Looks at the network as it begins; only then the clock of the run starts."""
        self.job, self.run, self.stop = job, run, stop
        self.looks = Looks(job, run)
        self.looks.begin(start)
        stopwatch = Stopwatch(job.trained)
        self.keeping = Keeping(job, run, self.looks, saving, start, stopwatch)
        self._catch_up(start, loggers)
        self.recorder = Recorder(job, run, loggers, start, pace.work, stopwatch)
        self.met = Met(job, run, start)
        self.agreement = _agreed_on(stop, self.met.count, self._has_a_word)
        self.start = self.step = start  # the last that is done
        self.left_out = run.bad_steps()

    def __call__(self, step: int, terms: dict[str, Tensor]) -> None:
        self.step = step
        if step == self.start + 1 and not is_reached(self.job.method.encoder):
            say(f"warning: {UNREACHED}")
        self._follow_broken(step)
        with processes.telling() if self._is_told() else nullcontext():
            self._follow_through(step, terms)

    def _catch_up(self, start: int, loggers: Loggers) -> None:
        """Take the look at the step that a run goes on with, where a stop came before it was over.

        It sees what it would have seen then, as it depends on the weights alone, and all that follows from a look
        follows, also where the process ended between the two: the run ends with the network that it would have had.
        """
        known = self.looks.known_of(start)
        if start and self.looks.due(start) and (not known.get("health") or self.looks.lacks_onlooker(known)):
            line: dict[str, Any] = {"step": start, **known}
            self._look(start, line)
            self.run.note_step_again(line)
            loggers.log(line)
            self.job.hooks.looked(line)
            self._refuse_collapse(start, line)
        if start and self.looks.choice.best == start and not self.keeping.names_best(start):
            self.keeping.attempt(start)

    def _look(self, step: int, line: dict[str, Any]) -> None:
        """Add what a look at a step sees to its line; a stop meanwhile leaves what it has seen by then."""
        with _told_to_resume(step):
            if not line.get("health"):
                line |= self.looks.take(step)
            line |= self.looks.watched(step)  # last: whatever becomes of it, the look is written down

    def _refuse_collapse(self, step: int, line: dict[str, Any]) -> None:
        """Raise DivergedError where the last look has found a collapse that is to end the run."""
        if self.looks.state == "collapsing" and self.job.recipe.on_collapse == "stop":
            if not self.keeping.holds(step):
                self.keeping.save(step)
            raise DivergedError(f"step {step:,}: {line['verdict']}")

    def _follow_broken(self, step: int) -> None:
        """List what is broken; where that is too much, end the run with this step saved."""
        count = self.agreement.total("broken")
        if line := self.met.follow(step, count, _is_listed(step, self.job, self.agreement)):
            with processes.telling():
                self.keeping.save(step)
                raise DataError(line)

    def _has_a_word(self, step: int) -> bool:
        """Whether something follows a step that takes long, or may end the run."""
        return self.looks.due(step) or self.keeping.is_due(step)

    def _is_told(self) -> bool:
        """Whether the others wait to hear what this step leads to."""
        return processes.count() > 1 and (self.agreement["stop"] or self.agreement["word"])

    def _saves(self, step: int) -> bool:
        return self.keeping.is_due(step) and (self._is_told() or processes.count() == 1)

    def _follow_through(self, step: int, terms: dict[str, Tensor]) -> None:
        self.keeping.collect()
        try:
            self._follow(step, terms)
        except Interrupted:  # a look can be stopped as well, after a step that no checkpoint holds yet
            if not self.keeping.holds(step):
                self.keeping.save(step)
            raise

    def _follow(self, step: int, terms: dict[str, Tensor]) -> None:
        recipe, last, line = self.job.recipe, step == self.job.recipe.steps, dict[str, Any]()
        self.recorder.time()
        look = self.looks.due(step)
        # Before all that takes long, as the others wait to be asked; of what reaches this process meanwhile a single
        # one hears in time, and several agree on it in the next step.
        stopped = reason_of(self.stop.reason) if self.agreement["stop"] else None
        if look or self.recorder.is_due(step):
            with self.recorder.line(step, terms) as line:
                self.looks.note(step, line["loss"])
                if look:
                    self._look(step, line)
            if look:
                self.job.hooks.looked(line)
        else:
            self.recorder.bar.reach(step, recipe.steps)
        self.job.hooks.stepped(step, recipe.steps, terms)
        self._refuse_collapse(step, line)
        if last:
            return  # what comes after the loop saves it, and nothing is left that a stop could end
        if reason := stopped or (self.stop.reason if processes.count() == 1 else None):
            raise Interrupted(f"stopped by {reason} at step {step:,}; add --resume to go on")
        if self.looks.choice.settled:
            raise SettledError
        if self._saves(step):
            self.keeping.attempt(step)

    def leave_out(self, step: int, loss: float, norm: float) -> None:
        """Note a step that was left out because it was not finite, and its samples; end the run after too many."""
        with processes.telling(), distributed.alone():  # of the samples of all
            self._leave_out(step, loss, norm)

    def _leave_out(self, step: int, loss: float, norm: float) -> None:
        keys = [self.job.samples.keys[row] for row in self.job.batches.rows(step - 1)]
        self.left_out.append(step)
        self.run.note_bad_step({"step": step, "loss": str(loss), "gradient_norm": str(norm), "samples": keys})
        say(f"warning: step {step:,} was left out: loss {loss:g}, gradient norm {norm:g}; see bad_batches.jsonl")
        try:
            refuse_many(self.left_out, step, lambda: self._not_finite(step))
        except DivergedError:
            self.keeping.save(step)
            raise

    def _refuse_untaken(self) -> None:
        """Raise DivergedError, with the state saved, where every step of the run that ends was left out."""
        try:
            with distributed.alone():
                refuse_all(self.left_out, self.step, lambda: self._not_finite(self.step))
        except DivergedError:
            self.keeping.save(self.step)
            raise

    def _not_finite(self, step: int) -> list[str]:
        """The samples of a step that hold what no network could learn from."""
        rows = self.job.batches.rows(step - 1)
        held = [part.flatten(1) for part in self.job.samples.batch(rows) if part.is_floating_point() and part.dim() > 1]
        fine = [part.isfinite().all(dim=1) for part in held]
        return [self.job.samples.keys[row] for place, row in enumerate(rows) if not all(one[place] for one in fine)]

    def keep(self) -> None:
        """Save the step that is done, or say why not."""
        self.met.list(self.step)
        with processes.telling():
            self.keeping.attempt(self.step)
            self.keeping.holds(self.step)  # which waits until it is written

    def rescue(self) -> bool:
        """Save the last whole step, after a step that came to nothing; False where that cannot be.

        What is spread over processes cannot, as at least one of them has ended; nor can a step that is half taken.
        """
        if self.step == self.start or self.job.spread or self.agreement.whole != self.step:
            return False
        if not self.keeping.holds(self.step):
            with suppress(Unreachable):  # of the encoder, which is measured on samples; the step is saved before it
                self.keeping.save(self.step)
        return self.keeping.holds(self.step)

    @property
    def settled(self) -> bool:
        """Whether the score that chooses has not risen for as long as the recipe is patient."""
        return self.looks.choice.settled

    def finish(self, over: bool = False) -> dict[str, Any]:
        """Save what is to stay, and say what the run came to; what one that is `over` has of it stays as it is.

        {steps, chosen_step, samples_per_second, seconds, final_terms, health, verdict}; health and verdict are those of
        the network the run ends with.
        """
        if not over:
            self._refuse_untaken()
        with Progress("finishing", 3, "parts") as bar:
            self.keeping.finish(self.step, over)
            bar.update(1)
            stood = self.keeping.stood
            if not (stood and (self.run.folder / PICTURES).exists()):
                with distributed.alone():
                    self.keeping.draw()
            bar.update(2)
            kept = self.keeping.chosen or self.step
            with _told_to_resume(self.step):
                if not (stood and read_map(self.run.folder)):
                    self.looks.end(kept)
            bar.update(3)
        with _told_to_resume(self.step):
            self.stop.poll()  # scores take long; the files of the run are all there by now
            steps = {"steps": self.step, "chosen_step": kept}
            return {**steps, **self.recorder.totals(self.step), **self.looks.totals(kept)}


@contextmanager
def _told_to_resume(step: int) -> Iterator[None]:
    """Say of a stop that comes in what follows a step how to go on, which whatever it stops does not know."""
    try:
        yield
    except Interrupted as error:
        raise Interrupted(f"{error} at step {step:,}; add --resume to go on") from None
