"""How a run begins, or goes on from its last checkpoint, in each of its processes."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch

from selftaught.contracts.encoder import Encoder
from selftaught.run import checkpoint
from selftaught.run.export import encoder_about
from selftaught.run.folder import TIMES, RunFolder
from selftaught.run.replaced import replaced_in
from selftaught.system import distributed, processes
from selftaught.system.circle import Circle, everybody
from selftaught.system.errors import UsageError
from selftaught.system.saying import say
from selftaught.system.text import printable
from selftaught.training.job import Job
from selftaught.training.looking.features import as_inputs
from selftaught.training.recording import trained_for
from selftaught.training.saving import Saving

EVERYTHING = 4096  # plain views shown to Method.start
SAID = ("final_terms", "measures", "verdict")  # in status.json, of the network that a run ended with


def is_over(run: RunFolder) -> bool:
    """Whether a pre-training is done and its checkpoints are gone, as a comparison removes them."""
    status = {} if checkpoint.steps(run.checkpoints) else run.status
    return status.get("state") == "done" and "task" not in status


def refuse_over(run: RunFolder) -> None:
    """Raise UsageError where to go on would be to begin at step 0, and to lose a result that is there."""
    shown = printable(run.folder)
    way = "nothing goes on from here; use --overwrite in place of --resume, or another --out"
    if is_over(run):
        raise UsageError(f"{shown} is done and its checkpoints were removed: {way}")
    if not checkpoint.steps(run.checkpoints) and (step := _exported_at(run)):
        raise UsageError(f"{shown} holds the encoder of step {step:,} and no checkpoint: {way}")


def was_done(before: Mapping[str, Any], start: int, steps: int) -> bool:
    """Whether a run of so many steps, by the status before it went on at `start`, had been done there already."""
    return TIMES[0] in before and before.get("steps", steps) == start


def took(before: Mapping[str, Any]) -> dict[str, Any]:
    """How long a run took that was done `before`, and when it ended, unless the status tells of a stop since then."""
    names = ("time", *TIMES) if before.get("state") == "done" else TIMES
    return {name: before[name] for name in names if name in before}


def as_it_was(totals: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """What a run came to that was done `before`, and is what it was: as it was said then, with what is new."""
    health = {**totals["health"], **before.get("health", {})}
    return {**totals, "health": health, **{name: before[name] for name in SAID if name in before}}


def _exported_at(run: RunFolder) -> int:
    """The step whose encoder a run has; 0 where none tells."""
    with suppress(UsageError, KeyError, TypeError, ValueError):
        return int(encoder_about(run.folder / "encoder")["step"])
    return 0


def begun(job: Job, run: RunFolder) -> tuple[int, Saving]:
    """The network as it goes on, or as a new run begins, in every process; the step, and what saves it."""
    circle = everybody()
    start = _restore(job, run, circle) if job.recipe.resume else 0
    _know_broken(job, run)
    if not start:
        _start(job)
    return start, Saving(job, run, circle)


def _start(job: Job) -> None:
    """Let the encoder, its copies and the method see a sample of the data before step 0, in every process."""
    encoders = [part for part in job.method.modules() if isinstance(part, Encoder) and part.starts]
    if not encoders and not job.method.starts:
        return
    with distributed.alone(), torch.no_grad():  # each sees all of it
        everything = _everything(job)
        for encoder in encoders:
            encoder.start(everything, job.recipe.seed)
        job.method.start(everything)


def _know_broken(job: Job, run: RunFolder) -> None:
    """Know, in every process, which samples a run has found to be broken before the step that it goes on with."""
    if looked := job.samples.sampled:
        resumed = job.recipe.resume
        known: list[tuple[int, str]] = processes.led(lambda: replaced_in(run.folder) if resumed else [])
        job.listed = {**looked.broken, **{row: why for row, why in known if row < job.samples.count}}
        job.samples.know_broken(job.listed)


def _restore(job: Job, run: RunFolder, circle: Circle) -> int:
    """Put the newest whole checkpoint back, in every process; the step it was made at."""
    held = processes.led(lambda: [path.name for path in checkpoint.steps(run.checkpoints)])
    if not held:
        if (run.folder / "recipe.yaml").exists():  # of a run that there is: of none it was said before
            say(f"no checkpoint in {printable(run.folder)} yet: starting at step 0")
        if processes.leads():
            run.forget_metrics_after(0)
        return 0
    _refuse_elsewhere(run, held[-1])
    groups, state, complaints = checkpoint.load_to_go_on(run.checkpoints, circle)
    checkpoint.restore_model(job.method, groups["model"])
    checkpoint.restore_optimizer(job.optimizer, groups.get("optimizer", {}))
    for line in complaints:
        say(f"warning: {line}")
    if processes.leads():
        _take_up(job, run, groups, state)
    return state["step"]


def _refuse_elsewhere(run: RunFolder, newest: str) -> None:
    """Raise UsageError, in every process, where one has another run folder than the leader."""
    for rank, there in enumerate(processes.exchanged((run.checkpoints / newest).is_dir())):
        if not there:
            raise UsageError(
                f"{processes.said_of(rank)} finds no {newest} in {run.folder}, which the leader does: --out must be "
                "one folder that all machines share"
            )


def _take_up(job: Job, run: RunFolder, groups: checkpoint.Loaded, state: dict[str, Any]) -> None:
    """What the leader goes on with, besides: the weights as the run began, its clock, and the lines up to there."""
    job.begun = dict(groups.get("begun", {}))
    used, now = state.get("threads"), torch.get_num_threads()
    if used not in (None, now):
        say(f"warning: the run used {used} threads, this process uses {now}; sums may round differently")
    run.forget_metrics_after(state["step"])
    told = state.get("seconds")
    job.trained = trained_for(run.metrics()) if told is None else told
    say(f"resuming at step {state['step']:,}")


def _everything(job: Job) -> torch.Tensor:
    """Plain views of a bounded, evenly spread sample of the data."""
    count = job.samples.count
    # In float32 the last of more than 2^24 may be rounded up beyond the end.
    rows = torch.linspace(0, count - 1, min(count, EVERYTHING)).long().clamp(max=count - 1)
    plain = job.samples.views(("plain",))
    return as_inputs(job.method, plain(rows, *job.samples.batch(rows.numpy()))[0])
