"""Series of numbers over time, of one channel or many, of one length or of several."""

from selftaught.contracts.modality import Modality
from selftaught.data.series import pictures
from selftaught.data.series.baseline import minirocket
from selftaught.data.series.encoders import ENCODERS, build_encoder, create
from selftaught.data.series.files import labels_by_key, recognises
from selftaught.data.series.inspection import inspect
from selftaught.data.series.preparation import Preparation
from selftaught.data.series.samples import open_samples
from selftaught.data.series.views import Views
from selftaught.system import components
from selftaught.system.components import Part


def guess(size: object, part: Part) -> Preparation:
    """A preparation to try an encoder's options on before the data is known."""
    patch = components.checked(f"encoder {part.name}", create, part.options).get("patch") or 16
    return Preparation(names=("",), length=16 * patch, means=(0.0,), deviations=(1.0,))


MODALITY = Modality(
    THINGS="series",
    THING="series",
    ENCODER="dilated_conv",
    FIRST_CHOICES=ENCODERS,
    TOKEN_ENCODERS=("patch_transformer",),
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
    RAW="raw values",
    USUAL="MiniRocket",
    usual=minirocket,
    DOMAIN="time-series",
    ALONG=True,
    WINDOWED=True,
    PICTURES=pictures,
)
