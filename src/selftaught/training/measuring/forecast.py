"""What a run would choose, how long it would take and what it would write, from a few measured steps."""

import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from selftaught.contracts import modality
from selftaught.contracts.findings import Forecast, Suggested
from selftaught.contracts.samples import Samples
from selftaught.run import checkpoint
from selftaught.run.plan import Plan, Way
from selftaught.run.recipes import Check, Pretrain
from selftaught.run.recipes.fields import Mark
from selftaught.run.ways import ways
from selftaught.system.components import Part
from selftaught.system.devices import device_of
from selftaught.system.errors import DataError
from selftaught.system.interruption import Stop
from selftaught.system.saying import quietly
from selftaught.system.text import printable
from selftaught.training.by_device import chosen_by_device
from selftaught.training.few import advice
from selftaught.training.job import Job
from selftaught.training.measuring.budget import Work
from selftaught.training.measuring.speed import remembered
from selftaught.training.measuring.trial import ROWS, Trial, seconds_a_step
from selftaught.training.resolve import Counted, resolve
from selftaught.training.usual import chosen_as_usual

FEWEST = 2  # samples of a step
SAMPLE = 128  # samples that are opened to measure steps on


def forecast(command: Pretrain, count: int, decoded: bool, stop: Stop) -> tuple[Suggested, Forecast]:
    """What pre-training on `count` samples of the command's data would choose and take.

    `decoded`: whether they are files, which are decoded into a cache. Raises DataError.
    """
    samples = opened_in_part(command, count, stop)
    plan = resolve(command, Counted(count, samples.preparation))
    by_device = chosen_by_device(command, plan.encoder, samples, device_of(command.device).type)
    suggested = Suggested(
        method=plan.method.name,
        encoder=plan.encoder.name,
        size=plan.size,
        batch_size=plan.batch_size,
        epochs=plan.epochs or plan.steps / (count // plan.batch_size),
        steps=plan.steps,
        command=_said_again(command, plan),
        by_device=[*by_device, *chosen_as_usual(command, plan, count)],
        advice=advice(plan, modality.of(command.data), count),
    )
    known = remembered(command, plan, samples.preparation.shape)
    return suggested, _measured(plan.computed(known or Way()), bool(known), samples, count, decoded, stop)


def opened_in_part(command: Pretrain, count: int, stop: Stop, device: str | None = None) -> Samples:
    """A few of the `count` samples of the command's data, to measure steps on. Raises DataError.

    device: the type of those that train on them, where it is not the command's.
    """
    kind = modality.of(command.data)
    with quietly():  # what is to be told of the data stands among the findings
        samples: Samples = kind.open_samples(
            command.data,
            size=command.size,
            limit=min(SAMPLE, count),
            seed=command.seed,
            tolerance=1.0,
            label_column=command.label_column,
            column=command.column,
            **ways(command, kind),
            cache=0,
            workers=command.workers,
            device=device or device_of(command.device).type,
            progress=lambda done, total: stop.poll(),
        )
    if samples.count < FEWEST:
        raise DataError(f"{samples.count} of {min(SAMPLE, count)} {kind.THINGS} taken at random can be used")
    return samples


def _measured(plan: Plan, known: bool, samples: Samples, count: int, decoded: bool, stop: Stop) -> Forecast:
    """`known`: whether the plan's way of computing has been measured, rather than taken for a start."""
    rows = min(plan.batch_size, ROWS, samples.count)
    trial = Trial(samples, stop, count=count)
    job = trial.job(plan, rows)
    whole = seconds_a_step(job, stop)
    small = seconds_a_step(trial.job(plan, rows, small=True), stop) if plan.grow else whole
    rate = rows / whole / Work(plan.grow, small / whole).mean
    saved = _checkpoint_bytes(job)
    cached = count * decoded * samples.batch(np.arange(1))[0].nbytes
    encoder = sum(weights.nbytes for weights in job.method.encoder.state_dict().values())
    return Forecast(
        seconds=round(plan.steps * plan.batch_size / rate, 1),
        samples_per_second=round(rate, 2),
        measured_on=f"a few steps of {rows} in {plan.way} on {job.engine.device}"
        + ("" if known else "; a run measures other settings first and may be faster"),
        reading_seconds=0.0,
        checkpoint_bytes=saved,
        run_bytes=(checkpoint.KEEP + 1) * saved + encoder,  # a new checkpoint is whole before an old one goes
        cache_bytes=modality.named(samples.preparation.modality).cache_bytes(cached, plan.memory),
        free_bytes=shutil.disk_usage(Path.cwd()).free,
    )


def _checkpoint_bytes(job: Job) -> int:
    """What a checkpoint takes, now that the optimiser has made its first steps."""
    model, optimizer = checkpoint.model_tensors(job.method), checkpoint.optimizer_tensors(job.optimizer)
    return checkpoint.bytes_of({"model": model, "optimizer": optimizer})


def _said_again(command: Pretrain, plan: Plan) -> str:
    """The command that starts such a run: what the user named is said again, the rest is chosen as shown."""
    words = ["selftaught", "pretrain", command.data]
    free = {*Pretrain.marked(Mark.FREE, Mark.COMMAND)} - {"tolerance"}  # without which the run might not start
    given = command.model_fields_set - free
    for name in Check.marked(Mark.SHARED):
        if name in given and (value := getattr(plan, name)) is not None:
            flag = f"--{name.replace('_', '-')}"
            if isinstance(value, Part):  # the plan's has options that were chosen as well
                words += [flag, value.name]
                for option, chosen in getattr(command, name).options.items():
                    words += [f"{flag}.{option}", _typed(chosen, ",")]
            else:
                words += [flag, _typed(value, "x" if name.endswith("size") else ":")]
    return printable(shlex.join(words))


def _typed(value: Any, between: str) -> str:
    """A value as it is typed on the command line; `between` is what parts the numbers of several."""
    if isinstance(value, list | tuple):
        return between.join(_typed(one, between) for one in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
