"""Folders that would be classes, and are none: the parts of a split, or one that holds them all."""

from selftaught.contracts.modality import PARTS, UNLABELLED, parts_among
from selftaught.contracts.samples import Samples
from selftaught.run.recipes import Evaluate, Finetune
from selftaught.system.errors import UsageError
from selftaught.system.text import printable

ORDER = (*PARTS, *UNLABELLED)  # to learn from first, then to be judged by


def refuse_parts(recipe: Evaluate | Finetune, samples: Samples, data: str) -> None:
    """Raise UsageError where the folders that would be classes are the parts of a split."""
    if not (parts := parts_among(samples.labels or [], samples.keys)):
        return
    shown, run = printable(data).rstrip("/"), printable(recipe.run)
    ordered = sorted(parts, key=lambda part: ORDER.index(part.lower()))
    learnt, *judged = [f"{shown}/{printable(part)}" for part in ordered]
    command = f"evaluate {run} --train" if isinstance(recipe, Evaluate) else f"finetune {run}"
    test = "".join(f" --test {part}" for part in judged[:1])
    if not recipe.run:  # labels that watch a run which is still to come
        command, test = "--watch-labels", ""
    named = ", ".join(map(printable, parts))
    raise UsageError(
        f"the folders of {shown} are parts of a split, not classes: {named}; which is it? Say: {command} {learnt}{test}"
    )


def is_deeper(samples: Samples) -> bool:
    """Whether the one folder that all samples lie in has several folders in it."""
    return len({key.split("/")[1] for key in samples.keys if key.count("/") > 1}) > 1
