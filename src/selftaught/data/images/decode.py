"""One strict decoder: bytes of an image file in, upright pixels out, or the reason why not."""

import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from selftaught.data.images import bands, dicom, nvjpeg, plugins, tiff
from selftaught.data.images.decoded import DecodeError, Header, Picture, Reading
from selftaught.data.images.pixels import ANIMATED, DEEP, FINE, PAGES, UNKNOWN_TO_CARD, of_tiff, pixels_of, upright
from selftaught.data.sources.arrays import NOT_FINITE
from selftaught.data.sources.encoded import UNREAD, Page, Stored
from selftaught.data.sources.folder import FORMATS
from selftaught.data.sources.marks import kind_of
from selftaught.data.sources.source import Unsteady
from selftaught.system.errors import Interrupted, OutOfMemory

try:
    import simplejpeg
except ImportError:  # the [fast] extra; Pillow decodes JPEGs too
    simplejpeg = None

MAX_PIXELS = 120_000_000  # a larger image is taken for a decompression bomb
MAX_SCANS = 64  # times that a JPEG may go over its pixels; cameras and programs do it some ten times
LARGE = 32_000_000  # pixels; images above are decoded one at a time, so that threads never hold many at once
JPEGS = ("JPEG", "MPO")  # a phone's MPO is a JPEG with further pictures behind it
DEEP_PNG = (b"\x10\x02", b"\x10\x04", b"\x10\x06")  # 16 bits, and kinds of colour of which Pillow keeps 8
PADDING = (127, 128)  # what JPEG decoders put where data are missing
COLOURSPACES = {"L": "GRAY", "RGB": "RGB"}  # of JPEGs that simplejpeg and a card decode, by Pillow's mode
FRAMED = ("GIF", "WEBP", "PNG", "AVIF", "HEIF")  # formats of pictures that may move
SHOWN = {"HEIF": "a HEIC photo", "JXL": "a JPEG XL image", "AVIF": "an AVIF image"}  # whose libraries say little
KNOWN = (*FORMATS, "HEIC", "JPEG XL", "DICOM")
READING = Reading()

Made = TypeVar("Made")


_one_large = threading.Lock()


def header(data: Stored) -> Header:
    """What the file says of itself, without decoding it, or what is so of pixels. Raises DecodeError."""
    if isinstance(data, Page):
        return header(data.data)
    if isinstance(data, np.ndarray):
        return Header("array", str(data.dtype), data.shape[1], data.shape[0], 1, False)
    if isinstance(data, Image.Image):
        return Header(data.format or "PIL", data.mode, *data.size, 1, False)
    with explained():
        if kind_of(data) == "DICOM":
            return dicom.header_of(dicom.dataset(data))
        if kind_of(data) == "TIFF" and not tiff.is_plain(data, "first"):
            return bands.header_of(data)
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


def picture(
    data: Stored, at_least: tuple[int, int] | None = None, band: bool | None = None, reading: Reading = READING
) -> Picture:
    """Upright pixels of an image file, or of what is decoded already, and what of it they do not show.

    Large JPEGs are decoded at a reduced scale that is still `at_least` (H, W). An animated image gives its first
    frame, others the pages that `reading` asks for. `band`: whether what a TIFF tags as alpha is a band of what was
    measured, or transparency; None: by its values. Raises DecodeError for anything that is not a whole image of an
    allowed format.
    """
    if isinstance(data, np.ndarray | Image.Image):
        return Picture(_decoded(data)).read(reading)
    content, page = (data.data, data.number) if isinstance(data, Page) else (data, None)
    kind = kind_of(content)
    beyond = kind == "TIFF" and reading.bands == "all" and not tiff.is_plain(content, reading.pages)
    if kind != "DICOM" and not beyond:
        return _by_pillow(content, at_least, band, reading).read(reading)
    with explained(), _one_large if len(content) > LARGE else contextlib.nullcontext():
        if kind == "DICOM":
            made, left = dicom.read(content, reading, page, MAX_PIXELS)
        else:
            made, left = bands.read(content, reading, page, band, MAX_PIXELS)
        return replace(made, remarks=(PAGES,) * left).read(reading)


