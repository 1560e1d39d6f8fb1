"""One strict decoder: bytes of an image file in, upright pixels out, or the reason why not."""

import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from selftaught.data.images import tiff
from selftaught.data.sources.arrays import NOT_FINITE
from selftaught.data.sources.encoded import Stored
from selftaught.data.sources.folder import FORMATS
from selftaught.data.sources.source import Unsteady
from selftaught.system.errors import Interrupted

try:
    import simplejpeg
except ImportError:  # the [fast] extra; Pillow decodes JPEGs too
    simplejpeg = None

MAX_PIXELS = 120_000_000  # a larger image is taken for a decompression bomb
MAX_SCANS = 64  # times that a JPEG may go over its pixels; cameras and programs do it some ten times
LARGE = 32_000_000  # pixels; images above are decoded one at a time, so that threads never hold many at once
JPEGS = ("JPEG", "MPO")  # a phone's MPO is a JPEG with further pictures behind it
PADDING = (127, 128)  # what JPEG decoders put where data are missing
COLOURSPACES = {"L": "GRAY", "RGB": "RGB"}  # of JPEGs that simplejpeg decodes
STRIP = 512  # rows
BACKDROP = 255  # transparent pixels are laid on white, as a page or a viewer would show them
VEILED = ("LA", "La", "PA", "RGBA", "RGBa")  # modes whose last band is their opacity
FRAMED = ("GIF", "WEBP", "PNG", "AVIF")  # formats of pictures that may move
FOREIGN = {b"ftyphei": "HEIC", b"ftyphev": "HEIC", b"ftypmif1": "HEIC", b"ftypavi": "AVIF", b"jP  ": "JPEG 2000"}
FOREIGN |= {b"JXL ": "JPEG XL"}  # all with a length in front

# What of a file is not used, as said of several images.
ANIMATED = "are animated: the first frame is used"
PAGES = "have more pages than one: the first is used"
DEEP = "have colours of 16 bits: the upper 8 are used, which leaves few levels where values are small"
BAND = "have a band tagged as alpha that is no transparency: it is left out"

Made = TypeVar("Made")


class DecodeError(ValueError):
    """An image cannot be decoded; the message is the reason."""


@dataclass(frozen=True)
class Header:
    """What an image file says of itself."""

    format: str
    mode: str  # Pillow's
    width: int
    height: int
    orientation: int  # EXIF's, 1 to 8
    animated: bool


@dataclass(frozen=True)
class Picture:
    """What is decoded of an image file."""

    # (H, W, C), upright: uint8 with 1 or 3 channels, or with 1 uint16, or what is signed, wider or has fractions.
    pixels: NDArray[Any]
    remarks: tuple[str, ...] = ()  # what of the file is not used
    band: bool | None = None  # whether what a TIFF's alpha is by its values is a band; None where it has none


_one_large = threading.Lock()


def header(data: Stored) -> Header:
    """What the file says of itself, without decoding it, or what is so of pixels. Raises DecodeError."""
    if isinstance(data, np.ndarray):
        return Header("array", str(data.dtype), data.shape[1], data.shape[0], 1, False)
    if isinstance(data, Image.Image):
        return Header(data.format or "PIL", data.mode, *data.size, 1, False)
    with opened(data) as image:
        orientation, animated = 1, False
        with contextlib.suppress(Exception):  # broken EXIF is as good as none
            orientation = int(image.getexif().get(0x0112, 1))
        with contextlib.suppress(Exception):
            animated = _is_animated(image)
        kind = str(image.format)
        return Header(kind, image.mode, *image.size, orientation if 1 <= orientation <= 8 else 1, animated)


def decode(data: Stored, at_least: tuple[int, int] | None = None) -> NDArray[Any]:
    """The pixels of `picture`."""
    return picture(data, at_least).pixels


def picture(data: Stored, at_least: tuple[int, int] | None = None, band: bool | None = None) -> Picture:
    """Upright pixels of an image file, or of what is decoded already, and what of it they do not show.

    Large JPEGs are decoded at a reduced scale that is still `at_least` (H, W). An animated image gives its first
    frame, a TIFF its first page. `band`: whether what a TIFF tags as alpha is a band of what was measured, or
    transparency; None: by its values. Raises DecodeError for anything that is not a whole image of an allowed format.
    """
    if not isinstance(data, bytes):
        return Picture(_decoded(data))
    with opened(data) as image:
        large = image.width * image.height > LARGE and not (at_least and image.format in JPEGS)
        with _one_large if large else contextlib.nullcontext():
            if image.format in JPEGS and simplejpeg and image.mode in COLOURSPACES:
                return Picture(_fast_jpeg(data, image, at_least))
            if at_least and image.format in JPEGS:
                image.draft(None, (at_least[1], at_least[0]))
            if image.format == "TIFF":
                return _of_tiff(data, image, band)
            remarks = _remarks(data, image)
            image.load()
            if image.format in JPEGS:
                _refuse_padding(data, image)
            return Picture(_pixels(upright(image)), remarks)


def _decoded(data: NDArray[Any] | Image.Image) -> NDArray[Any]:
    """The pixels of an array (H, W, C), or of an open image, which stays as it is."""
    if isinstance(data, Image.Image):
        return _pixels(upright(data.copy()))
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        raise DecodeError(NOT_FINITE)
    return data


