"""Over how many processes weights are spread: by what was asked, or what they and all that goes with them take."""

import torch
from torch import nn

from selftaught.contracts.samples import Samples
from selftaught.run.plan import Plan
from selftaught.run.quantities import NONE
from selftaught.run.recipes import Pretrain
from selftaught.system import processes
from selftaught.system.devices import device_of
from selftaught.system.errors import UsageError
from selftaught.system.memory import machine_memory
from selftaught.system.saying import say
from selftaught.system.text import filesize
from selftaught.training.job import on_paper
from selftaught.training.measuring.batch_size import STATE
from selftaught.training.resolve import Counted

USED = 0.5  # of a device's memory that weights and all that goes with them may take; activations want the rest
FROZEN = 4  # bytes of a weight that does not learn, such as a teacher's


def kept(recipe: Pretrain, command: Pretrain) -> Pretrain:
    """The recipe of a run that goes on, where it may be by another number of processes than it was begun with.

    What the command does not say stays, if it can.
    """
    if "shard" in command.model_fields_set or recipe.shard in (NONE, "auto") or _divides(recipe.shard):
        return recipe
    say(f"weights were spread over every {recipe.shard} processes, and there are {processes.count()}: --shard auto")
    return recipe.model_copy(update={"shard": "auto"})


def shard_of(plan: Plan, recipe: Pretrain, samples: Samples | Counted, module: nn.Module | None) -> str:
    """Over how many processes to spread the weights, or none. Raises UsageError for what cannot be."""
    count, shard = processes.count(), recipe.shard
    if shard == "auto":
        shard = NONE if count == 1 or holds(plan, samples, module) else str(_needed(plan, samples, module))
    if shard == NONE:
        return shard
    refuse_undivided(shard, count)
    refuse_compiled(shard, plan)
    return shard


def refuse_undivided(shard: str, count: int) -> None:
    """Raise UsageError where so many processes cannot be cut into groups of `shard`."""
    if count % int(shard):
        able = [str(size) for size in range(2, count + 1) if count % size == 0]
        way = f"use {' or '.join(able)}, or none" if able else "start several, as by --devices 2, or leave it out"
        raise UsageError(f"--shard {shard} does not divide the number of processes, {count}: {way}")


def refuse_compiled(shard: str, plan: Plan) -> None:
    """Raise UsageError where a network is to be compiled whose weights are spread."""
    if plan.compile:
        raise UsageError(f"--shard {shard} cannot be had with --compile: leave one of them out")


def holds(plan: Plan, samples: Samples | Counted, module: nn.Module | None) -> bool:
    """Whether all that goes with the weights fits one device, so that a single process can measure a step."""
    return state_bytes(plan, samples, module) <= _room(plan)


def refuse_unmeasured(recipe: Pretrain) -> None:
    """Raise UsageError for what only a measured step could tell, where one device does not hold the network."""
    asked = {"--batch-size auto": recipe.batch_size == "auto", "--budget": recipe.budget and recipe.steps is None}
    for flag in (flag for flag, given in asked.items() if given):
        raise UsageError(
            f"{flag} is measured on one device, which does not hold this network: say --batch-size and --epochs"
        )


def state_bytes(plan: Plan, samples: Samples | Counted, module: nn.Module | None) -> int:
    """Bytes of all weights, and of the gradients and the optimiser's numbers of those that learn."""
    method = on_paper(plan, samples.preparation, samples.count, module)
    return sum((STATE if weight.requires_grad else FROZEN) * weight.numel() for weight in method.parameters())


def _needed(plan: Plan, samples: Samples | Counted, module: nn.Module | None) -> int:
    """The fewest processes, of those that divide all, each of which has room for its share; else all."""
    taken, room, count = state_bytes(plan, samples, module), _room(plan), processes.count()
    size = fewest(taken, room, count)
    say(f"measured {filesize(taken)} of weights and what goes with them: spread over {size} processes")
    return size


def fewest(taken: float, room: float, count: int) -> int:
    """The fewest of `count` processes, of `room` bytes each, that divide all and hold `taken` together; else all."""
    return next((size for size in range(1, count) if count % size == 0 and taken <= size * room), count)


def _room(plan: Plan) -> int:
    """Bytes of a device that may be taken."""
    if device_of(plan.device).type == "cuda":
        return int(USED * torch.cuda.mem_get_info()[1])
    return int(USED * machine_memory() / len(processes.neighbours()))


def _divides(shard: str) -> bool:
    return processes.count() % int(shard) == 0
