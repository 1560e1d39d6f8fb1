"""What all processes must have alike before the first step: versions, settings and data."""

import platform
from typing import Any

from selftaught.contracts.samples import Samples
from selftaught.run.folder import versions
from selftaught.run.recipes import Pretrain
from selftaught.run.recipes.fields import Mark
from selftaught.system import processes
from selftaught.system.devices import device_of
from selftaught.system.interruption import Stop
from selftaught.training.resolve import open_data


def refuse_unlike(command: Pretrain) -> None:
    """Raise UsageError where another process has other versions, settings or kinds of device; it names who and what."""
    if processes.count() == 1:
        return
    mine = {"python": platform.python_version(), **versions()}
    kind = device_of(command.device).type
    processes.refuse_difference({**mine, "the device": kind, **_settings(command)})


def _settings(command: Pretrain) -> dict[str, Any]:
    """What makes the result, and the folder; data may have another name on each machine, its content is compared."""
    left_out = {*Pretrain.marked(Mark.FREE), "data"}
    return {
        f"--{name.replace('_', '-')}": value
        for name, value in command.model_dump(mode="json", exclude=left_out).items()
    }


def opened_by_all(recipe: Pretrain, stop: Stop, like: Any) -> Samples:
    """The samples, which one process of each machine decodes into the cache and the others find there.

    They share the memory that the recipe allows. Raises UsageError where they hold something else somewhere.
    """
    share = recipe.model_copy(update={"memory": recipe.memory // len(processes.neighbours())})
    samples = processes.in_turn(lambda: open_data(share, stop, like, beside=recipe.out or ""))
    if processes.count() > 1:
        told = {"its metadata": samples.guidance.fingerprint} if samples.guidance else {}
        processes.refuse_difference({"the data's content": samples.fingerprint, "its samples": samples.count, **told})
    return samples