def pages_in(data: Stored) -> int:
    """How many pages or frames a file has that can be samples of their own; 1 of other kinds. Raises DecodeError."""
    content = data if isinstance(data, bytes) else b""
    kind = kind_of(content)
    with explained():
        if kind == "DICOM":
            return dicom.frames(dicom.dataset(content))
        return bands.pages(content) if kind == "TIFF" and not tiff.is_plain(content, "samples") else 1


def _by_pillow(data: bytes, at_least: tuple[int, int] | None, band: bool | None, reading: Reading) -> Picture:
    with opened(data) as image:
        large = image.width * image.height > LARGE and not (at_least and image.format in JPEGS)
        with _one_large if large else contextlib.nullcontext():
            if image.format in JPEGS and reading.jpeg_decoder != nvjpeg.CPU:
                return _on_card(data, image, at_least, reading)
            return _on_cpu(data, image, at_least, band, reading)


def _on_cpu(
    data: bytes, image: Image.Image, at_least: tuple[int, int] | None, band: bool | None, reading: Reading
) -> Picture:
    if image.format in JPEGS and simplejpeg and image.mode in COLOURSPACES:
        return Picture(_fast_jpeg(data, image, at_least))
    if at_least and image.format in JPEGS:
        image.draft(None, (at_least[1], at_least[0]))
    if image.format == "TIFF":
        return of_tiff(data, image, band, reading)
    remarks = _remarks(data, image)
    image.load()
    if image.format in JPEGS:
        _refuse_padding(data, image)
    return Picture(pixels_of(upright(image)), remarks)


def _decoded(data: NDArray[Any] | Image.Image) -> NDArray[Any]:
    """The pixels of an array (H, W, C), or of an open image, which stays as it is."""
    if isinstance(data, Image.Image):
        copied = data.copy()
        copied.format = data.format  # which a copy has no more
        return pixels_of(upright(copied))
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        raise DecodeError(NOT_FINITE)
    return data


def _remarks(data: bytes, image: Image.Image) -> tuple[str, ...]:
    """What of an image that is no TIFF is not used."""
    animated = False
    with contextlib.suppress(Exception):
        animated = _is_animated(image)
    deep = image.format == "PNG" and data[24:26] in DEEP_PNG
    fine = image.info.get("bit_depth", 8) > 8 or _largest(image) > 255  # as HEIC and PPM have it
    return (ANIMATED,) * animated + (DEEP,) * deep + (FINE,) * fine


def _largest(image: Image.Image) -> int:
    """The largest value that a colour has by what a PPM says; 0 of others, and of one of 8 bits."""
    told = image.tile[0].args if image.format == "PPM" and image.mode == "RGB" else ()  # type: ignore[attr-defined]
    return told[-1] if isinstance(told, tuple) and told else 0


def _is_animated(image: Image.Image) -> bool:
    return image.format in FRAMED and bool(getattr(image, "is_animated", False))


@contextlib.contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """The image in `data`, its header read and found sane; whatever goes wrong becomes a DecodeError."""
    if not data:
        raise DecodeError("empty file")
    with explained(data), Image.open(io.BytesIO(data), formats=_formats(data)) as image:
        pixels = image.width * image.height
        if pixels > MAX_PIXELS:
            raise DecodeError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS:,}")
        if image.format in JPEGS and (scans := data.count(b"\xff\xda")) * pixels > MAX_SCANS * LARGE:
            raise DecodeError(f"{image.width} x {image.height} pixels in {scans} scans take too long to decode")
        if image.format == "JXL" and not image.jpeg:  # type: ignore[attr-defined]
            image.info.pop("exif", None)  # it is turned already, by what counts for JPEG XL
        yield image


