"""Pictures as the bytes of a file, and inside a page."""

import base64
import io

from PIL import Image
from PIL.PngImagePlugin import PngInfo

LOSSLESS = 512  # pixels of a side


def encoded(image: Image.Image, format: str = "PNG", made_by: str | None = None) -> bytes:
    """The image as the bytes of a PNG, which may say what has made it, or WEBP, without loss where it is small."""
    buffer = io.BytesIO()
    lossless = {"lossless": max(image.size) <= LOSSLESS, "quality": 80} if format == "WEBP" else {"optimize": True}
    told = PngInfo()
    if made_by:
        told.add_text("Software", made_by)
    image.save(buffer, format, pnginfo=told, **lossless)
    return buffer.getvalue()


def data_uri(image: Image.Image, format: str = "PNG") -> str:
    """The image inside a URI, as a PNG or WEBP file."""
    return f"data:image/{format.lower()};base64," + base64.b64encode(encoded(image, format)).decode()
