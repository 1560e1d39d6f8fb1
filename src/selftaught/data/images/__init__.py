"""The first modality: images."""

from functools import partial

from selftaught.contracts.modality import Modality
from selftaught.data.images import duplicates, masks, pictures
from selftaught.data.images.encoders import TOKEN_ENCODERS, build_encoder, create, named_encoders
from selftaught.data.images.inspection import inspect
from selftaught.data.images.packing import pack
from selftaught.data.images.preparation import SIDES, Preparation
from selftaught.data.images.presets import VIEWS_FOR
from selftaught.data.images.samples import open_samples
from selftaught.data.images.views import Views
from selftaught.data.opening import labels_by_key
from selftaught.data.sources.open import open_source
from selftaught.data.storage import goes_to_cache
from selftaught.system import components
from selftaught.system.components import Part


def guess(size: tuple[int, int] | None, part: Part) -> Preparation:
    """A preparation to try an encoder's options on before the data is known; it is one that the patch divides."""
    patch = components.checked(f"encoder {part.name}", create, part.options).get("patch") or 4
    size = size or (16 * patch, 16 * patch)
    return Preparation(channels=3, size=size, low=0, high=1, mean=(0.5,) * 3, std=(0.5,) * 3)


MODALITY = Modality(
    THINGS="images",
    THING="image",
    ENCODER="resnet18",
    LIGHT_ENCODER="resnet10t",
    SIDES=SIDES,
    FIRST_CHOICES=("resnet18", "resnet50", "resnet10t", "convnext_atto", *TOKEN_ENCODERS, "torchvision/resnet18"),
    TOKEN_ENCODERS=TOKEN_ENCODERS,
    Preparation=Preparation,
    create=create,
    build_encoder=build_encoder,
    guess=guess,
    recognises=lambda data: True,
    open_samples=open_samples,
    inspect=inspect,
    labels_by_key=partial(labels_by_key, open_source),
    view_options=Views.defaults,
    refuse_views=Views.refuse_unknown,
    VIEWS_FOR=VIEWS_FOR,
    lost=Views.lost,
    RAW="raw pixels",
    DOMAIN="image",
    TIMM={"interpolation": "bilinear", "crop_pct": 1.0},
    READ_IN_WAYS=True,
    SIZED=True,
    SPATIAL=True,
    COLORED=True,
    TURNABLE=True,
    ALONG=True,
    PRETRAINED=True,
    PICTURES=pictures,
    pack=pack,
    LOOKS=duplicates,
    MASKS=masks,
    named_encoders=named_encoders,
    cache_bytes=lambda decoded, memory: decoded if goes_to_cache(decoded, memory) else 0,
)
