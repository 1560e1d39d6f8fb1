"""What a run is resumed with: its saved recipe, and what may be said anew."""

from typing import Any, TypeVar

from selftaught.run.fields import Mark
from selftaught.run.recipes import Compare, Pretrain
from selftaught.system.components import Part
from selftaught.system.errors import UsageError

Continued = TypeVar("Continued", Pretrain, Compare)


def continued(command: Continued, saved: Continued) -> Continued:
    """The recipe to resume with: what the command leaves open is taken from the saved one; a change is refused.

    Open is what is not given, and what is given as None or "auto": the saved recipe has what was chosen then. What is
    free to change, such as how often to log, stays as it was where it is not given. The data is the command's own, as
    it may have moved; its fingerprint is compared instead.
    """
    own, free = {*command.marked(Mark.COMMAND)}, {*command.marked(Mark.FREE, Mark.COMMAND)}
    for name in sorted(command.model_fields_set - free):  # sorted, so that of two changes the same one is named
        now, before = getattr(command, name), getattr(saved, name)
        if now in (None, "auto"):
            continue
        if not _agrees(now, before):
            raise UsageError(
                f"cannot resume: --{name.replace('_', '-')} is {_shown(now)}, but the run was started with "
                f"{_shown(before)}; leave it out, or start anew in another --out"
            )
    anew = own | (free & command.model_fields_set)
    return saved.model_copy(update={name: getattr(command, name) for name in anew})


def _agrees(now: Any, before: Any) -> bool:
    """Whether a setting is as it was; one that names some options of a part leaves the others open."""
    if isinstance(now, Part) and isinstance(before, Part):
        return now.name == before.name and _agrees(now.options, before.options)
    if isinstance(now, dict) and isinstance(before, dict):
        return all(_agrees(value, before.get(key)) for key, value in now.items())
    # A tuple comes back from YAML as a list inside options, and a path as text.
    return now == before or str(now) == str(before)


def _shown(value: Any) -> str:
    if isinstance(value, Part):
        return value.name + (f" with {value.options}" if value.options else "")
    return repr(value)
