"""What follows every step of a run: its log, its progress bar, its checkpoints and its end."""

import io
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from selftaught.contracts import modality
from selftaught.contracts.modality import Samples
from selftaught.run import checkpoint
from selftaught.run.export import save_encoder
from selftaught.run.folder import Run
from selftaught.system import clock, randomness
from selftaught.system.errors import DivergedError, Interrupted, Unsaved
from selftaught.system.files import append_line, spared, write_atomically
from selftaught.system.interruption import Stop, undeterred
from selftaught.system.profiling import Profile
from selftaught.system.progress import Progress
from selftaught.system.saying import say
from selftaught.system.text import printable
from selftaught.training.guards import refuse_many
from selftaught.training.loggers import Loggers
from selftaught.training.looking.choice import Choice, SettledError
from selftaught.training.looking.features import as_inputs
from selftaught.training.looking.health import Health, Scores, undisturbed, verdict
from selftaught.training.looking.neighbours import keep_end, keep_start, mapped
from selftaught.training.looking.scores import COSTLY

if TYPE_CHECKING:
    from selftaught.training.job import Job


PICTURED = 8  # samples in the picture of what the network was shown


class Recorder:
    """Follows every step of a run: logs it, shows it, saves it, and ends the run when asked."""

    def __init__(self, job: "Job", run: Run, stop: Stop, start: int, loggers: Loggers) -> None:
        self.job, self.run, self.stop, self.start, self.loggers = job, run, stop, start, loggers
        assert job.recipe.batch_size
        self.batch_size = job.recipe.batch_size
        self.profile = Profile(run.folder) if job.recipe.profile else None
        self.terms: dict[str, float | None] = {}
        self.health = Health(job)
        self.chance = job.method.chance(job.recipe.batch_size)
        known = run.metrics()
        self.looks = [{**line["health"], "loss": line["mean_loss"] or math.nan} for line in known if "health" in line]
        self.choice = Choice(job.recipe, known)
        self.kept: int | None = None  # the step whose network the run ends with, where that is not the last
        self.before: Scores = (run.status.get("health_at_start") if start else None) or self.health.look()
        self.state = "learning"  # what the health said last
        if job.recipe.map and not start:
            with undisturbed(job.method):
                keep_start(run.folder, job.method.encoder, self._mapped(), fresh=job.recipe.init is None)
        buffers = job.method.named_buffers()  # such as the mask of an attention, of minus infinities
        self._unbounded = {name for name, tensor in buffers if tensor.isinf().any()}
        self.bar = Progress("training", self.steps, "steps", start)
        since = next((i for i, line in enumerate(reversed(known)) if "health" in line), len(known))
        self._losses = [line["loss"] for line in known[len(known) - since :] if line["loss"] is not None]
        self.bad = run.bad_steps()
        self.step = start  # the last that is done
        self.collapsed: DivergedError | None = None  # why to end the run, once it has
        self._began = self._logged_at = self._saved_at = clock.now()
        self._logged_step, self._input_before = start, job.batches.seconds
        every = job.recipe.checkpoint_every
        self._every_steps = int(every) if every.isdigit() else None
        self._every_seconds = float(every.rstrip("s"))
        self._saved_step: int | None = None

    @property
    def steps(self) -> int:
        """The steps of the whole run; a time budget may correct them on the way."""
        assert self.job.recipe.steps
        return self.job.recipe.steps

    def __call__(self, step: int, terms: dict[str, Tensor]) -> None:
        self.step = step
        try:
            self._follow(step, terms)
        except Interrupted:
            if self._saved_step != step:
                self.save(step)
            raise

    def _follow(self, step: int, terms: dict[str, Tensor]) -> None:
        last = step == self.steps
        if self.profile and self.profile.step():
            for line in self.profile.lines():
                say(line)
        looks = last or self.health.due(step)
        if step % self.job.recipe.log_every == 0 or looks or step == self.start + 1:
            self._log(step, terms, looks)
        if self.collapsed:
            self.save(step)
            raise self.collapsed
        if self.stop.reason and not last:
            raise Interrupted(f"stopped by {self.stop.reason} at step {step:,}; add --resume to go on")
        if self.choice.settled and not last:
            raise SettledError
        if not last and (self._due(step) or step == self.choice.best):
            self.attempt(step)

    def spoilt(self, step: int, loss: float, norm: float) -> None:
        """Note a step that was left out because it was not finite, and its samples; end the run after too many."""
        keys = [self.job.samples.keys[row] for row in self.job.batches.rows(step - 1)]
        self.bad.append(step)
        self.run.note_bad_step({"step": step, "loss": str(loss), "gradient_norm": str(norm), "samples": keys})
        say(f"warning: step {step:,} was left out: loss {loss:g}, gradient norm {norm:g}; see bad_batches.jsonl")
        try:
            refuse_many(self.bad, step)
        except DivergedError:
            self.save(step)
            raise

    def _log(self, step: int, terms: dict[str, Tensor], looks: bool) -> None:
        values = {name: term.item() for name, term in terms.items()}
        loss = sum(values.values())
        self.terms = {name: _finite(value) for name, value in values.items()}
        now = clock.now()
        elapsed = max(now - self._logged_at, 1e-9)
        rate = (step - self._logged_step) * self.batch_size / elapsed
        share = (self.job.batches.seconds - self._input_before) / elapsed
        line = {
            "step": step,
            "epoch": round(step / self.job.batches.steps_per_epoch, 4),
            "loss": _finite(loss),
            "terms": self.terms,
            "lr": self.job.optimizer.param_groups[0]["lr"],
            "samples_per_second": round(rate, 2),
            "input_share": round(share, 4),
            "seconds": round(now - self._began, 3),
        }
        if math.isfinite(loss):
            self._losses.append(loss)
        try:
            if looks:
                line |= self._looked(step)
        finally:  # a look may be interrupted, and the step is done all the same
            with spared(f"the metrics of step {step:,}"):
                append_line(self.run.folder / "metrics.jsonl", json.dumps(line))
            self.loggers.log(line)
        self.bar.update(step, f"loss {loss:.4g}  {rate:,.0f} samples/s  input {share:.0%}", self.steps)
        self._logged_at, self._logged_step, self._input_before = now, step, self.job.batches.seconds

    def _looked(self, step: int) -> dict[str, Any]:
        """Scores of the network as it is now, for the log; what they say is said aloud when it turns for the worse."""
        scores = self.health.look()
        if not scores:
            return {}
        if self.choice.needs_closer_look:
            scores |= self.health.closer_look()
        self.choice.note(step, scores)
        mean = float(np.mean(self._losses)) if self._losses else math.nan
        self.looks.append({**scores, "loss": mean})
        self._losses = []
        state, told = verdict(self.looks, self.before, self.chance)
        if told and state != self.state:
            say(f"warning: step {step:,}: {told}")
        self.state = state
        if state == "collapsing" and self.job.recipe.on_collapse == "stop":
            self.collapsed = DivergedError(f"step {step:,}: {told}")
        return {"mean_loss": _finite(mean), "health": scores, "verdict": told or state}

    def _due(self, step: int) -> bool:
        if self._every_steps:
            return step % self._every_steps == 0
        return clock.now() - self._saved_at >= self._every_seconds

    def attempt(self, step: int) -> None:
        """Save, or say why not and train on: the disk may have room the next time."""
        try:
            self.save(step)
        except Unsaved as error:
            say(f"warning: {error}; training goes on")

    def save(self, step: int) -> None:
        """Write a checkpoint and refresh the exported encoder. Raises Unsaved where the disk does not take them."""
        job = self.job
        self._saved_at = clock.now()
        tensors = job.method.state_dict()
        if any(
            tensor.isnan().any() if name in self._unbounded else not tensor.isfinite().all()
            for name, tensor in tensors.items()
        ):
            raise DivergedError(f"a weight or statistic is not finite at step {step:,}; the last good state is kept")
        groups = {
            "model": checkpoint.model_tensors(job.method),
            "optimizer": checkpoint.optimizer_tensors(job.optimizer),
        }
        state = {"steps": self.steps, "threads": torch.get_num_threads()}
        try:
            checkpoint.save(self.run.checkpoints, step, groups, state, best=step == self.choice.best)
            self._saved_step = step
            if self.choice.best in (None, step):
                self.export(step)
        except OSError as error:
            held = checkpoint.steps(self.run.checkpoints)
            kept = f"{held[-1].name} is kept; make room and add --resume" if held else "there is no earlier one"
            raise Unsaved(f"step {step:,} could not be saved: {printable(str(error))}; {kept}") from error
        self._saved_at = clock.now()

    def export(self, step: int) -> None:
        """Write the encoder as others will load it."""
        job = self.job
        assert job.recipe.encoder
        about = {"method": job.recipe.method.name, "step": step, "samples": job.samples.count}
        folder = self.run.folder / "encoder"
        with undisturbed(job.method), undeterred():
            save_encoder(self.health.encoder(), job.recipe.encoder, job.samples.preparation, folder, about)

    def finish(self) -> None:
        """Save the last step, unless it is, and leave the network that is to be kept, exported."""
        if self.step > self.start:
            self.save(self.step)
        elif self.choice.best is None:  # what follows the last checkpoint may have been cut
            self.export(self.step)
        if self.choice.best is None:
            return
        best = checkpoint.named(self.run.checkpoints, "best")
        try:
            groups, state = checkpoint.load(best or self.run.checkpoints / "best")
            checkpoint.restore_model(self.job.method, groups["model"])
        except checkpoint.CheckpointError as error:
            say(f"warning: the best step cannot be read, so the last is kept: {error}")
            self.export(self.step)
            return
        self.kept = int(state["step"])
        self.export(self.kept)
        name, shown = self.choice.name, self._scored(self.kept).get(self.choice.name, math.nan)
        say(f"chosen   step {self.kept:,} of {self.step:,}, by its {name} of {shown:.4g}")

    def _scored(self, step: int) -> Scores:
        """What the look at a step has found, or the last look before it."""
        found = [line["health"] for line in self.run.metrics() if "health" in line and line["step"] <= step]
        return found[-1] if found else {}

    def draw(self) -> None:
        """Write pictures.png: what the network was shown of a few samples, and what it answered."""
        job = self.job
        kind = modality.named(job.samples.preparation.modality)
        if not hasattr(kind, "contact_sheet"):
            return
        shown = min(PICTURED, self.batch_size)
        views = tuple(as_inputs(job.method, v[:shown]) if v.is_floating_point() else v[:shown] for v in job.batches(0))
        job.method.eval()
        with torch.no_grad(), randomness.at(job.recipe.seed, 0, slice(0, shown)):
            pictures = job.method.picture(*views)
        job.method.train()
        cpu = {name: images.detach().float().cpu() for name, images in pictures.items()}
        with spared("pictures.png"):
            buffer = io.BytesIO()
            kind.contact_sheet(cpu, job.samples.preparation).save(buffer, "PNG")
            write_atomically(self.run.folder / "pictures.png", buffer.getvalue())

    def draw_map(self) -> None:
        """Keep where the network the run ends with puts samples, and who is near whom, for the page."""
        if self.job.recipe.map:
            with undisturbed(self.job.method):
                keep_end(self.run.folder, self.kept or self.step, self.health.encoder(), self._mapped())

    def _mapped(self) -> Samples:
        return mapped(self.run.folder, self.job.samples, self.job.recipe.map, self.steps * self.batch_size)

    def facts(self) -> dict[str, Any]:
        """{steps, chosen_step, samples_per_second, seconds, final_terms, health, verdict} of the finished run.

        The health is that of the network the run ends with.
        """
        seconds = clock.now() - self._began  # what follows is no training
        self.stop.poll()
        rate = (self.step - self.start) * self.batch_size / seconds
        health = self._scored(self.kept or self.step)
        if not set(COSTLY) <= set(health):
            health = {**health, **self.health.closer_look()}
        return {
            "steps": self.step,
            "chosen_step": self.kept or self.step,
            "samples_per_second": round(rate, 2),
            "seconds": round(seconds, 2),
            "final_terms": self.terms or next((line["terms"] for line in self.run.metrics()[-1:]), {}),
            "health": health,
            "verdict": (self.looks and verdict(self.looks, self.before, self.chance)[1]) or self.state,
        }


def _finite(value: float) -> float | None:
    """The number, or None where there is none: JSON knows no NaN."""
    return value if math.isfinite(value) else None
