"""Masks: PNG files of the class number of each pixel, read strictly and cut as the images are for a plain view."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray

from selftaught.data.images.decode import attempt, header, opened
from selftaught.data.images.decoded import DecodeError
from selftaught.data.images.pixels import upright
from selftaught.data.images.telling import counted, too_many
from selftaught.data.images.views import centred_box
from selftaught.data.sources.files import Files
from selftaught.data.sources.folder import IMAGES, MASKS
from selftaught.data.sources.open import open_source
from selftaught.data.sources.source import Progress
from selftaught.data.storage import Failures
from selftaught.system.addresses import is_remote
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import printable

VOID = 255  # of a file: nothing is said of this pixel, as most data sets of the field have it
ENDING = ".png"
GREY, PALETTE = 0, 3  # kinds of colour of a PNG
SIDEWAYS = 5  # EXIF's orientations from here on lie on their side

Side = tuple[int, int]
Numbers = NDArray[np.uint16]


def beside(data: str) -> str:
    """Where masks lie that nobody has named: in `masks` in place of the last folder `images`. Raises UsageError."""
    if is_remote(data):
        raise UsageError(f"masks beside {printable(data)} are not looked for: name them by --masks or --test-masks")
    steps = next((way.parts for way in (Path(data), Path(data).absolute()) if IMAGES in way.parts), None)
    if steps is None:
        shown = printable(data)
        way = f"name {shown}/{IMAGES}" if (Path(data) / IMAGES).is_dir() else "name them by --masks or --test-masks"
        raise UsageError(f"{shown} lies in no folder {IMAGES}, which could have {MASKS} beside it: {way}")
    last = len(steps) - 1 - steps[::-1].index(IMAGES)
    return str(Path(*steps[:last], MASKS, *steps[last + 1 :]))


def read_masks(
    data: str,
    folder: str,
    keys: Sequence[str],
    view: Side,
    out: Side,
    tolerance: float,
    progress: Progress = lambda done, total: None,
) -> tuple[Numbers, NDArray[np.int64], Failures]:
    """The class numbers of images of `data` (M, *out), the rows of `keys` that they are of, and what cannot be used.

    A mask has the path of its image in `folder`, and ends in .png. What a plain view of `view` (H, W) shows is cut out,
    at `out` (H, W) places. A mask that is missing, broken or of another size than its image cannot be used. Raises
    DataError where these are more than a share of `tolerance`, and UsageError where masks would be images.
    """
    images, masks = _source(data), _source(folder)
    if Path(folder).resolve().is_relative_to(Path(data).resolve()):
        raise UsageError(
            f"--masks {printable(folder)} lies in {printable(data)}, so that masks would be images: keep them beside it"
        )
    rows = {key: row for row, key in enumerate(images.keys)}
    places = {f"{key[: -len(ENDING)]}{ENDING}": row for row, key in enumerate(masks.keys) if _ends(key)}

    def one(key: str) -> Numbers | str:
        place = places.get(mask_of(key))
        if place is None:
            return f"there is no {printable(mask_of(key))}"
        return attempt(lambda: cut(_fitting(masks.read(place), images.read(rows[key])), view, out))

    made: list[Numbers | str] = []
    with ThreadPoolExecutor(thread_name_prefix="masks") as pool:
        for mask in pool.map(one, keys):
            made.append(mask)
            progress(len(made), len(keys))
    failed = [(key, mask) for key, mask in zip(keys, made) if isinstance(mask, str)]
    if too_many(failed, len(keys), tolerance):
        raise DataError(counted(f"masks in {printable(folder)}", "used", len(keys), tolerance, failed))
    fine = [row for row, mask in enumerate(made) if not isinstance(mask, str)]
    return np.stack([mask for mask in made if not isinstance(mask, str)]), np.array(fine, dtype=np.int64), failed


def mask_of(key: str) -> str:
    """The key of the mask of an image."""
    return str(PurePosixPath(key).with_suffix(ENDING))


def class_numbers(data: bytes) -> Numbers:
    """The class number of each pixel of a mask (H, W), upright. Raises DecodeError for what is no PNG of such."""
    with opened(data) as image:
        if image.format != "PNG":
            raise DecodeError(f"is a {image.format}, and masks are PNG: others may change numbers")
        bits, kind = data[24], data[25]
        if kind not in (GREY, PALETTE):
            raise DecodeError("holds colours, and masks hold class numbers: save it as grey or with a palette")
        image.load()
        numbers = np.asarray(upright(image)).astype(np.uint16)
    if kind == GREY and 1 < bits < 8:  # which are read as brightness
        numbers //= 255 // (2**bits - 1)
    return numbers


def cut(numbers: Numbers, view: Side, out: Side) -> Numbers:
    """What a plain view of `view` (H, W) shows of a mask (H0, W0), at `out` (H, W) places: the nearest pixels."""
    height, width = numbers.shape
    top, left, tall, wide = centred_box((height, width), torch.tensor([width / height]), view)[0].tolist()
    return numbers[np.ix_(_nearest(top, tall, height, out[0]), _nearest(left, wide, width, out[1]))]


def _nearest(start: float, length: float, side: int, out: int) -> NDArray[np.int64]:
    centres = start + (np.arange(out) + 0.5) * length / out
    return np.clip(np.floor(centres).astype(np.int64), 0, side - 1)


def _fitting(mask: bytes, image: bytes) -> Numbers:
    """The numbers of a mask. Raises DecodeError where its image is of another size."""
    numbers, known = class_numbers(mask), header(image)
    size = (known.width, known.height) if known.orientation >= SIDEWAYS else (known.height, known.width)
    if numbers.shape != size:
        own, other = (f"{height} x {width}" for height, width in (numbers.shape, size))
        raise DecodeError(f"its mask has {own} pixels, and it has {other}")
    return numbers


def _source(name: str) -> Files:
    source = open_source(name)
    if not isinstance(source, Files):
        raise DataError(f"{printable(name)} holds no files: a mask is a file, of the path of its image")
    return source


def _ends(key: str) -> bool:
    return key.lower().endswith(ENDING)
