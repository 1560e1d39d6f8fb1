"""What a run keeps on the disk: checkpoints, the encoder as others load it, and a picture of what it learns from."""

import io
import math

import torch

from selftaught.contracts import modality
from selftaught.run import checkpoint
from selftaught.run.export import save_encoder
from selftaught.run.folder import RunFolder
from selftaught.system import clock, randomness
from selftaught.system.errors import DivergedError, Unsaved
from selftaught.system.files import spared, write_atomically
from selftaught.system.interruption import undeterred
from selftaught.system.saying import say
from selftaught.system.text import printable
from selftaught.training.job import Job
from selftaught.training.looking.features import as_inputs
from selftaught.training.looking.health import undisturbed
from selftaught.training.looking.looks import Looks

PICTURED = 8  # samples in the picture of what the network was shown


class Keeping:
    """Saves a run's state when it is due, and leaves the network that is to be kept at its end."""

    def __init__(self, job: Job, run: RunFolder, looks: Looks, start: int) -> None:
        self.job, self.run, self.looks = job, run, looks
        self.saved = start  # the step that is on the disk; before the first there is nothing to save
        self.chosen: int | None = None  # the step whose network the run ends with, where that is not the last
        self._saved_at = clock.now()
        buffers = job.method.named_buffers()  # such as the mask of an attention, of minus infinities
        self._unbounded = {name for name, tensor in buffers if tensor.isinf().any()}

    def is_due(self, step: int) -> bool:
        """Whether it is time for a checkpoint: every so many steps or seconds, and at the best step so far."""
        every = self.job.recipe.checkpoint_every
        if every.isdigit() and int(every):
            return step % int(every) == 0 or step == self.looks.choice.best
        return clock.now() - self._saved_at >= float(every.rstrip("s")) or step == self.looks.choice.best

    def attempt(self, step: int) -> None:
        """Save, or say why not and train on: the disk may have room the next time."""
        try:
            self.save(step)
        except Unsaved as error:
            say(f"warning: {error}; training goes on")

    def save(self, step: int) -> None:
        """Write a checkpoint and refresh the exported encoder.

        Raises DivergedError where a weight is not finite, and Unsaved where the disk does not take them.
        """
        job, best = self.job, self.looks.choice.best
        # At the start as well: what fails is tried again when it is due, not at every step.
        self._saved_at = clock.now()
        self._refuse_unsound(step)
        groups = {
            "model": checkpoint.model_tensors(job.method),
            "optimizer": checkpoint.optimizer_tensors(job.optimizer),
            "begun": self.looks.health.begun,
        }
        state = {"steps": job.recipe.steps, "threads": torch.get_num_threads()}
        try:
            checkpoint.save(self.run.checkpoints, step, groups, state, best=step == best)
            self.saved = step
            if best in (None, step):
                self.export(step)
        except OSError as error:
            held = checkpoint.steps(self.run.checkpoints)
            kept = f"{held[-1].name} is kept; make room and add --resume" if held else "there is no earlier one"
            raise Unsaved(f"step {step:,} could not be saved: {printable(str(error))}; {kept}") from error
        self._saved_at = clock.now()

    def _refuse_unsound(self, step: int) -> None:
        """Raise DivergedError where a weight or statistic is spoilt: the checkpoints before it must not make way."""
        for name, tensor in self.job.method.state_dict().items():
            if tensor.isnan().any() if name in self._unbounded else not tensor.isfinite().all():
                raise DivergedError(
                    f"a weight or statistic is not finite at step {step:,}; the last good state is kept"
                )

    def export(self, step: int) -> None:
        """Write the encoder as others will load it; a stop that is asked for meanwhile waits."""
        job = self.job
        about = {"method": job.recipe.method.name, "step": step, "samples": job.samples.count}
        folder = self.run.folder / "encoder"
        with undisturbed(job.method), undeterred():
            save_encoder(self.looks.health.encoder(), job.recipe.encoder, job.samples.preparation, folder, about)

    def finish(self, step: int) -> None:
        """Save the last step, unless it is, and leave the network that is to be kept, exported."""
        best = self.looks.choice.best
        if step != self.saved:
            self.save(step)
        elif best is None:  # what follows the last checkpoint may have been cut
            self.export(step)
        if best is not None:
            self._return_to_best(step)
        elif (name := self.looks.choice.name) != "last":
            say(f"warning: no look for --choose {name} found a sound network; the last step is kept")

    def _return_to_best(self, last: int) -> None:
        """Put the best step's weights back into the network and export them; the last ones where that cannot be."""
        path = checkpoint.named(self.run.checkpoints, "best")
        try:
            groups, state = checkpoint.load(path or self.run.checkpoints / "best")
            checkpoint.restore_model(self.job.method, groups["model"])
        except checkpoint.CheckpointError as error:
            say(f"warning: the best step cannot be read, so the last is kept: {error}")
            self.export(last)
            return
        self.chosen = int(state["step"])
        self.export(self.chosen)
        name = self.looks.choice.name
        score = self.looks.recorded(self.chosen).get(name, math.nan)
        say(f"chosen   step {self.chosen:,} of {last:,}, by its {name} of {score:.4g}")

    def draw(self) -> None:
        """Write pictures.png: what the network was shown of a few samples, and what it answered."""
        job = self.job
        drawing = modality.named(job.samples.preparation.modality).PICTURES
        if not drawing:
            return
        shown = min(PICTURED, job.batches.batch_size)
        views = tuple(as_inputs(job.method, v[:shown]) if v.is_floating_point() else v[:shown] for v in job.batches(0))
        job.method.eval()
        with torch.no_grad(), randomness.at(job.recipe.seed, 0, slice(0, shown)):
            pictures = job.method.picture(*views)
        job.method.train()
        cpu = {name: images.detach().float().cpu() for name, images in pictures.items()}
        with spared("pictures.png"):
            buffer = io.BytesIO()
            drawing.contact_sheet(cpu, job.samples.preparation).save(buffer, "PNG")
            write_atomically(self.run.folder / "pictures.png", buffer.getvalue())