def _of_tiff(data: bytes, image: Any, band: bool | None) -> Picture:
    remarks = [PAGES] if tiff.has_more_pages(image, data) else []
    (held, used), (bits, numbers) = tiff.bands(image), tiff.bits(image)
    premultiplied = any("RGBa" in str(tile.args) for tile in image.tile)
    if premultiplied:
        tiff.unmultiplied(image)
    image.load()
    own = None if image.mode not in VEILED else not tiff.is_mask(np.asarray(image.split()[-1]))
    dropped = own if band is None or own is None else band
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
    pixels = _pixels(upright(image))
    if (bits, numbers) in ((8, 2), (32, 1)):  # which Pillow takes for unsigned and for signed ones
        pixels = pixels.view(np.int8 if bits == 8 else np.uint32).astype(np.int64)
    return Picture(pixels, tuple(remarks), own)


def _without_last(image: Image.Image) -> Image.Image:
    return Image.merge("RGB", image.split()[:3]) if image.mode.startswith("RGB") else image.split()[0]


def _remarks(data: bytes, image: Image.Image) -> tuple[str, ...]:
    """What of an image that is no TIFF is not used."""
    animated = False
    with contextlib.suppress(Exception):
        animated = _is_animated(image)
    deep = image.format == "PNG" and data[24:26] in (b"\x10\x02", b"\x10\x06")  # bits, and kind of colour
    return (ANIMATED,) * animated + (DEEP,) * deep


def _is_animated(image: Image.Image) -> bool:
    return image.format in FRAMED and bool(getattr(image, "is_animated", False))


@contextlib.contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """The image in `data`, its header read and found sane; whatever goes wrong becomes a DecodeError."""
    if not data:
        raise DecodeError("empty file")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            pixels = image.width * image.height
            if pixels > MAX_PIXELS:
                raise DecodeError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS:,}")
            if image.format in JPEGS and (scans := data.count(b"\xff\xda")) * pixels > MAX_SCANS * LARGE:
                raise DecodeError(f"{image.width} x {image.height} pixels in {scans} scans take too long to decode")
            yield image
    except DecodeError:
        raise
    except UnidentifiedImageError:
        raise DecodeError(_unknown(data)) from None
    except Image.DecompressionBombError as error:
        raise DecodeError(str(error)) from None
    except Exception as error:  # Pillow's decoders raise many kinds on broken files
        raise DecodeError(f"{type(error).__name__}: {error}".strip().replace("\n", " ")) from None


def _unknown(data: bytes) -> str:
    """Why Pillow finds no image in a file."""
    if tiff.is_tiff(data):
        return tiff.refusal(data)
    kind = next((name for mark, name in FOREIGN.items() if data[4:].startswith(mark)), None)
    told = f", but {kind}, which is not read here: convert it to JPEG or PNG" if kind else ""
    return f"not an image of a known format ({', '.join(FORMATS)}){told}"


def attempt(make: Callable[[], Made]) -> Made | str:
    """What is made of an image's bytes, or the reason why it cannot be."""
    try:
        return make()
    except DecodeError as error:
        return str(error)
    except (Unsteady, Interrupted):  # which is no fault of this sample alone
        raise
    except Exception as error:  # unreadable, vanished, or a broken archive member
        return f"cannot be read: {type(error).__name__}: {error}"


def jpeg_decoder() -> str:
    """Which library decodes JPEGs."""
    return "simplejpeg" if simplejpeg else "pillow"


def _fast_jpeg(data: bytes, image: Image.Image, at_least: tuple[int, int] | None) -> NDArray[np.uint8]:
    height, width = at_least or (0, 0)
    colours = COLOURSPACES[image.mode]
    pixels = simplejpeg.decode_jpeg(data, colours, min_height=height, min_width=width, min_factor=2)
    if image.info.get("exif"):
        turned = Image.fromarray(pixels[..., 0] if image.mode == "L" else pixels)
        turned.info["exif"] = image.info["exif"]
        pixels = np.asarray(upright(turned))
    return pixels.reshape(*pixels.shape[:2], -1)


def _refuse_padding(data: bytes, image: Image.Image) -> None:
    """Raise DecodeError where a JPEG ends too early and libjpeg, which only warns, has filled the rest with grey.

    A picture may well end in such a grey. Zeros in front of the end mark tell: they are read where data are missing,
    and skipped where none are.
    """
    last = np.asarray(image.crop((0, image.height - 1, image.width, image.height)))
    end = data.rfind(b"\xff\xd9")
    if end < 0 or not np.isin(last, PADDING).all():
        return
    zeros = bytes(2 * image.width * image.height)  # more than all its blocks can take
    with Image.open(io.BytesIO(data[:end] + zeros + data[end:]), formats=("JPEG",)) as again:
        again.draft(image.mode, image.size)
        if not np.array_equal(np.asarray(again.crop((0, image.height - 1, image.width, image.height))), last):
            raise DecodeError("image file is truncated: its end is grey padding")


def upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says; broken EXIF is as good as none."""
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _pixels(image: Image.Image) -> NDArray[Any]:
    mode = image.mode
    if mode == "F" or mode.startswith("I"):  # floats, or integers of 16 or 32 bits
        values = np.asarray(image)[..., None]
        if mode == "F" and not np.isfinite(values).all():
            raise DecodeError(NOT_FINITE)
        return values if image.format == "TIFF" and mode in ("F", "I") else values.astype(np.uint16)
    if "transparency" in image.info or mode in VEILED:
        return _on_backdrop(image)
    if mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None]
    return np.asarray(image.convert("RGB"))


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
