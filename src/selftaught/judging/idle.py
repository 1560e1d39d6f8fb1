"""Options that concern nothing beside what else was asked: refused, as nobody should think that they were followed."""

from collections.abc import Iterator, Mapping, Sequence

from selftaught.judging.probe import Probe
from selftaught.run.recipes.fields import Recipe
from selftaught.system.errors import UsageError

OF_FEATURES = ("features", "standardised", "shown")  # which probes take whose features may be named


def given(recipe: Recipe, fields: Sequence[str]) -> Iterator[str]:
    """The flags of those fields that have another value than their default."""
    for field in fields:
        if getattr(recipe, field) != type(recipe).model_fields[field].default:
            yield _flag(field)


def refuse_alone(recipe: Recipe, needed: str, *fields: str) -> None:
    """Raise UsageError for the first of `fields` that was given without what it `needed`."""
    if not getattr(recipe, needed) and (flag := next(given(recipe, fields), None)):
        raise UsageError(f"{flag} needs {_flag(needed)}")


def refuse_unread(recipe: Recipe, asked: Mapping[str, Probe]) -> None:
    """Raise UsageError for settings that no probe reads which was asked for."""
    takes = {probe.takes for probe in asked.values()}
    if takes.isdisjoint(OF_FEATURES) and (flag := next(given(recipe, ["features"]), None)):
        raise UsageError(f"{flag} is what knn and linear choose among; --probe {next(iter(asked))} reads none of them")
    if "encoder" not in takes and (options := getattr(recipe, "finetune", None)):
        raise UsageError(f"--finetune.{next(iter(options))} is of --probe finetune, which was not asked for")


def _flag(field: str) -> str:
    return f"--{field.replace('_', '-')}"
