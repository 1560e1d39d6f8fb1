"""What a TIFF holds besides the first picture in it: pages, bands, what is tagged as alpha; and why one is not read."""

import io
import logging
import re
from typing import Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from selftaught.data.images.decoded import DecodeError

KIND, DESCRIPTION, PHOTOMETRIC, SAMPLES, BITS, FORMAT = 254, 270, 262, 277, 258, 339  # numbers of tags
SMALLEST, LARGEST = 340, 341  # values that samples have
VEILED = ("LA", "La", "PA", "RGBA", "RGBa")  # modes whose last band is their opacity
# Descriptions in which several pages are channels of one: OME's, ImageJ's and tifffile's own.
CHANNELS = r'(?m)SizeC="(?!1")\d|^channels=(?!1$)\d|"axes": "[^"]*C'
COPY = 0b101  # of KIND: a smaller copy, or the mask, of another page
OF_COLOUR = {2: 3, 5: 4, 6: 3, 8: 3}  # bands of RGB, CMYK, YCbCr and Lab; all else is grey or a palette
NUMBERS = {1: "unsigned", 2: "signed", 3: "floating-point"}
MOST_PAGES = 1000  # that are looked at, for one that is no copy
MASKED = 0.5  # of a mask's values at least are nothing or all

# Pillow tells of bands that it cannot read on standard error, once a file; here the reason is part of the refusal.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def is_plain(data: bytes, pages: str) -> bool:
    """Whether Pillow reads all that is asked of a TIFF: its only page, or the first, with no more than colours."""
    try:
        with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
            held, used = bands(image)
            if held > used + (image.mode in VEILED) or (bits(image)[0] > 8 and used > 1):
                return False
            if not has_more_pages(image, data):
                return True
            return pages == "first" and not re.search(CHANNELS, str(image.tag_v2.get(DESCRIPTION, "")))  # type: ignore[attr-defined]
    except Image.DecompressionBombError:
        return True  # which refuses it
    except Exception:  # of many kinds, of what Pillow does not know, too
        return False


def span_of(low: Any, high: Any) -> tuple[float, float] | None:
    """From the smallest to the largest of what a file says of each of its bands; None where that is no range."""
    ends = float(np.min(low)), float(np.max(high))
    return ends if np.isfinite(ends).all() and ends[0] < ends[1] else None


def declared(image: Any) -> tuple[float, float] | None:
    """What a TIFF says that its values go from and to, where it does."""
    ends = [image.tag_v2.get(tag) for tag in (SMALLEST, LARGEST)]
    return None if None in ends else span_of(*ends)


def has_more_pages(image: Any, data: bytes) -> bool:
    """Whether a TIFF has a page besides its first that is no smaller copy of it and no mask."""
    told = re.match(r"ImageJ=.*?^images=(\d+)", str(image.tag_v2.get(DESCRIPTION, "")), re.DOTALL | re.MULTILINE)
    if told and int(told[1]) > 1:  # of large stacks it writes one page, and behind it the others
        return True
    if not image.tag_v2.next:
        return False
    with Image.open(io.BytesIO(data), formats=("TIFF",)) as again:
        for page in range(1, MOST_PAGES):
            try:
                again.seek(page)
            except EOFError:
                return False
            except Exception:  # a page that cannot be read is one all the same
                return True
            if not again.tag_v2.get(KIND, 0) & COPY:  # type: ignore[attr-defined]
                return True
    return False


def bands(image: Any) -> tuple[int, int]:
    """How many bands a TIFF has, and how many of them are its grey or its colours."""
    used = OF_COLOUR.get(image.tag_v2.get(PHOTOMETRIC), 1)
    return max(int(image.tag_v2.get(SAMPLES, 1)), used), used


def bits(image: Any) -> tuple[int, int]:
    """Of a TIFF's first band: bits, and whether they are unsigned (1), signed (2) or floating-point (3) numbers."""
    return int(image.tag_v2.get(BITS, (1,))[0]), int(image.tag_v2.get(FORMAT, (1,))[0])


def is_mask(alpha: np.ndarray) -> bool:
    """Whether a band (H, W) that is tagged as alpha is transparency: most of it is nothing or all.

    Others write what they measured there, near infrared mostly; and some an empty band.
    """
    ends = np.bincount(alpha.reshape(-1), minlength=256)[[0, 255]]
    return bool(ends[1]) and bool(ends.sum() >= MASKED * alpha.size)


def unmultiplied(image: Any) -> None:
    """Have Pillow give colours as they are stored, where it would divide them by what is tagged as alpha."""
    image.tile = [tile._replace(args=_raw(tile.args)) for tile in image.tile]


def _raw(args: Any) -> Any:
    first = args[0] if isinstance(args, tuple) else args
    stored = first.replace("RGBa", "RGBA") if isinstance(first, str) else first
    return (stored, *args[1:]) if isinstance(args, tuple) else stored


def refuse_cut_chain(data: bytes) -> None:
    """Raise DecodeError where a TIFF names a further page that is not in the file, or one twice."""
    order: Any = "little" if data[:2] == b"II" else "big"
    wide = data[2:3] == b"+" or data[3:4] == b"+"
    head, counted, entry, link = (8, 8, 20, 8) if wide else (4, 2, 12, 4)  # bytes, of large TIFFs and of others
    place, seen = int.from_bytes(data[head : head + link], order), set[int]()
    while place:
        end = place + counted + entry * int.from_bytes(data[place : place + counted], order)
        if place in seen or end + link > len(data):
            raise DecodeError("a TIFF that is damaged or truncated: pages of it are missing")
        seen.add(place)
        place = int.from_bytes(data[end : end + link], order)


def described(data: bytes) -> str:
    """What kind of TIFF it is, for people. Raises DecodeError where not even that can be told."""
    try:
        tags = ImageFileDirectory_v2(data[:16] if data[2:3] == b"+" or data[3:4] == b"+" else data[:8])
        stream = io.BytesIO(data)
        stream.seek(tags.next)
        tags.load(stream)
        count, depths = int(tags.get(SAMPLES, 1)), tags.get(BITS, (1,))
        numbers = NUMBERS.get(int(tags.get(FORMAT, (1,))[0]), "odd")
    except Exception:  # of many kinds, as a broken file may be broken anywhere
        raise DecodeError("a TIFF that is damaged or truncated") from None
    return f"a TIFF of {count} band{'s' * (count > 1)} of {int(depths[0])}-bit {numbers} numbers"
