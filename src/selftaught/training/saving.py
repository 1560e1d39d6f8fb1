"""Checkpoints as a process writes its part of them: in the background, one at a time."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from selftaught.run import checkpoint
from selftaught.run.folder import RunFolder
from selftaught.run.rows import rows_of
from selftaught.system.background import Background
from selftaught.system.circle import Alone, Circle
from selftaught.system.errors import DivergedError
from selftaught.training.job import Job


class Saving:
    """What one process does of every checkpoint: all of it, or its share where weights are spread over several.

    What everybody has is then written by the leader, and what fails in one fails in all.
    """

    def __init__(self, job: Job, run: RunFolder, circle: Circle) -> None:
        self.job, self.run, self.circle = job, run, circle if job.spread else Alone()
        self._writer: Background | None = None
        buffers = job.method.named_buffers()  # such as the mask of an attention, of minus infinities
        self._unbounded = {name for name, tensor in buffers if tensor.isinf().any()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *told: object) -> None:
        with suppress(OSError):  # which the leader says, as it fails there as well
            self.settle()

    def begin(
        self,
        step: int,
        begun: Mapping[str, Tensor] | None = None,
        best: bool = False,
        written: Callable[[], None] = lambda: None,
        seconds: float = 0.0,
    ) -> None:
        """Begin to write a checkpoint; `written` is called when it is there. More may follow it: see `then`.

        seconds: that the run has been trained for, as the leader knows.

        Raises DivergedError where a weight is not finite, and OSError for what fails at once.
        """
        self.refuse_unsound(step)
        groups = self._copied(begun or {})
        state = {"steps": self.job.recipe.steps, "threads": torch.get_num_threads(), "seconds": seconds}
        writer = self._writer = Background()

        def write() -> None:
            checkpoint.save(self.run.checkpoints, step, groups, state, best=best, circle=self.circle, under_way=told)
            written()

        told = writer.under_way
        writer.do(write)
        writer.wait_until_under_way()

    def then(self, work: Callable[[], None]) -> None:
        """Do this when the checkpoint is written."""
        assert self._writer
        self._writer.do(work)

    def no_more(self) -> None:
        """Let the writing end when all that was given is written."""
        if self._writer:
            self._writer.no_more()

    @property
    def over(self) -> bool:
        """Whether what was being written is written, or has failed, and nobody has settled it yet."""
        return self._writer is not None and self._writer.over

    def settle(self) -> bool:
        """Wait for what is being written, and say whether anything was. Raises OSError where that failed."""
        writer, self._writer = self._writer, None
        if writer:
            writer.wait()
        return writer is not None

    def follow(self, step: int) -> None:
        """Where another process leads: write this one's share. What the disk does not take is said there."""
        with suppress(OSError):
            self.settle()
        try:
            self.begin(step)
        except OSError:
            pass
        finally:
            self.no_more()

    def restore(self, name: str) -> int:
        """Put the weights of a checkpoint of this run back, in all processes that save; the step it was made at.

        Raises CheckpointError.
        """
        groups, state = checkpoint.load(self.run.checkpoints / Path(name).name, self.circle)
        checkpoint.restore_model(self.job.method, groups["model"])
        self.job.moves += 1
        return int(state["step"])

    def restore_too(self, name: str) -> None:
        """Where another process leads: take part. What cannot be read is said there."""
        with suppress(checkpoint.CheckpointError):
            self.restore(name)

    def _copied(self, begun: Mapping[str, Tensor]) -> checkpoint.Groups:
        """All that a checkpoint holds, as it is at this moment, on the host."""
        model, optimizer = checkpoint.model_tensors(self.job.method), checkpoint.optimizer_tensors(self.job.optimizer)
        return checkpoint.on_host({"model": model, "optimizer": optimizer, "begun": begun})

    def refuse_unsound(self, step: int) -> None:
        """Raise DivergedError where a weight or statistic is spoilt: the checkpoints before it must not make way."""
        held = {name: rows_of(tensor).held for name, tensor in self.job.method.state_dict().items()}
        spoilt = [x.isnan().any() if name in self._unbounded else ~x.isfinite().all() for name, x in held.items()]
        if any(self.circle.told(bool(torch.stack(spoilt).any()))):  # one wait for the device, not one a tensor
            raise DivergedError(f"a weight or statistic is not finite at step {step:,}; the last good state is kept")
