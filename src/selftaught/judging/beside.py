"""What a run is judged beside, as one: what it began with, the same network untrained, and public weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder
from selftaught.judging.baselines import initial, untrained
from selftaught.judging.labelled import Labelled
from selftaught.judging.opening import shown_to
from selftaught.run.known import TIMM
from selftaught.run.recipes import Evaluate
from selftaught.system.errors import UsageError
from selftaught.system.saying import say
from selftaught.system.text import printable
from selftaught.training.pretrained import load_pretrained, rival

NONE = "none"  # of --pretrained


@dataclass(frozen=True)
class Beside:
    """Encoders by what they are called in an evaluation, and the samples as those take them that take others."""

    encoders: dict[str, Encoder]
    shown: dict[str, Labelled]
    initial: str | None = None  # what the run began with
    pretrained: str | None = None  # what public weights

    def facts(self) -> dict[str, Any]:
        """What an evaluation says of them."""
        return {name: printable(said) if (said := getattr(self, name)) else None for name in ("initial", "pretrained")}


def beside(recipe: Evaluate, encoder: Encoder, data: Labelled, module: nn.Module | None) -> Beside:
    """All that there is to stand beside the encoder of a run."""
    began, encoders = initial(Path(recipe.run), encoder, module), {}
    if began:
        encoders["initial"] = began[0]
    fresh = encoders["untrained"] = untrained(encoder.part, encoder.preparation, recipe.seed, module)
    fresh.begin_as(encoder)
    source = _public(recipe, encoder)
    if source is None:
        if recipe.pretrained_size:
            raise UsageError("--pretrained-size is of weights that stand beside, and there are none: see --pretrained")
        return Beside(encoders, {}, began[1] if began else None)
    size, shown = recipe.pretrained_size, {}
    public, line = load_pretrained(source, encoder.part, encoder.preparation, size)
    say(f"pre-trained: {line}")
    if public.preparation != encoder.preparation:
        shown["pretrained"] = shown_to(public.preparation, recipe, data)
    encoders["pretrained"] = public
    return Beside(encoders, shown, began[1] if began else None, source)


def _public(recipe: Evaluate, encoder: Encoder) -> str | None:
    """The public weights that are to stand beside; where none is at hand, a line says what could be named."""
    kind = modality.named(encoder.preparation.modality)
    if not kind.PRETRAINED:
        if recipe.pretrained not in (None, NONE):
            raise UsageError(f"--pretrained is for images: no pre-trained encoders of {kind.THINGS} are known")
        return None
    if recipe.pretrained is not None:
        return None if recipe.pretrained == NONE else recipe.pretrained
    found = rival(Path(recipe.run), encoder.part)
    if found is None:
        of = f" of {printable(encoder.part.name)}" if encoder.origin.library == TIMM else ""
        say(
            f"no public weights{of} are on this machine to stand beside: name a folder in timm's layout by --pretrained"
        )
    return found
