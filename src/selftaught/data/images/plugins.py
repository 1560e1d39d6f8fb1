"""HEIC and JPEG XL: what Pillow reads once their plug-ins are there, and how large they are before anything is."""

from functools import cache

from selftaught.data.images.decoded import DecodeError, MissingExtraError

RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height, by number, from 1
BITS = (9, 13, 18, 30)  # that a side takes
BOX = 8  # bytes of length and name in front of what a box holds


@cache
def heif() -> tuple[str, ...]:
    """Pillow's name of the format, which it knows from then on."""
    try:
        import pillow_heif
    except ImportError:
        raise MissingExtraError("a HEIC photo", "heif") from None
    pillow_heif.register_heif_opener(thumbnails=False)
    return ("HEIF",)


def jxl(data: bytes, most: int) -> tuple[str, ...]:
    """Likewise of JPEG XL; its plug-in decodes what it opens, so more than so many pixels are refused here."""
    try:
        import pillow_jxl  # noqa: F401 - which makes itself known to Pillow
    except ImportError:
        raise MissingExtraError("a JPEG XL image", "jxl") from None
    width, height = jxl_size(data)
    if width * height > most:
        raise DecodeError(f"{width} x {height} pixels are more than {most:,}")
    return ("JXL",)


def jxl_size(data: bytes) -> tuple[int, int]:
    """Width and height, by the first bits of the codestream (ISO/IEC 18181-1, size header)."""
    bits = int.from_bytes(_codestream(data)[2:18].ljust(16, b"\0"), "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    small = take(1)

    def side() -> int:
        return 8 * (take(5) + 1) if small else take(BITS[take(2)]) + 1

    height, ratio = side(), take(3)
    return (side() if not ratio else height * RATIOS[ratio - 1][0] // RATIOS[ratio - 1][1]), height


def _codestream(data: bytes) -> bytes:
    """The first bytes of it, which may lie in a box of a container. Raises DecodeError."""
    start = 0
    while data[start : start + 2] != b"\xff\x0a":
        length, name = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + BOX]
        head = BOX
        if length == 1:
            length, head = int.from_bytes(data[start + BOX : start + 2 * BOX], "big"), 2 * BOX
        if name in (b"jxlc", b"jxlp"):
            return data[start + head + 4 * (name == b"jxlp") :][:64]
        if length < head or start + length >= len(data):
            raise DecodeError("a JPEG XL image that is damaged or truncated")
        start += length
    return data[start : start + 64]
