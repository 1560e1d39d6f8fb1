"""The second modality: rows of numbers and categories."""

from .encoders import ENCODERS as FIRST_CHOICES
from .encoders import build_encoder, create
from .inspection import inspect
from .preparation import Column, Preparation
from .source import labels_by_key, recognises
from .store import open_samples
from .views import view_options

THINGS = "rows"
ENCODER = "mlp"
TOKEN_ENCODERS = ("ft_transformer",)


def guess(size: object, part: object) -> Preparation:
    """A preparation to try an encoder's options on before the data is known."""
    return Preparation(columns=tuple(Column(name=str(i), kind="number") for i in range(8)))


__all__ = [
    "ENCODER",
    "FIRST_CHOICES",
    "THINGS",
    "TOKEN_ENCODERS",
    "Preparation",
    "build_encoder",
    "create",
    "guess",
    "inspect",
    "labels_by_key",
    "open_samples",
    "recognises",
    "view_options",
]
