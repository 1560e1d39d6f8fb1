"""What a run keeps on the disk: checkpoints, the encoder as others load it, and a picture of what it learns from."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Self

import torch

from selftaught.contracts import modality
from selftaught.methods import theirs
from selftaught.run import checkpoint, steps
from selftaught.run.export import Packed, holds_encoder, packed_encoder, replaced_exports, write_packed
from selftaught.run.folder import RunFolder
from selftaught.run.layout import PICTURES
from selftaught.system import clock, processes, randomness
from selftaught.system.errors import Unsaved, remedy
from selftaught.system.files import spared, write_atomically
from selftaught.system.interruption import undeterred
from selftaught.system.saying import say
from selftaught.system.text import printable
from selftaught.training.job import Job
from selftaught.training.looking.features import as_inputs
from selftaught.training.looking.health import undisturbed
from selftaught.training.looking.looks import Looks
from selftaught.training.recording import Stopwatch
from selftaught.training.saving import Saving

PICTURED = 8  # samples in the picture of what the network was shown
SELDOM = 200  # times as long as an export takes, training goes on before a save exports the encoder once more


@contextmanager
def _said() -> Iterator[None]:
    """Say what could not be saved, and go on."""
    try:
        yield
    except Unsaved as error:
        say(f"warning: {error}; training goes on")


class Keeping:
    """Saves a run's state when it is due, and leaves the network that is to be kept at its end.

    A save copies the state to the host and is written while training goes on, one at a time. What becomes of it is
    heard after a step, at the next save, or as the `with` ends that training stands in: it waits for what is written.
    Where weights are spread over processes, the others save their shares at the same steps.

    Training stands still for an export, since statistics of batch norm are measured for it: while a card trains it may
    have no memory for that. So a save exports the encoder where a look at that step has measured it, where it is the
    best so far, and else now and then; what comes before an end always does.
    """

    def __init__(
        self, job: Job, run: RunFolder, looks: Looks, saving: Saving, start: int, stopwatch: Stopwatch
    ) -> None:
        self.job, self.run, self.looks, self.saving, self.stopwatch = job, run, looks, saving, stopwatch
        self.saved = start  # the step that is on the disk; before the first there is nothing to save
        self.chosen: int | None = None  # the step whose network the run ends with, where that is not the last
        self.stood = False  # whether a run that was done has it in encoder/ already, which stays as it is
        self._saved_at = clock.now()
        self._writing = start  # the step that is being written, or was
        self._export_took = 0.0  # seconds, at most
        self._export_due = -math.inf  # the time from which a save exports the encoder in any case

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *told: object) -> None:
        self._settle_aloud()

    def is_due(self, step: int) -> bool:
        """Whether it is time for a checkpoint: every so many steps or seconds, and at the best step so far."""
        every = self.job.recipe.checkpoint_every
        if every.isdigit() and int(every):
            return step % int(every) == 0 or step == self.looks.choice.best
        return clock.now() - self._saved_at >= float(every.rstrip("s")) or step == self.looks.choice.best

    def attempt(self, step: int) -> None:
        """Begin to save, or say why not and train on: the disk may have room the next time."""
        self._settle_aloud()
        with _said():
            self._begin(step, self._exports())

    def names_best(self, step: int) -> bool:
        """Whether this step's checkpoint is known on the disk as the best."""
        best = checkpoint.named(self.run.checkpoints, "best")
        return best is not None and steps.order(best)[0] == step

    def _exports(self) -> bool:
        """Whether the encoder is to be exported with a save: if that is cheap, for as long as training has gone on."""
        return self.looks.health.is_measured or clock.now() >= self._export_due

    def save(self, step: int) -> None:
        """Write a checkpoint and refresh the exported encoder.

        Raises DivergedError where a weight is not finite, and Unsaved where the disk does not take them.
        """
        self._settle_aloud()
        try:
            self._begin(step, exports=True)
        finally:
            self._settle()

    def collect(self) -> None:
        """Hear of a save that has come to its end meanwhile; one that failed is said, and training goes on."""
        if self.saving.over:
            self._settle_aloud()

    def holds(self, step: int) -> bool:
        """Whether a step is on the disk, which may have to be waited for."""
        self._settle_aloud()
        return self.saved == step

    def _begin(self, step: int, exports: bool) -> None:
        """Begin to write a checkpoint, and maybe the encoder after it; raises as `save` does for what fails at once."""
        # At the start as well: what fails is tried again when it is due, not at every step.
        self._saved_at = clock.now()
        best, self._writing = self.looks.choice.best, step
        if self.job.spread:
            processes.order("save", step)
        try:
            written, seconds = partial(self._note, step), round(self.stopwatch.in_all, 3)
            self.saving.begin(step, self.looks.health.begun, step == best, written, seconds)
            if best == step or (best is None and exports):
                packed = self._packed(step)
                self.saving.then(lambda: self._write_encoder(packed))
        except OSError as error:
            raise self._unsaved(error) from error
        finally:
            self.saving.no_more()

    def _note(self, step: int) -> None:
        self.saved = step

    def _settle(self) -> None:
        """Wait for what is being written. Raises Unsaved where that failed."""
        try:
            if self.saving.settle():
                self._saved_at = clock.now()  # a disk that takes long to write is given time between
        except OSError as error:
            raise self._unsaved(error) from error

    def _settle_aloud(self) -> None:
        with _said():
            self._settle()

    def _unsaved(self, error: OSError) -> Unsaved:
        held = checkpoint.steps(self.run.checkpoints)
        kept = f"{held[-1].name} is kept" if held else "there is no earlier one"
        why = f"step {self._writing:,} could not be saved: {printable(str(error))}"
        return Unsaved(f"{why}; {kept}; {remedy(error)} and add --resume")

    def export(self, step: int) -> None:
        """Write the encoder as others will load it; a stop that is asked for meanwhile waits."""
        self._write_encoder(self._packed(step))

    def _packed(self, step: int) -> Packed:
        """The files of the encoder as it is to be used."""
        job, began = self.job, clock.now()
        about = {"method": job.recipe.method.name, "step": step, "samples": job.samples.count}
        with undisturbed(job), undeterred():
            packed = packed_encoder(self.looks.health.encoder(), job.recipe.encoder, job.samples.preparation, about)
        self._export_took = max(self._export_took, clock.now() - began)
        self._export_due = clock.now() + SELDOM * self._export_took
        return packed

    def _write_encoder(self, packed: Packed) -> None:
        folder = self.run.folder / "encoder"
        for file in replaced_exports(folder, packed):
            file.unlink(missing_ok=True)
            say(f"note: encoder/{file.name} was of earlier weights and is removed: export it once more")
        write_packed(folder, packed)

    def finish(self, step: int, over: bool = False) -> None:
        """Save the last step, unless it is, and leave the network that is to be kept, exported.

        over: whether the run was done before, and nothing was left to train: its encoder may be in use as it is.
        """
        best = self.looks.choice.best
        if not self.holds(step):
            self.save(step)
        elif best is None:  # what follows the last checkpoint may have been cut
            self._export_unless_there(step, over)
        if best is not None:
            self._return_to_best(step, over)
        elif (name := self.looks.choice.name) != "last":
            say(f"warning: no look for --choose {name} found a sound network; the last step is kept")

    def _export_unless_there(self, step: int, over: bool) -> None:
        """Export the network as it is now, unless a run that is `over` has it."""
        if over:
            with undisturbed(self.job):
                encoder, preparation = self.job.shown.encoder, self.job.samples.preparation
                self.stood = holds_encoder(self.run.folder / "encoder", encoder, preparation, step)
        if not self.stood:
            self.export(step)

    def _return_to_best(self, last: int, over: bool) -> None:
        """Put the best step's weights back into the network and export them; the last ones where that cannot be."""
        path = checkpoint.named(self.run.checkpoints, "best")
        name = path.name if path else "best"
        if self.job.spread:
            processes.order("restore", name)
        try:
            self.chosen = self.saving.restore(name)
        except checkpoint.CheckpointError as error:
            say(f"warning: the best step cannot be read, so the last is kept: {error}")
            self.export(last)
            return
        self._export_unless_there(self.chosen, over)
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
        views = tuple(as_inputs(job.shown, view) for view in job.batches.first(0, shown))
        job.shown.eval()
        try:
            with theirs.spared(job.shown, f"{PICTURES} could not be drawn"):
                with torch.no_grad(), randomness.at(job.recipe.seed, 0, slice(0, shown)):
                    pictures = job.shown.picture(*views)
                cpu = {name: images.detach().float().cpu() for name, images in pictures.items()}
                sheet = drawing.contact_sheet(cpu, job.samples.preparation)
                with spared(PICTURES):
                    buffer = io.BytesIO()
                    sheet.save(buffer, "PNG")
                    write_atomically(self.run.folder / PICTURES, buffer.getvalue())
        finally:
            job.shown.train()
