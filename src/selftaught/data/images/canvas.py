"""What every stored image looks like: one size, number of channels and number type for all of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from selftaught.data.images.decoded import DecodeError, Span, by_own
from selftaught.data.images.preparation import Preparation, brightest, default_size
from selftaught.system.text import number_of

WHOLE = 65535  # of 16 bits the largest level, which runs that noted none took for white
NATIVE_CANVAS = 256  # images of one size up to this are kept as they are
# Why an image has no place beside the others.
MEASURED = "holds measured values, signed or with fractions, where the others hold levels from black to white"
LEVELS = "holds levels from black to white in 8 bits, where the others hold measured values, signed or with fractions"

GREY_OR_COLOUR = {1, 3}  # channels, of which one is made the other

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Canvas:
    """Height and width in pixels, channels and number type of stored images."""

    height: int
    width: int
    channels: int
    dtype: np.dtype
    top: int | None = None  # of 16 bits the level that is as bright as 255 of 8; None: by each image's own values
    stretched: bool = False  # whether an image of a wider type is scaled by its own range, as it once was

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one."""
        return self.height, self.width, self.channels


def canvas_for(
    seen: list[Pixels],
    size: tuple[int, int] | None,
    like: Preparation | None,
    native: bool,
    white: int | None,
    device: str,
) -> Canvas:
    """A canvas for images of which `seen` are examples, to make views of `size` (H, W) from.

    like: of an existing encoder, whose canvas it is where that was noted; native: whether small images that have one
    size are kept as they are; white: see `level_of_white`; device: see `default_size`.
    """
    sizes = {image.shape[:2] for image in seen}
    channels = channels_among(image.shape[2] for image in seen)
    if like and fits(like.channels, channels):
        channels = like.channels
    dtype = _number_type(seen, like)
    values = dtype, level_of_white(seen, like, dtype, white), bool(like and like.stored is None)
    if like and like.canvas:
        return Canvas(like.canvas[0], like.canvas[1], channels, *values)
    if native and len(sizes) == 1 and max(own := next(iter(sizes))) <= NATIVE_CANVAS:
        return Canvas(own[0], own[1], channels, *values)
    side = max(size or default_size(sizes, device))
    both = max(min(NATIVE_CANVAS, 2 * side), -(-8 * side // 7))
    return Canvas(both, both, channels, *values)


def channels_among(held: Iterable[int]) -> int:
    """Channels of stored images, by those of the examples: colours where grey meets them alone, or what most have."""
    counts = Counter(held)
    return 3 if {*counts} == GREY_OR_COLOUR else counts.most_common(1)[0][0]


def fits(own: int, channels: int) -> bool:
    """Whether an image of its own number of channels can be stored with so many; see `convert_channels`."""
    return own == channels or {own, channels} == GREY_OR_COLOUR


def other_channels(own: int, channels: int) -> str:
    """Why an image has no place beside the others."""
    return f"has {number_of(own, 'channel')}, and the others {channels}"


def _number_type(seen: list[Pixels], like: Preparation | None) -> np.dtype:
    """Of stored images: the encoder's, whatever these images have, or what most of them have."""
    if like and like.stored:
        return np.dtype(np.float32 if like.stored == "float16" else like.stored)
    if like and like.high >= 255:
        return np.dtype(np.uint8 if like.high == 255 else np.uint16)
    eight, sixteen = (sum(image.dtype == kind for image in seen) for kind in (np.uint8, np.uint16))
    if 2 * (eight + sixteen) < len(seen):
        return np.dtype(np.float32)
    # Of as many of each the finer: 16 bits hold all that 8 bits do.
    return np.dtype(np.uint16 if sixteen >= eight and sixteen else np.uint8)


def level_of_white(
    seen: list[Pixels], like: Preparation | None, dtype: np.dtype, white: int | None = None
) -> int | None:
    """Of images of 16 bits the level that is as bright as 255 of 8, by the encoder's or by those `seen`, if any.

    white: that of those seen, where it is known.
    """
    if like and (like.top or dtype == np.uint16):
        return like.top or brightest(like.high)
    if like and like.stored is None:
        return brightest(WHOLE)
    deep = [int(image.max()) for image in seen if image.dtype == np.uint16]
    return (white or brightest(max(deep))) if deep else None


def in_values(image: Pixels, dtype: np.dtype, top: int | None) -> Pixels:
    """An image of 8 or 16 bits in the other, 255 of 8 being as bright as `top` of 16; any as fractions, as it is."""
    if image.dtype == dtype:
        return image
    if dtype.kind == "f":
        return image.astype(dtype)
    top = top or brightest(float(image.max()))
    scaled = image.astype(np.uint32) * 255 // top if dtype == np.uint8 else image.astype(np.uint32) * top // 255
    return np.minimum(scaled, np.iinfo(dtype).max).astype(dtype)


@dataclass(frozen=True)
class Values:
    """How stored images (N, H, W, C) become those that an encoder takes."""

    dtype: np.dtype
    top: int | None = None  # see `in_values`
    own: bool = False  # whether each goes over the whole range of its type, which files that were decoded do already
    span: Span | None = None  # of which what is beyond is cut off

    def __call__(self, pixels: Pixels) -> Pixels:
        values = in_values(by_own(pixels) if self.own else pixels, self.dtype, self.top)
        return clipped(values, self.span) if self.span else values


def clipped(pixels: Pixels, span: Span) -> Pixels:
    """The same number type, nothing below or above."""
    low, high = span
    if pixels.dtype.kind == "u":
        most = np.iinfo(pixels.dtype).max
        low, high = min(max(np.ceil(low), 0), most), max(min(np.floor(high), most), 0)
    return np.clip(pixels, pixels.dtype.type(low), pixels.dtype.type(high))


def _by_own_range(image: Pixels) -> Pixels:
    """What is signed, wider or has fractions as 16 bits: as it is where it fits, or scaled by its own range."""
    low, high = float(image.min()), float(image.max())
    if image.dtype.kind == "i" and low >= 0 and high <= WHOLE:
        return image.astype(np.uint16)
    # In double precision: the range of floats may be wider than a float holds.
    return np.round((image.astype(np.float64) - low) * (WHOLE / max(high - low, 1e-300))).astype(np.uint16)


def on_canvas(image: Pixels, canvas: Canvas) -> Pixels:
    """The image (H, W, C) with the canvas's number type, channels and size.

    Raises DecodeError where its values have no meaning beside those of the others.
    """
    levels = image.dtype in (np.uint8, np.uint16)
    if not levels and canvas.dtype.kind == "u":
        if not canvas.stretched:
            raise DecodeError(MEASURED)
        image = _by_own_range(image)
    if image.dtype == np.uint8 and canvas.dtype.kind == "f":
        raise DecodeError(LEVELS)
    image = in_values(image, canvas.dtype, canvas.top)
    if not fits(image.shape[2], canvas.channels):
        raise DecodeError(other_channels(image.shape[2], canvas.channels))
    image = convert_channels(image, canvas.channels)
    return squashed(image[None], (canvas.height, canvas.width))[0]


def squashed(images: Pixels, size: tuple[int, int]) -> Pixels:
    """Images (N, H, W, C) at another size (H, W), in their number type; those that have it, as they are.

    The true aspect is kept beside them, and views draw their boxes in true geometry.
    """
    if images.shape[1:3] == size:
        return images
    pixels = np.require(images, np.uint8 if images.dtype == np.uint8 else np.float32, "W")
    planes = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    resized = interpolate(planes, size, mode="bilinear", antialias=True).permute(0, 2, 3, 1).numpy()
    return np.round(resized).astype(images.dtype) if images.dtype == np.uint16 else resized


def convert_channels(pixels: Pixels, channels: int) -> Pixels:
    """Grey repeated to three channels, or colour mixed to grey (ITU-R 601); anything else is left."""
    own = pixels.shape[-1]
    if own == 1 and channels == 3:
        return np.repeat(pixels, 3, axis=-1)
    if own == 3 and channels == 1:
        grey = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        return (np.round(grey) if pixels.dtype.kind == "u" else grey).astype(pixels.dtype)[..., None]
    return pixels
