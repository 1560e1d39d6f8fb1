"""Pictures as the bytes of a file, and inside a page."""

import base64
import io

from PIL import Image

LOSSLESS = 512  # pixels of a side


def encoded(image: Image.Image, format: str = "PNG") -> bytes:
    """The image as the bytes of a PNG or WEBP file; the latter without loss where it is small."""
    buffer = io.BytesIO()
    lossless = {"lossless": max(image.size) <= LOSSLESS, "quality": 80} if format == "WEBP" else {"optimize": True}
    image.save(buffer, format, **lossless)
    return buffer.getvalue()


def data_uri(image: Image.Image, format: str = "PNG") -> str:
    """The image inside a URI, as a PNG or WEBP file."""
    return f"data:image/{format.lower()};base64," + base64.b64encode(encoded(image, format)).decode()
