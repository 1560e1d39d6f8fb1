"""Pictures as the bytes of a file, those that Pillow does not write among them."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encoded(image: Image.Image | NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    """An image, or pixels (H, W) or (H, W, C), in a format as Pillow names it."""
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand, of what Pillow does not write; `rows` are filtered already."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    told = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(told)


def deep_png(values: NDArray[np.uint16], colour: int) -> bytes:
    """Samples (H, W, C) of 16 bit."""
    height, width, _ = values.shape
    return png(width, height, 16, colour, b"".join(b"\0" + row.astype(">u2").tobytes() for row in values))


def tiff(values: NDArray[Any], photometric: int, sample_format: int = 1) -> bytes:
    """An uncompressed little-endian TIFF by hand, of what Pillow does not write; values (H, W, C)."""
    height, width, count = values.shape
    held, bits = values.tobytes(), 8 * values.dtype.itemsize
    depths = struct.pack(f"<{count}H", *[bits] * count)
    tags: list[tuple[int, int, int, int]] = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, count, bits if count == 1 else 8 + len(held)),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, 8),
        (277, 3, 1, count),
        (278, 4, 1, height),
        (279, 4, 1, len(held)),
        (339, 3, 1, sample_format),
    ]
    start = 8 + len(held) + len(depths)
    folder = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return struct.pack("<2sHI", b"II", 42, start) + held + depths + folder
