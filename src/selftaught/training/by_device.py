"""The network and the size of views where nobody names them: what the device that trains can do in a while."""

from collections.abc import Sequence

import numpy as np

from selftaught.contracts import modality
from selftaught.contracts.modality import Modality
from selftaught.contracts.samples import Samples
from selftaught.run.recipes import Compare, Pretrain
from selftaught.system.components import Part


def usual_encoder(recipe: Pretrain, kind: Modality, device: str, tokens: bool) -> Part:
    """The network of a recipe that names none, for a device of this type and a method that works on tokens, or any.

    What weights are named for is no matter of the device: those in a file that says no more are taken for a ResNet-18.
    """
    named = recipe.init or recipe.teacher
    return Part(name=kind.usual_encoder("" if named else device, tokens))


def chosen_by_device(asked: Pretrain | Compare, encoder: Part, samples: Samples, device: str) -> list[str]:
    """A line on what was chosen for a CPU and what a GPU would take, in words; none where nothing was.

    asked: what the user has named; encoder: what runs have.
    """
    preparation = samples.preparation
    kind, here, there = modality.named(preparation.modality), [], []
    if asked.encoder is None and encoder.name == kind.LIGHT_ENCODER:
        here.append(f"--encoder {encoder.name}")
        there.append(kind.ENCODER)
    if asked.size is None and kind.SIDES and not _as_stored(samples):
        here.append(f"--size {max(preparation.size)}")
        there.append(f"{kind.SIDES['cuda']} px")
    words = f"chosen for a CPU: {' '.join(here)}; for a GPU it would be {' at '.join(there)}"
    return [words] if here and device == "cpu" else []


def _as_stored(samples: Samples) -> bool:
    """Whether samples are so small that they are trained on as large as they are."""
    shape: Sequence[int] = samples.batch(np.arange(1))[0].shape
    return tuple(shape[-2:]) == samples.preparation.size
