"""A folder of odd files, the same every time: whatever people's folders hold, and what must become of each.

`FILES` has one entry a file: its bytes, and either the golden pixels it is decoded to or the reason why it is refused.
`populate` writes them, and beside them what is no file at all: pipes, links, folders and system clutter.
"""

import io
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.pictures import deep_png, encoded, png, tiff

NO_IMAGE, CUT = "not an image of a known format", "truncat|Truncat|Premature|premature|not create decoder|broken data"
GREEN, BLUE, WHITE = (0, 255, 0), (0, 0, 255), (255, 255, 255)


@dataclass(frozen=True)
class Odd:
    """A file and its fate: `pixels` (H, W, C), each value within `slack` of the decoded one, or `reason`, a pattern."""

    data: bytes
    pixels: NDArray[Any] | None = None
    slack: int = 0
    reason: str | None = None


def flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 0xFF
    return bytes(changed)


def _turned(orientation: int, kind: str) -> bytes:
    """PICTURE, stored as a camera held some way would."""
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions
    stored = Image.fromarray(BLOCKS)
    if orientation in undo:
        stored = stored.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(stored, kind, exif=exif, **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {}))


_random = np.random.default_rng(7)
NOISE = _random.integers(0, 256, (64, 48, 3), dtype=np.uint8)  # long when encoded, so that a cut cuts pixels
PICTURE = _random.integers(0, 256, (9, 12, 3), dtype=np.uint8)
BLOCKS = np.kron(_random.integers(0, 256, (2, 3, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))
GREY = PICTURE[..., :1]
DEEP = _random.integers(0, 65536, (9, 12, 4), dtype=np.uint16)
RAMP = np.linspace(-3, 5, 9 * 12, dtype=np.float32).reshape(9, 12)
ALPHA = np.full((9, 12, 1), 255, np.uint8)
ALPHA[:, 6:] = 0
ON_WHITE = np.where(ALPHA > 0, PICTURE, 255).astype(np.uint8)
TALL = _random.integers(0, 256, (1100, 2, 3), dtype=np.uint8)  # its red is its opacity, too
OVER_WHITE = 255 + (TALL.astype(int) - 255) * TALL[..., :1] // 255
JPEG, PROGRESSIVE = encoded(NOISE, "JPEG", quality=90), encoded(NOISE, "JPEG", quality=90, progressive=True)
WHOLE = {"jpg": JPEG, "png": encoded(NOISE, "PNG"), "webp": encoded(NOISE, "WEBP")}
HIGH = (DEEP >> 8).astype(np.uint8)  # of 16-bit colours, the upper half is kept


def _broken() -> dict[str, Odd]:
    made = {}
    for kind, data in WHOLE.items():
        for percent in (10, 50, 99):
            made[f"cut at {percent}.{kind}"] = Odd(data[: len(data) * percent // 100], reason=CUT)
        made[f"flipped first byte.{kind}"] = Odd(flipped(data, 0), reason=NO_IMAGE)
    made["flipped header.jpg"] = Odd(flipped(JPEG, JPEG.index(b"\xff\xdb") + 2), reason="cannot be decoded: ")
    made["flipped header.png"] = Odd(flipped(WHOLE["png"], 18), reason=f"cannot be decoded: |{NO_IMAGE}")
    made["flipped body.png"] = Odd(flipped(WHOLE["png"], len(WHOLE["png"]) // 2), reason="cannot be decoded: ")
    scan = JPEG.index(b"\xff\xda") + 700
    made["marker in the body.jpg"] = Odd(JPEG[:scan] + b"\xff\xc4" + JPEG[scan + 2 :], reason="cannot be decoded: ")
    made["progressive cut.jpg"] = Odd(PROGRESSIVE[: len(PROGRESSIVE) // 2], reason=CUT)
    made["cut and closed.jpg"] = Odd(JPEG[: len(JPEG) * 7 // 10] + b"\xff\xd9", reason=CUT)
    for kind in ("tiff", "gif", "bmp", "ppm"):
        data = encoded(NOISE, kind.upper())
        made[f"cut in half.{kind}"] = Odd(data[: len(data) // 2], reason=f"{CUT}|{NO_IMAGE}")
    made["end mark missing.jpg"] = Odd(JPEG[:-2], reason=CUT)
    made["empty.jpg"] = Odd(b"", reason="empty file")
    made["zeros.jpg"] = Odd(bytes(5000), reason=NO_IMAGE)
    for name, data in {
        "text.jpg": b"a holiday\n" * 20,
        "error page.jpg": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "drawing.png": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        "page.png": b"%PDF-1.7\n1 0 obj\n",
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(x) run\n",
        "telescope.jpg": b"SIMPLE  =                    T".ljust(80) + b"END".ljust(2800),
        "archive.png": b"PK\x03\x04" + bytes(60),
        "icon.png": encoded(BLOCKS, "ICO"),
    }.items():
        made[name] = Odd(data, reason=NO_IMAGE)
    made["apple.jpg"] = Odd(b"\0\0\0\x18ftypheic" + bytes(80), reason="a HEIC photo that is damaged or truncated")
    made["bomb.png"] = Odd(png(30_000, 30_000, 1, 0, bytes(30_000 * 3751)), reason="bomb")
    made["bomb below pillows limit.png"] = Odd(png(12_000, 12_000, 1, 0, b""), reason="12000 x 12000 pixels are more")
    screen = struct.pack("<HHBBB", 65535, 65535, 0, 0, 0)
    made["bomb.gif"] = Odd(b"GIF89a" + screen + bytes(20), reason=f"bomb|cannot be decoded: |{NO_IMAGE}")
    holed = RAMP.copy()
    holed[0, 0] = np.nan
    made["not a number.tif"] = Odd(encoded(holed, "TIFF"), reason="not finite")
    return made


def _whole() -> dict[str, Odd]:
    colours = Image.fromarray(PICTURE)
    frames = [colours, Image.new("RGB", colours.size, GREEN)]
    animation = {"save_all": True, "append_images": frames[1:], "duration": 50}
    indexed = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    indexed.putpalette([*GREEN, *BLUE, 9, 9, 9])
    through = np.array([[WHITE, BLUE, (9, 9, 9)]], np.uint8)
    opaque = np.array([[GREEN, BLUE, (9, 9, 9)]], np.uint8)
    bits = np.where(GREY > 127, 255, 0)
    bilevel = Image.fromarray(bits[..., 0].astype(np.uint8)).convert("1", dither=Image.Dither.NONE)
    wide = np.arange(9 * 12, dtype=np.int32).reshape(9, 12, 1) * 70_000
    grey_deep = DEEP[..., :1]
    pillows_jpeg = np.asarray(Image.open(io.BytesIO(JPEG)))
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red = np.full((16, 16, 3), (255, 0, 0), np.uint8)
    made = {
        "plain.jpg": Odd(JPEG, pillows_jpeg, 2),
        "progressive.jpg": Odd(PROGRESSIVE, pillows_jpeg, 2),
        "a png.jpg": Odd(encoded(PICTURE, "PNG"), PICTURE),
        "a gif.png": Odd(encoded(indexed, "GIF"), opaque),
        "a jpeg.png": Odd(JPEG, pillows_jpeg, 2),
        "a webp.bmp": Odd(encoded(PICTURE, "WEBP", lossless=True), PICTURE),
        "CAPITALS.PNG": Odd(encoded(PICTURE, "PNG"), PICTURE),
        "one pixel.png": Odd(encoded(PICTURE[:1, :1], "PNG"), PICTURE[:1, :1]),
        "a line down.png": Odd(encoded(np.tile(PICTURE[:1, :1], (20_000, 1, 1)), "PNG"), PICTURE[:1, :1]),
        "a line across.png": Odd(encoded(np.tile(PICTURE[:1, :1], (1, 20_000, 1)), "PNG"), PICTURE[:1, :1]),
        "grey.jpg": Odd(encoded(np.full((16, 16), 77, np.uint8), "JPEG"), np.full((16, 16, 1), 77), 1),
        "grey below.jpg": Odd(encoded(np.full((40, 40, 3), 128, np.uint8), "JPEG"), np.full((40, 40, 3), 128), 1),
        "cmyk.jpg": Odd(encoded(cmyk, "JPEG", quality=95), red, 5),
        "cmyk.tif": Odd(encoded(cmyk, "TIFF"), red),
        "deep grey.png": Odd(encoded(grey_deep[..., 0], "PNG"), grey_deep),
        "deep grey.tif": Odd(encoded(grey_deep[..., 0], "TIFF"), grey_deep),
        "deep colour.png": Odd(deep_png(DEEP[..., :3], 2), HIGH[..., :3]),
        "deep colour.tif": Odd(tiff(DEEP[..., :3], 2), DEEP[..., :3]),
        "deep and through.png": Odd(deep_png(np.dstack([DEEP[..., :3], ALPHA * np.uint16(257)]), 6), None, 1),
        "deep grey and through.png": Odd(deep_png(np.dstack([DEEP[..., :1], ALPHA * np.uint16(257)]), 4), None, 1),
        "wide integers.tif": Odd(tiff(wide, 1, 2), wide),
        "floats.tif": Odd(encoded(RAMP, "TIFF"), RAMP[..., None]),
        "colours under glass.png": Odd(encoded(np.dstack([PICTURE, ALPHA]), "PNG"), ON_WHITE),
        "colours under glass.webp": Odd(encoded(np.dstack([PICTURE, ALPHA]), "WEBP", lossless=True), ON_WHITE),
        "tall under glass.png": Odd(encoded(np.dstack([TALL, TALL[..., :1]]), "PNG"), OVER_WHITE, 1),
        "grey under glass.png": Odd(encoded(np.dstack([GREY, ALPHA]), "PNG"), np.where(ALPHA > 0, GREY, 255)),
        "palette.png": Odd(encoded(indexed, "PNG"), opaque),
        "palette and through.png": Odd(encoded(indexed, "PNG", transparency=0), through),
        "bilevel.png": Odd(encoded(bilevel, "PNG"), bits),
        "bilevel.tif": Odd(encoded(bilevel, "TIFF", compression="group4"), bits),
        "animated.gif": Odd(encoded(indexed, "GIF", save_all=True, append_images=[frames[1].resize((3, 1))]), opaque),
        "animated.webp": Odd(encoded(frames[0], "WEBP", lossless=True, **animation), PICTURE),
        "animated.png": Odd(encoded(frames[0], "PNG", **animation), PICTURE),
        "pages.tif": Odd(encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:]), PICTURE),
        "two cameras.jpg": Odd(encoded(Image.fromarray(NOISE), "MPO", quality=90, **animation), pillows_jpeg, 2),
        "an avif.jpg": Odd(encoded(BLOCKS, "AVIF", quality=100, subsampling="4:4:4"), BLOCKS, 3),
        "plain.ppm": Odd(encoded(PICTURE, "PPM"), PICTURE),
        "deep.pgm": Odd(b"P5 12 9 65535\n" + grey_deep.astype(">u2").tobytes(), grey_deep),
        "plain.bmp": Odd(encoded(PICTURE, "BMP"), PICTURE),
        "broken exif.jpg": Odd(
            encoded(NOISE, "JPEG", quality=90, exif=b"Exif\0\0II*\0\xff\xff\xff\xff x"), pillows_jpeg, 2
        ),
    }
    made["deep and through.png"] = Odd(made["deep and through.png"].data, np.where(ALPHA > 0, HIGH[..., :3], 255))
    made["deep grey and through.png"] = Odd(
        made["deep grey and through.png"].data, np.where(ALPHA > 0, HIGH[..., :1], 255).repeat(3, axis=2)
    )
    for orientation in range(1, 9):
        made[f"orientation {orientation}.jpg"] = Odd(_turned(orientation, "JPEG"), BLOCKS, 6)
    made["orientation 6.png"] = Odd(_turned(6, "PNG"), BLOCKS)
    return made


BROKEN, GOOD = _broken(), _whole()
FILES = {**BROKEN, **GOOD}
MEASURED = ("wide integers.tif", "floats.tif")  # whole, but their values mean nothing beside those of photos
NAMES = (  # of further, whole images
    "with a space.png",
    os.fsdecode(b"caf\xe9.png"),
    "two\nlines.png",
    "n" * 246 + ".png",
    "=cmd|'calc'!A0.png",
    "<img src=x onerror=alert(1)>.png",
    "folder.jpg/inside.png",
)
DUPLICATE = ("twin a.png", "twin b.png")
IGNORED = {
    "pipe.jpg": "not a regular file",
    "itself.jpg": "a link to nothing",
    "nothing.jpg": "a link to nothing",
    "outside.jpg": "a link out of the folder",
    "outside": "a link out of the folder",
    "link to a pipe.jpg": "not a regular file",
    ".hidden.jpg": "hidden",
    "._resource.jpg": "hidden",
    ".DS_Store": "hidden",
    "Thumbs.db": "left by the operating system",
    "desktop.ini": "left by the operating system",
    "__MACOSX": "left by the operating system",
    "notes.txt": "not named like an image",
    "film.mov": "not named like an image",
}


def populate(root: Path, files: Sequence[str] = tuple(FILES)) -> None:
    """Write `files` of FILES to `root`, and beside them odd names, links, pipes, folders and clutter."""
    outside = root.parent / "outside"
    for folder in (root / "folder.jpg", root / "__MACOSX", outside):
        folder.mkdir(parents=True, exist_ok=True)
    whole = encoded(PICTURE, "PNG")
    for name in files:
        (root / name).write_bytes(FILES[name].data)
    for number, name in enumerate(NAMES):
        (root / name).write_bytes(encoded(np.roll(PICTURE, number + 1, 1), "PNG"))
    for name in DUPLICATE:
        (root / name).write_bytes(encoded(np.roll(PICTURE, 3, 0), "PNG"))
    for name in (".hidden.jpg", "._resource.jpg", ".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt", "film.mov"):
        (root / name).write_bytes(whole)
    (root / "__MACOSX" / "inside.png").write_bytes(whole)
    (outside / "secret.png").write_bytes(whole)
    os.mkfifo(root / "pipe.jpg")
    for link, target in {
        "itself.jpg": root / "itself.jpg",
        "nothing.jpg": root / "nowhere.jpg",
        "outside.jpg": outside / "secret.png",
        "outside": outside,
        "folder.jpg/loop": root,
        "link to a pipe.jpg": root / "pipe.jpg",
    }.items():
        (root / link).symlink_to(target)
