"""What a PNG holds in 16 bits: colours, of which Pillow keeps 8, and a grey with its opacity, which is kept whole."""

from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from selftaught.data.images.decoded import WHITE

DEPTH = slice(24, 26)  # bytes that tell the bits of a value, and which kind of colour it is
COLOURS = (b"\x10\x02", b"\x10\x06")  # without and with their opacity
GREY = b"\x10\x04"  # with its opacity
WHOLE = int(WHITE["uint16"])


def has_deep_colours(data: bytes) -> bool:
    """Whether colours have 16 bits."""
    return data[DEPTH] in COLOURS


def has_deep_grey(data: bytes) -> bool:
    """Whether a grey and its opacity have 16 bits each."""
    return data[DEPTH] == GREY


def in_bytes(data: bytes) -> bytes:
    """A grey with its opacity as four bands of 8 bits, the upper and the lower bytes of each, packed as they were."""
    head = data[12:24] + b"\x08\x06" + data[26:29]
    return data[:12] + head + crc32(head).to_bytes(4, "big") + data[33:]


def grey_on_white(image: Image.Image) -> NDArray[np.uint16]:
    """The grey (H, W, 1) of what is `in_bytes`, on white where it is transparent."""
    bands = np.asarray(image).astype(np.uint32)
    grey, opacity = 256 * bands[..., 0] + bands[..., 1], 256 * bands[..., 2] + bands[..., 3]
    laid = (grey * opacity + WHOLE * (WHOLE - opacity) + WHOLE // 2) // WHOLE  # 32 bits are just enough
    return laid.astype(np.uint16)[..., None]
