"""Views for pictures that are no photos: what of the usual views may change, and what would change their meaning.

A recipe has a preset by its name, so what stands here stays as it is; what turns out to be better is another name.
"""

from collections.abc import Mapping
from typing import Any

from selftaught.data.images.views import AUGMENTATIONS

Options = Mapping[str, Any]

TURNED = {"turn": 0.75}  # with the usual flip all eight ways a square can lie, each as likely
UPRIGHT = {"flip": 0.0}
# Lengths mean something, and stretched by 4/3 a round cell is an oval one; a little is as a lens or a slope does it.
TRUE_SHAPES = {"aspect": (0.9, 1.1)}
UNCOLOURED = {"hue": 0.0, "saturation": 0.0}
SHARP = {"blur_sigma": (0.1, 1.0)}  # what is a pixel or two wide is still there
KEEPS_LEVELS = {"solarise": 0.0}  # no sensor or film turns half of its levels round


def _views(shape: Options, values: Options, **own: Options) -> dict[str, Options]:
    """Options by view: `shape` of all, `values` of all but the light one, which keeps its values, and their own."""
    return {name: {**shape, **({} if name == "light" else values), **own.get(name, {})} for name in AUGMENTATIONS}


def _crops(light: tuple[float, float], strong: tuple[float, float], whole: tuple[float, float], part: Any) -> Any:
    """Shares of the area by view."""
    crops = {"light": light, "strong": strong, "strong_other": strong, "global": whole, "local": part}
    return {name: {"crop": crop} for name, crop in crops.items()}


VIEWS_FOR: Mapping[str, Mapping[str, Options]] = {
    # The usual views are those of photos.
    "photo": {},
    # From above nothing is up. Bands are measurements whose ratios tell water from crops, so hue, saturation and grey
    # would mix them, as would contrast about one grey; the sun changes all alike, air each a little by itself. A pixel
    # is so many metres, so a crop is no smaller than a fifth, as in SeCo (Manas et al., 2021), by MoCo v2.
    "satellite": _views(
        {**TURNED, **TRUE_SHAPES},
        {**UNCOLOURED, **SHARP, **KEEPS_LEVELS, "grey": 0.0, "jitter": 0.4, "contrast": 0.0, "channel_jitter": 0.1},
        **_crops((0.2, 1.0), (0.2, 1.0), (0.25, 1.0), (0.05, 0.25)),
    ),
    # The heart lies on the left, and sides are what a report names, so nothing is mirrored. Findings of a few pixels
    # are lost by small crops and by blur, and there are no colours (MoCo-CXR, Sowrirajan et al., 2021, section 3):
    # what is coloured in the file are marks, or the tint of a film. Exposure differs, but dense stays bright.
    "xray": _views(
        {**UPRIGHT, **TRUE_SHAPES, "grey": 1.0},
        {**UNCOLOURED, **KEEPS_LEVELS, "blur": 0.0},
        **_crops((0.7, 1.0), (0.5, 1.0), (0.6, 1.0), (0.2, 0.5)),
    ),
    # A slide lies as it was put. Dyes take more or less each by itself, and fade (Tellez et al., 2019: of all changes
    # that of stains helped most), but which dye it is tells a nucleus from what is around it: no grey, little hue. The
    # size of a nucleus tells, so crops enlarge by no more than a fifth of the area does.
    "microscopy": _views(
        {**TURNED, **TRUE_SHAPES},
        {**SHARP, **KEEPS_LEVELS, "grey": 0.0, "hue": 0.1, "channel_jitter": 0.15},
        **_crops((0.2, 1.0), (0.2, 1.0), (0.25, 1.0), (0.05, 0.25)),
    ),
    # Mirrored or turned, letters are others or none. A line has to remain for something to be read, and strokes are
    # two pixels wide. Of a page that is solarised only white paper turns black, and black ink is gone. Ink and paper
    # may have any colour, and copies have none: colours change as in photos.
    "document": _views(
        {**UPRIGHT, "aspect": (0.8, 1.25)},
        {**KEEPS_LEVELS, "blur_sigma": (0.1, 0.6)},
        **_crops((0.6, 1.0), (0.4, 1.0), (0.5, 1.0), (0.15, 0.4)),
    ),
    # Every part is the whole again, so crops may be small, and must be for views that share no pixels. Its finest
    # grain is what there is, so blur is weak; light may be any, as in photos.
    "texture": _views(
        TURNED,
        {**SHARP, **KEEPS_LEVELS},
        **_crops((0.1, 1.0), (0.05, 0.5), (0.1, 0.5), (0.02, 0.1)),
    ),
}