@contextlib.contextmanager
def explained(data: bytes = b"") -> Iterator[None]:
    """Whatever goes wrong with an image's bytes becomes a DecodeError."""
    try:
        yield
    except (DecodeError, OutOfMemory):
        raise
    except UnidentifiedImageError:
        raise DecodeError(_unknown(data)) from None
    except Image.DecompressionBombError as error:
        raise DecodeError(str(error)) from None
    except Exception as error:  # decoders raise many kinds on broken files
        kind = SHOWN.get(kind_of(data))
        told = f"{kind} that is damaged or truncated" if kind else "cannot be decoded"
        raise DecodeError(f"{told}: {_said_by(error)}") from None


def _said_by(error: Exception) -> str:
    """What a decoder says; with Python's name of it only where there is no more, or where it tells of the machine."""
    said = " ".join(str(error).split())
    plain = said and not isinstance(error, MemoryError)  # see encoded.PASSING
    return said if plain else f"{type(error).__name__}: {said}".removesuffix(": ")


def _formats(data: bytes) -> tuple[str, ...]:
    """Pillow's names of what a file can be."""
    kind = kind_of(data)
    return plugins.heif() if kind == "HEIF" else plugins.jxl(data, MAX_PIXELS) if kind == "JXL" else FORMATS


def _unknown(data: bytes) -> str:
    """Why Pillow finds no image in a file."""
    kind = kind_of(data)
    if kind == "TIFF":
        return f"{tiff.described(data)}, which is read with --bands all alone"
    if kind in SHOWN:
        return f"{SHOWN[kind]} that is damaged or truncated"
    told = f", but {kind}, which is not read here: convert it to JPEG or PNG" if kind else ""
    return f"not an image of a known format ({', '.join(KNOWN)}){told}"


def attempt(make: Callable[[], Made]) -> Made | str:
    """What is made of an image's bytes, or the reason why it cannot be."""
    try:
        return make()
    except DecodeError as error:
        return str(error)
    except (Unsteady, Interrupted, OutOfMemory):  # which is no fault of this sample alone
        raise
    except Exception as error:  # unreadable, vanished, or a broken archive member
        return f"{UNREAD}: {type(error).__name__}: {error}"


def jpeg_decoder(reading: Reading = READING) -> str:
    """Which library decodes JPEGs."""
    if reading.jpeg_decoder != nvjpeg.CPU:
        return nvjpeg.NAME
    return "simplejpeg" if simplejpeg else "pillow"


def libraries(reading: Reading = READING) -> dict[str, str]:
    """What decodes and resizes, and which versions: what may change a bit of any image."""
    decoder = jpeg_decoder(reading)
    found = {"decoder": decoder, "pillow": PIL.__version__, "torch": torch.__version__}
    return found | ({decoder: version(decoder)} if decoder == "simplejpeg" else {})


def _fast_jpeg(data: bytes, image: Image.Image, at_least: tuple[int, int] | None) -> NDArray[np.uint8]:
    height, width = at_least or (0, 0)
    colours = COLOURSPACES[image.mode]
    return _turned(simplejpeg.decode_jpeg(data, colours, min_height=height, min_width=width, min_factor=2), image)


def _on_card(data: bytes, image: Image.Image, at_least: tuple[int, int] | None, reading: Reading) -> Picture:
    """A JPEG by the card, or by the CPU what no card knows. What ends in one colour may lack its end: the CPU tells."""
    known = image.mode in COLOURSPACES
    pixels = nvjpeg.decoded(data, COLOURSPACES[image.mode], at_least, reading.jpeg_decoder) if known else None
    if pixels is None:
        made = _on_cpu(data, image, at_least, None, reading)
        return replace(made, remarks=(UNKNOWN_TO_CARD, *made.remarks))
    made = Picture(_turned(pixels, image))  # before Pillow turns its own
    if (pixels[-1] == pixels[-1, 0]).all():
        _on_cpu(data, image, at_least, None, reading)
    return made


def _turned(pixels: NDArray[np.uint8], image: Image.Image) -> NDArray[np.uint8]:
    """Upright, as (H, W, C)."""
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
