"""A run that is foreseen: its samples, the step that is measured of it, and what follows for many machines."""

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.contracts.findings import Findings
from selftaught.contracts.modality import Modality
from selftaught.contracts.samples import Samples
from selftaught.data.first_pass import by_sample
from selftaught.run.plan import Plan
from selftaught.run.recipes import Planning
from selftaught.run.ways import ways
from selftaught.system.cards import network_of
from selftaught.system.errors import UsageError
from selftaught.system.interruption import Stop
from selftaught.system.text import printable
from selftaught.training.batches import refuse_uneven
from selftaught.training.guidance import refuse_unguided
from selftaught.training.measuring.cost import COUNT, Cost, cost_of
from selftaught.training.measuring.forecast import SAMPLE, opened_in_part
from selftaught.training.measuring.speed import remembered
from selftaught.training.measuring.trial import Trial
from selftaught.training.resolve import Counted, resolve
from selftaught.training.scale.fleet import Fleet, Source, way_on
from selftaught.training.scale.outlook import Machines, Outlook
from selftaught.training.scale.reckoning import Reckoning, assumptions

DAY = 86_400.0  # seconds
IMAGENET = 115e3  # bytes of an image: ILSVRC2012_img_train.tar has 147.9 GB of 1,281,167
NAME = 40.0  # letters in the name of a sample, where there is none yet
NATIVE, CANVAS = 96, 8 / 7  # sides up to this are stored as they are; larger ones with so much around them


def samples_of(command: Planning, kind: Modality, fleet: Fleet, stop: Stop) -> tuple[Samples, Source]:
    """A few samples to measure on, and what there will be of them. Raises DataError and UsageError."""
    if not command.data:
        return _made_up(command, kind, stop)
    findings: Findings = kind.inspect(
        command.data,
        limit=SAMPLE,
        seed=command.seed,
        workers=command.workers,
        tolerance=1.0,
        label_column=command.label_column,
        **ways(command, kind),
        progress=lambda done, total: stop.poll(),
    )
    samples = opened_in_part(command, findings.count, stop, fleet.device)
    refuse_unguided(command, samples)
    stored = _stored(samples)
    whole = max(1, findings.checked - len(findings.broken))
    read = findings.images.bytes / whole if findings.images and findings.decoded else stored
    name = sum(map(len, samples.keys)) / samples.count
    count = _count(command, findings.count)
    shown = printable(command.data)
    return samples, Source(shown, kind.THINGS, count, findings.decoded, command.sample_bytes or read, stored, name)


def _made_up(command: Planning, kind: Modality, stop: Stop) -> tuple[Samples, Source]:
    """Noise in place of images that are elsewhere."""
    if command.samples is None or command.size is None:
        raise UsageError("without DATA say how many samples there will be and how large: --samples and --size")
    sides = [side if side <= NATIVE else ceil(CANVAS * side) for side in command.size]
    noise = np.random.default_rng(0).integers(0, 256, (SAMPLE, *sides, 3), dtype=np.uint8)
    samples = _opened(kind.open_samples, noise, command, stop)
    read, count = command.sample_bytes or IMAGENET, _count(command, command.samples)
    return samples, Source("no data", kind.THINGS, count, True, read, _stored(samples), NAME)


def _opened(opening: Callable[..., Samples], noise: NDArray[Any], command: Planning, stop: Stop) -> Samples:
    return opening(noise, size=command.size, seed=command.seed, progress=lambda done, total: stop.poll())


def _count(command: Planning, there: int) -> int:
    count = command.samples or there
    return min(count, command.limit or count)


def _stored(samples: Samples) -> float:
    return samples.batch(np.arange(1))[0].nbytes


def foreseen(command: Planning, samples: Samples, source: Source, fleet: Fleet, stop: Stop) -> Outlook:
    """Measure a step of the run that the command asks for, and reckon. Raises UsageError for what cannot be."""
    some = source.files and by_sample(command.first_pass, source.count)
    counted = Counted(source.count, samples.preparation, sampled=some, device=fleet.device)
    plan = resolve(command, counted)
    plan = plan.computed(way_on(fleet, command, plan, remembered(command, plan, samples.preparation.shape)))
    trial = Trial(samples, stop, count=COUNT)
    cost = cost_of(plan, trial, timed=fleet.here and not fleet.rate)
    if command.batch_size == "auto":
        fits = Reckoning(plan, cost, source, fleet).fitting()
        if not fits:
            raise UsageError(f"not even two samples of {plan.encoder.name} fit {fleet.card.name}: use a smaller one")
        asked = command.model_copy(update={"batch_size": fits * fleet.processes})
        plan = resolve(asked, counted).computed(plan.way)
    return reckoned(command, plan, cost, source, fleet)


def reckoned(command: Planning, plan: Plan, cost: Cost, source: Source, fleet: Fleet) -> Outlook:
    """What a plan takes that costs so much. Raises UsageError for banks, batches and reading that cannot be."""
    reckoning = Reckoning(plan, cost, source, fleet)
    if command.shard == "auto":
        reckoning = reckoning.spread()
    reckoning.refuse_banks()
    refuse_uneven(plan.batch_size, fleet.processes)
    memory = reckoning.memory()
    sending = reckoning.communication()
    speed, small = reckoning.speed(sending), plan.grow.steps if plan.grow else 0.0
    each = small * speed.first_step_seconds + (1 - small) * speed.step_seconds
    steps = max(1, int(command.budget / each)) if command.budget else plan.steps
    seconds = steps * each
    machines = Machines(
        nodes=fleet.nodes,
        devices=fleet.devices,
        processes=fleet.processes,
        card=fleet.card.name,
        network=fleet.network,
        network_bytes_per_second=network_of(fleet.network),
    )
    return Outlook(
        data=source.name,
        things=source.things,
        samples=source.count,
        method=plan.method.name,
        encoder=plan.encoder.name,
        size=plan.size,
        precision=plan.precision,
        batch_size=plan.batch_size,
        epochs=steps * plan.batch_size / source.count,
        steps=steps,
        machines=machines,
        memory=memory,
        speed=speed,
        reading=reckoning.reading(plan.batch_size / speed.first_step_seconds if small else speed.samples_per_second),
        communication=sending,
        saving=reckoning.saving(),
        days=seconds / DAY,
        device_hours=seconds / 3600 * fleet.processes,
        measured=_measured(cost),
        assumptions=[*assumptions(fleet), *_unseen(command)],
    )


def _unseen(command: Planning) -> list[str]:
    """What is taken for granted of metadata, of which no more than names of columns is looked at."""
    names = ", ".join(map(printable, command.columns))
    says = "says" if len(command.columns) == 1 else "say"
    return [f"metadata: what {names} {says} of the samples was not looked at"] if names else []


def _measured(cost: Cost) -> dict[str, float]:
    timed = {} if cost.seconds is None else {"seconds": cost.seconds}
    exchanged = {"gathered_bytes": cost.gathered, "summed_bytes_a_step": cost.summed}
    return {"operations": cost.operations, "kept_bytes": cost.kept, "norms_a_step": cost.norms, **exchanged, **timed}
