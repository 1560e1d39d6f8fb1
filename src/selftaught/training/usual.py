"""What is usual for a run on so many samples, as it has been measured to suit them, where nobody names another."""

from collections.abc import Mapping
from typing import Any

from selftaught.contracts.modality import Modality
from selftaught.run.plan import Plan
from selftaught.run.recipes import Pretrain
from selftaught.system.components import Part
from selftaught.system.measured import known

# Each of these goes with some of the others, so whoever makes one makes all:
CHOICES = {"method", "encoder", "views", "views_for", "also", "init", "teacher", "training", "lr", "grow"}


def as_usual(recipe: Pretrain, kind: Modality, count: int, device: str) -> Pretrain:
    """The recipe with what has been measured to suit so many images on a CPU, where the user has chosen none of it."""
    usual = known().usual_of(count)
    if usual is None or not kind.PRETRAINED or device != "cpu":
        return recipe
    if recipe.model_fields_set & CHOICES:  # as that of a run that goes on has, too
        return recipe
    changes = {"method": Part(name=usual.method), "encoder": usual.encoder, "views": usual.views}
    return recipe.model_copy(update=changes)


def chosen_as_usual(asked: Pretrain, plan: Plan, count: int) -> list[str]:
    """A line on what was chosen since it suits so many images on a CPU, and how not to; none where the user has."""
    usual = known().usual_of(count)
    if usual is None or asked.model_fields_set & CHOICES:
        return []
    words = [] if plan.method == asked.method else [f"--method {plan.method.name}"]
    encoder = encoder_flags(plan.encoder) if plan.encoder == usual.encoder else []
    views = flags_of(plan.views) if plan.views != asked.views else []
    chosen = " ".join([*words, *encoder, *views])
    if not chosen:
        return []
    own = ["keeps the views of its preset"] * bool(views) + ["has a plain encoder"] * bool(encoder)
    many = f"{known().below:,} images"
    when = f"fewer than {many}" if count < known().below else f"{many} or more"
    return [f"chosen for a CPU and {when}: {chosen}; --method {asked.method.name}, named, {' and '.join(own)}"]


def encoder_flags(encoder: Part) -> list[str]:
    """How the command line says an encoder and its options."""
    return [f"--encoder {encoder.name}", *(f"--encoder.{name} {value}" for name, value in encoder.options.items())]


def flags_of(views: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How the command line says options of views: numbers, and lists of such."""
    return [
        f"--views.{view}.{name} {','.join(f'{number:g}' for number in (value if isinstance(value, list) else [value]))}"
        for view, options in views.items()
        for name, value in options.items()
    ]
