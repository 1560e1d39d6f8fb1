"""One strict decoder: bytes of an image file in, upright pixels out, or the reason why not."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

try:
    import simplejpeg
except ImportError:  # the [fast] extra; Pillow decodes JPEGs too
    simplejpeg = None

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
MAX_PIXELS = 120_000_000  # a larger image is taken for a decompression bomb
COLOURSPACES = {"L": "GRAY", "RGB": "RGB"}  # of JPEGs that simplejpeg decodes
BACKDROP = 255  # transparent pixels are laid on white, as a page or a viewer would show them


class DecodeError(ValueError):
    """An image cannot be decoded; the message is the reason."""


def decode(data: bytes, at_least: tuple[int, int] | None = None) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Upright pixels (H, W, C): uint8 with 1 or 3 channels, or uint16 with 1 for 16-bit grey.

    Large JPEGs are decoded at a reduced scale that is still `at_least` (H, W). An animated image gives its first
    frame. Raises DecodeError for anything that is not a whole image of an allowed format.
    """
    if not data:
        raise DecodeError("empty file")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DecodeError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS:,}")
            if image.format == "JPEG" and simplejpeg and image.mode in COLOURSPACES:
                return _fast_jpeg(data, image, at_least)
            if at_least and image.format == "JPEG":
                image.draft(None, (at_least[1], at_least[0]))
            image.load()
            return _pixels(_upright(image))
    except DecodeError:
        raise
    except UnidentifiedImageError:
        raise DecodeError(f"not an image of a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError as error:
        raise DecodeError(str(error)) from None
    except Exception as error:  # Pillow's decoders raise many kinds on broken files
        raise DecodeError(f"{type(error).__name__}: {error}".strip().replace("\n", " ")) from None


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
        pixels = np.asarray(_upright(turned))
    return pixels.reshape(*pixels.shape[:2], -1)


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says; broken EXIF is as good as none."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _pixels(image: Image.Image) -> NDArray[np.uint8] | NDArray[np.uint16]:
    mode = image.mode
    if mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None]
    if mode == "I":
        wide = np.asarray(image)
        return np.clip(wide, 0, 65535).astype(np.uint16)[..., None]
    if mode == "F":
        return _by_own_range(np.asarray(image))[..., None]
    if "transparency" in image.info or mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        return _on_backdrop(image)
    if mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None]
    return np.asarray(image.convert("RGB"))


def _by_own_range(values: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Floating-point pixels scaled by their own range."""
    if not np.isfinite(values).all():
        raise DecodeError("holds values that are not finite")
    low, high = float(values.min()), float(values.max())
    return np.round((values - low) * (65535 / max(high - low, 1e-12))).astype(np.uint16)


def _on_backdrop(image: Image.Image) -> NDArray[np.uint8]:
    """Composited, so that colours hidden under full transparency do not leak in."""
    grey = image.mode in ("L", "LA", "La", "1")
    rgba = np.asarray(image.convert("RGBA")).astype(np.float32)
    alpha = rgba[..., 3:] / 255
    pixels = np.round(rgba[..., :3] * alpha + BACKDROP * (1 - alpha)).astype(np.uint8)
    return pixels[..., :1] if grey else pixels
