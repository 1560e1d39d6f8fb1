"""Texts: files, lines, or a column of a table."""

from selftaught.contracts.modality import Modality
from selftaught.data.text import pictures, tokenizer
from selftaught.data.text.baseline import TfIdf
from selftaught.data.text.encoders import ENCODERS, build_encoder, create
from selftaught.data.text.files import labels_by_key, recognises
from selftaught.data.text.inspection import inspect
from selftaught.data.text.preparation import Preparation
from selftaught.data.text.samples import open_samples
from selftaught.data.text.texts import THINGS
from selftaught.data.text.transformers import begun
from selftaught.data.text.views import Views


def guess(size: object, part: object) -> Preparation:
    """A preparation to try an encoder's options on before the data is known."""
    return Preparation(words=tokenizer.FEWEST, length=64, tokenizer="")


MODALITY = Modality(
    THINGS=THINGS,
    THING="text",
    ENCODER="text_tiny",
    FIRST_CHOICES=ENCODERS,
    TOKEN_ENCODERS=ENCODERS,
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
    RAW="TF-IDF",
    raw=TfIdf,
    beside=lambda preparation: {tokenizer.FILE: preparation.tokenizer},
    DOMAIN="text",
    ALONG=True,
    WORDS=True,
    begun=begun,
    PICTURES=pictures,
    snippets=pictures.snippets,
    ASIDE=("tokenizer",),
)
