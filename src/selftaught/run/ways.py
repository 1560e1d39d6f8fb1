"""How samples are read, as a recipe says it and data of a kind is asked."""

from typing import Any

from selftaught.contracts.modality import Modality
from selftaught.run.recipes.fields import Recipe
from selftaught.system.errors import UsageError
from selftaught.system.saying import say_once
from selftaught.system.text import printable

LEFT_OPEN: dict[str, Any] = {"range": "auto", "pages": "first", "bands": None, "jpeg_decoder": "cpu"}
FORMER: dict[str, Any] = {"range": None, "bands": "colours"}  # of runs that were begun before there was anything to ask


def bands_of(recipe: Recipe, kind: Modality) -> str | None:
    """Which bands are read where nothing is said of it: all, but by what was begun before one could say."""
    begun = getattr(recipe, "fingerprint", None)
    said: str | None = getattr(recipe, "bands", None)
    return said or ("all" if kind.READ_IN_WAYS and not begun else None)


def ways(recipe: Recipe, kind: Modality) -> dict[str, Any]:
    """The parameters of `open_samples` and `inspect` that only some kinds have. Raises UsageError for others."""
    return {**_reading(recipe, kind), **_windows(recipe, kind), **_words(recipe, kind), **_rate(recipe, kind)}


def note_size(recipe: Recipe, kind: Modality) -> None:
    """Say that a size is for nothing where samples have none."""
    if getattr(recipe, "size", None) is not None and not kind.SIZED:
        say_once(f"note: --size is for images and sound: {kind.THINGS} are taken as long as they are")


def _words(recipe: Recipe, kind: Modality) -> dict[str, Any]:
    """What words are, and how many of a text are seen."""
    said = {name: getattr(recipe, name) for name in ("tokenizer", "vocabulary", "context")}
    for name, value in said.items():
        if value is not None and not kind.WORDS:
            raise UsageError(f"--{name} {printable(str(value))} is for texts, and these are {kind.THINGS}")
    return said if kind.WORDS else {}


def _windows(recipe: Recipe, kind: Modality) -> dict[str, Any]:
    """How long samples are cut."""
    said = {name: getattr(recipe, name) for name in ("window", "stride")}
    for name, points in said.items():
        if points and not kind.WINDOWED:
            raise UsageError(f"--{name} {points} is for series: {kind.THINGS} are not cut into windows")
    return said | begun(recipe, kind) if kind.WINDOWED else {}


def begun(recipe: Recipe, kind: Modality) -> dict[str, Any]:
    """Whether a run that began before goes on, of samples that are windows: what is broken was counted otherwise."""
    return {"begun": bool(getattr(recipe, "fingerprint", None))} if kind.WINDOWED else {}


def _rate(recipe: Recipe, kind: Modality) -> dict[str, Any]:
    """How many values a second samples are to have."""
    said = getattr(recipe, "sampling_rate", None)
    if said and not kind.RATED:
        raise UsageError(f"--sampling-rate {said} is for sound: {kind.THINGS} have no rate that could be another")
    return {"sampling_rate": said} if kind.RATED else {}


def _reading(recipe: Recipe, kind: Modality) -> dict[str, Any]:
    """How the values of samples are read."""
    said = {name: getattr(recipe, name, usual) for name, usual in LEFT_OPEN.items()}
    asked = {name: value for name, value in said.items() if value != LEFT_OPEN[name]}
    if not kind.READ_IN_WAYS:
        for name in asked:
            raise UsageError(f"--{name.replace('_', '-')} is for images, and these are {kind.THINGS}")
        return {}
    return {"reading": asked if bands_of(recipe, kind) else FORMER}
