"""By whose mean and deviation a run's images are normalised: the data's, or those that its first weights know."""

from pathlib import Path
from typing import Any

from selftaught.contracts import modality
from selftaught.contracts.modality import Samples
from selftaught.run.export import encoder_about
from selftaught.run.recipes import Pretrain
from selftaught.run.weights import normalisation_of
from selftaught.system.errors import UsageError
from selftaught.system.text import printable


def normalised(recipe: Pretrain, samples: Samples) -> Pretrain:
    """The recipe with that decided, and the samples' preparation changed to it.

    Weights that others have taught expect the values they were taught with. Raises UsageError where it is wanted of
    weights of which nothing is known.
    """
    begun = recipe.fingerprint is not None
    if recipe.normalise == "data" or not recipe.init or (begun and recipe.normalise == "auto"):
        return recipe.model_copy(update={"normalise": "data"})  # as runs from before there was a choice were, too
    known = (_as_begun(recipe) if begun else None) or _of_init(recipe, samples)
    if known is None and recipe.normalise == "init":
        raise UsageError(f"--normalise init: nothing tells how --init {printable(recipe.init)} was; leave it out")
    if known is not None:
        mean, std = known
        samples.preparation = samples.preparation.model_copy(update={"mean": mean, "std": std})
    return recipe.model_copy(update={"normalise": "data" if known is None else "init"})


def _as_begun(recipe: Pretrain) -> tuple[Any, Any] | None:
    """As it was when a run began that goes on: what --init names may be gone, or another one."""
    for name in ("initial", "encoder"):
        try:
            about = encoder_about(Path(str(recipe.out)) / name)["preparation"]
            return tuple(about["mean"]), tuple(about["std"])
        except (UsageError, KeyError, TypeError):
            continue
    return None


def _of_init(recipe: Pretrain, samples: Samples) -> tuple[Any, Any] | None:
    kind = modality.named(samples.preparation.modality)
    if not kind.PRETRAINED or not recipe.init:
        return None
    architecture = (recipe.encoder.name if recipe.encoder else kind.ENCODER).removeprefix("timm/")
    return normalisation_of(recipe.init, architecture, samples.preparation.channels)
