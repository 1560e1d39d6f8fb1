"""Pixels of a picture that Pillow has open: upright, on white where it is transparent, and of a TIFF as they are."""

import contextlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from selftaught.data.images import tiff
from selftaught.data.images.decoded import WHITE, DecodeError, Picture, Reading
from selftaught.data.images.tiff import VEILED
from selftaught.data.sources.arrays import NOT_FINITE

STRIP = 512  # rows
BACKDROP = 255  # transparent pixels are laid on white, as a page or a viewer would show them

# What of a file is not used, as said of several images.
ANIMATED = "are animated: the first frame is used"
PAGES = "have more pages than one: the first is used"
DEEP = "have colours of 16 bits: the upper 8 are used, which leaves few levels where values are small"
BAND = "have a band tagged as alpha that is no transparency: it is left out"
UNKNOWN_TO_CARD = "are JPEGs of a kind that the card does not decode: the CPU does"
FINE = "have more than 8 bits a colour: the upper 8 are used"


def upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says; broken EXIF is as good as none."""
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def pixels_of(image: Image.Image) -> NDArray[Any]:
    mode = image.mode
    if mode == "F" or mode.startswith("I"):  # floats, or integers of 16 or 32 bits
        values = np.asarray(image)[..., None]
        if mode == "F" and not np.isfinite(values).all():
            raise DecodeError(NOT_FINITE)
        return values.astype(np.uint16) if _are_levels(image, values) else values
    if "transparency" in image.info or mode in VEILED:
        return _on_backdrop(image)
    if mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None]
    return np.asarray(image.convert("RGB"))


def _are_levels(image: Image.Image, values: NDArray[Any]) -> bool:
    """Whether floats or integers are levels of 16 bits: also of 32, as Pillow has them, but for a TIFF's."""
    if image.mode in ("F", "I"):
        return image.mode == "I" and image.format != "TIFF" and values.min() >= 0 and values.max() <= WHITE["uint16"]
    return True


def _on_backdrop(image: Image.Image) -> NDArray[np.uint8]:
    """Composited, so that colours hidden under full transparency do not leak in; strip by strip, to spare memory."""
    channels = 1 if image.mode in ("L", "LA", "La", "1") else 3
    pixels = np.empty((image.height, image.width, channels), np.uint8)
    for top in range(0, image.height, STRIP):
        strip = image.crop((0, top, image.width, min(top + STRIP, image.height))).convert("RGBA")
        laid = Image.new("RGB", strip.size, (BACKDROP,) * 3)
        laid.paste(strip, mask=strip.getchannel("A"))
        pixels[top : top + STRIP] = np.asarray(laid)[..., :channels]
    return pixels


def of_tiff(data: bytes, image: Any, band: bool | None, reading: Reading) -> Picture:
    remarks = [PAGES] if tiff.has_more_pages(image, data) else []
    (held, used), (bits, numbers) = tiff.bands(image), tiff.bits(image)
    premultiplied = any("RGBa" in str(tile.args) for tile in image.tile)
    if premultiplied:
        tiff.unmultiplied(image)
    image.load()
    own = None if image.mode not in VEILED else not tiff.is_mask(np.asarray(image.split()[-1]))
    dropped = own if band is None or own is None else band
    if dropped and reading.bands == "all":
        return Picture(np.asarray(upright(image)), tuple(remarks), own)
    if dropped:
        image = _without_last(image)
        remarks.append(BAND)
    elif premultiplied:
        image = Image.merge("RGBa", image.split()).convert("RGBA")
    if held > used + (own is not None):
        told = f"first {used} are" if used > 1 else "first is"
        remarks.append(f"have {held} bands: the {told} used")
    if bits > 8 and used > 1:
        remarks.append(DEEP)
    pixels = pixels_of(upright(image))
    if (bits, numbers) in ((8, 2), (32, 1)):  # which Pillow takes for unsigned and for signed ones
        pixels = pixels.view(np.int8 if bits == 8 else np.uint32).astype(np.int64)
    return Picture(pixels, tuple(remarks), own, None if pixels.dtype == np.uint8 else tiff.declared(image))


def _without_last(image: Image.Image) -> Image.Image:
    return Image.merge("RGB", image.split()[:3]) if image.mode.startswith("RGB") else image.split()[0]
