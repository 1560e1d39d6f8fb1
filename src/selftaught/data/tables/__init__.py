"""The second modality: rows of numbers and categories."""

from selftaught.contracts.modality import Modality
from selftaught.data.tables.columns import labels_by_key, recognises
from selftaught.data.tables.encoders import ENCODERS, build_encoder, create
from selftaught.data.tables.inspection import inspect
from selftaught.data.tables.preparation import Column, Preparation
from selftaught.data.tables.reading import snippets
from selftaught.data.tables.samples import open_samples
from selftaught.data.tables.views import Views


def guess(size: object, part: object) -> Preparation:
    """A preparation to try an encoder's options on before the data is known."""
    return Preparation(columns=tuple(Column(name=str(i), kind="number") for i in range(8)))


MODALITY = Modality(
    THINGS="rows",
    ENCODER="mlp",
    FIRST_CHOICES=ENCODERS,
    TOKEN_ENCODERS=("ft_transformer",),
    Preparation=Preparation,
    create=create,
    build_encoder=build_encoder,
    guess=guess,
    recognises=recognises,
    open_samples=open_samples,
    inspect=inspect,
    labels_by_key=labels_by_key,
    view_options=Views.defaults,
    refuse_views=Views.refuse_unknown,
    RAW="raw columns",
    DOMAIN="tabular",
    COLUMNS=True,
    snippets=snippets,
)
