"""What a run is resumed with: its saved recipe, and what may be told anew."""

from typing import Any, TypeVar

from selftaught.run.recipes import Compare, Pretrain
from selftaught.system.components import Part
from selftaught.system.errors import UsageError

FREE_ON_RESUME = {
    "out",
    "resume",
    "overwrite",
    "log_every",
    "logger",
    "checkpoint_every",
    "time_limit",
    "on_collapse",
    "map",
    "profile",
    "workers",
    "memory",
    "cache",
    "devices",
}
OF_THE_COMMAND = {"out", "resume", "overwrite", "time_limit", "logger"}  # never taken from the saved recipe
Continued = TypeVar("Continued", Pretrain, Compare)


def continued(command: Continued, saved: Continued) -> Continued:
    """The recipe to resume with: what the command leaves open is taken from the saved one; a change is refused.

    Open is what is not given, and what is given as None or "auto": the saved recipe has what was chosen then. What is
    free to change, such as how often to log, stays as it was where it is not given.
    """
    for name in sorted(command.model_fields_set - FREE_ON_RESUME):
        now, before = getattr(command, name), getattr(saved, name)
        if name == "data" or now in (None, "auto"):
            continue  # the same data may have moved; its fingerprint is compared instead
        if not _agrees(now, before):
            raise UsageError(
                f"cannot resume: --{name.replace('_', '-')} is {_plain(now)}, but the run was started with "
                f"{_plain(before)}; leave it out, or start anew in another --out"
            )
    given = OF_THE_COMMAND | command.model_fields_set
    free = {name: getattr(command, name) for name in FREE_ON_RESUME & given & set(type(command).model_fields)}
    return saved.model_copy(update={**free, "data": command.data})


def _agrees(now: Any, before: Any) -> bool:
    if isinstance(now, Part) and isinstance(before, Part):
        return now.name == before.name and _agrees(now.options, before.options)
    if isinstance(now, dict) and isinstance(before, dict):
        return all(_agrees(value, before.get(key)) for key, value in now.items())
    return now == before or str(now) == str(before)


def _plain(value: Any) -> str:
    if isinstance(value, Part):
        return value.name + (f" with {value.options}" if value.options else "")
    return repr(value)
