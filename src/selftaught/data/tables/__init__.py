"""The second modality: rows of numbers and categories."""

from selftaught.data.tables.columns import labels_by_key, recognises
from selftaught.data.tables.encoders import ENCODERS as FIRST_CHOICES
from selftaught.data.tables.encoders import build_encoder, create
from selftaught.data.tables.inspection import inspect
from selftaught.data.tables.preparation import Column, Preparation
from selftaught.data.tables.samples import open_samples
from selftaught.data.tables.views import view_options

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
