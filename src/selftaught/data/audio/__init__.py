"""Sound: clips of any length and rate, as log-mel spectrograms, which are images whose axes are frequency and time."""

from functools import partial

from selftaught.contracts.modality import Modality
from selftaught.data.audio import pictures
from selftaught.data.audio.baseline import Cepstra
from selftaught.data.audio.files import THING, THINGS, open_source, recognises
from selftaught.data.audio.inspection import inspect
from selftaught.data.audio.preparation import Preparation
from selftaught.data.audio.samples import open_samples
from selftaught.data.audio.views import Views
from selftaught.data.opening import labels_by_key
from selftaught.data.planes import TOKEN_ENCODERS, build_encoder, create, named_encoders
from selftaught.system import components
from selftaught.system.components import Part


def guess(size: tuple[int, int] | None, part: Part) -> Preparation:
    """A preparation to try an encoder's options on before the data is known; it is one that the patch divides."""
    patch = components.checked(f"encoder {part.name}", create, part.options).get("patch") or 4
    side = min(size) if size else 16 * patch
    return Preparation.at(16_000, (side, side))


MODALITY = Modality(
    THINGS=THINGS,
    THING=THING,
    ENCODER="resnet18",
    LIGHT_ENCODER="resnet10t",
    FIRST_CHOICES=("resnet18", "resnet10t", "convnext_atto", *TOKEN_ENCODERS),
    TOKEN_ENCODERS=TOKEN_ENCODERS,
    Preparation=Preparation,
    create=create,
    build_encoder=build_encoder,
    guess=guess,
    recognises=recognises,
    open_samples=open_samples,
    inspect=inspect,
    labels_by_key=partial(labels_by_key, open_source),
    view_options=Views.defaults,
    refuse_views=Views.refuse_unknown,
    RAW="MFCCs",
    raw=Cepstra,
    DOMAIN="audio",
    SIZED=True,
    RATED=True,
    SPATIAL=True,
    ALONG=True,
    PICTURES=pictures,
    named_encoders=named_encoders,
)
