"""The first modality: images."""

from typing import Any

from selftaught.data.images.encoders import TOKEN_ENCODERS, build_encoder, create
from selftaught.data.images.inspection import inspect
from selftaught.data.images.pictures import contact_sheet, encoded, visible
from selftaught.data.images.preparation import Preparation
from selftaught.data.images.samples import open_samples
from selftaught.data.images.views import view_options
from selftaught.data.sources.open import labels_by_key
from selftaught.data.storage import goes_to_cache
from selftaught.system.components import Part

THINGS = "images"
ENCODER = "resnet18"
FIRST_CHOICES = [
    "resnet18",
    "resnet50",
    "resnet10t",
    "convnext_atto",
    *TOKEN_ENCODERS,
    "torchvision/resnet18",
]


def recognises(data: Any) -> bool:
    """Whatever is nothing else is images."""
    return True


def guess(size: tuple[int, int] | None, part: Part) -> Preparation:
    """A preparation to try an encoder's options on before the data is known; it is one that the patch divides."""
    patch = str(part.options.get("patch"))
    side = min(size) if size else 16 * (int(patch) if patch.isdigit() and int(patch) else 4)
    return Preparation(channels=3, size=(side, side), low=0, high=1, mean=(0.5,) * 3, std=(0.5,) * 3)


__all__ = [
    "ENCODER",
    "FIRST_CHOICES",
    "THINGS",
    "TOKEN_ENCODERS",
    "Preparation",
    "build_encoder",
    "contact_sheet",
    "create",
    "encoded",
    "goes_to_cache",
    "guess",
    "inspect",
    "labels_by_key",
    "open_samples",
    "recognises",
    "view_options",
    "visible",
]
