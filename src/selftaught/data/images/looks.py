"""A look at each image of somebody's data: whether it is whole, what it is like, and what a run would make of it."""

import os
import warnings
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.data.facts import same_content
from selftaught.data.images.canvas import LEVELS, MEASURED, channels_among, fits, other_channels
from selftaught.data.images.decode import attempt, header, picture
from selftaught.data.images.decoded import Header, Reading
from selftaught.data.images.duplicates import same_look, sketch
from selftaught.data.images.sampling import most_are_bands, probed
from selftaught.data.images.values import Some, places_of, some_of
from selftaught.data.sources.arrays import NOT_FINITE, Arrays
from selftaught.data.sources.contents import content_of
from selftaught.data.sources.encoded import Encoded, Page
from selftaught.data.sources.marks import kind_of

AHEAD = 256  # images handed to the threads at once
SCALED = (64, 64)  # a JPEG is read to its end, but no larger than needed for a sketch
MEASURED_BITS = 32  # of what is signed, wider or has fractions

Groups = list[list[int]]


@dataclass(frozen=True)
class Look:
    """One image that is whole."""

    header: Header
    length: int  # of the file in bytes
    channels: int
    bits: int
    digest: bytes
    sketch: NDArray[np.uint8]
    remarks: tuple[str, ...] = ()  # what of the file is not used
    values: Some | None = None  # of those images that are looked at for them


def looks_of(
    source: Encoded | Arrays,
    rows: NDArray[np.int64],
    way: Reading,
    workers: int | None,
    progress: Callable[[int, int], None],
) -> list[Look | str]:
    """A look at each image of these rows, or why it is broken."""
    source.contents.recall()
    looks: list[Look | str] = []
    for_values = places_of(len(rows))
    with warnings.catch_warnings(), closing(_looked(source, rows, way, workers)) as looked:
        warnings.simplefilter("ignore")  # Pillow's, about odd metadata
        for look in looked:
            looks.append(look if len(looks) in for_values or isinstance(look, str) else replace(look, values=None))
            progress(len(looks), len(rows))
    source.contents.remember()
    return looks


def _examples(looks: Sequence[Look | str]) -> list[Look]:
    """Looks at those images by which a run decides what all are stored as, if any is whole."""
    examples = [looks[place] for place in probed(len(looks)).tolist()]
    whole = (look for look in looks if isinstance(look, Look))
    return [look for look in examples if isinstance(look, Look)] or [*islice(whole, 1)]


def channels_of(looks: Sequence[Look | str]) -> int:
    """Channels that a run would store these images with; 0 where none is whole."""
    examples = _examples(looks)
    return channels_among(look.channels for look in examples) if examples else 0


def beside_each_other(looks: Sequence[Look | str]) -> list[Look | str]:
    """The same, with the reason in place of each image that a run would not store beside the others."""
    examples = _examples(looks)
    measured = 2 * sum(look.bits == MEASURED_BITS for look in examples) > len(examples)
    odd = {8: LEVELS} if measured else {MEASURED_BITS: MEASURED}
    channels = channels_of(looks)

    def placed(look: Look) -> Look | str:
        return odd.get(look.bits) or (
            look if fits(look.channels, channels) else other_channels(look.channels, channels)
        )

    return [placed(look) if isinstance(look, Look) else look for look in looks]


def copies_among(looks: Sequence[Look | str]) -> tuple[Groups, Groups]:
    """Groups of places of looks at the same content, and at others that look alike."""
    whole = [(place, look) for place, look in enumerate(looks) if isinstance(look, Look)]
    same = [[whole[at][0] for at in group] for group in same_content(look.digest for _, look in whole)]
    copies = {place for group in same for place in group[1:]}
    single = [(place, look.sketch) for place, look in whole if place not in copies]
    alike = same_look(np.array([one for _, one in single], np.uint8).reshape(-1, 8, 9))
    return same, [[single[at][0] for at in group] for group in alike]


def _looked(
    source: Encoded | Arrays, rows: NDArray[np.int64], way: Reading, workers: int | None
) -> Generator[Look | str]:
    """Each image in turn, or why it is broken; threads work a bounded number ahead."""
    with ThreadPoolExecutor(workers or os.cpu_count(), thread_name_prefix="check") as pool:
        if isinstance(source, Arrays):
            look = _look_at_arrays(source)
        else:  # as a run decides it
            bands = pool.map(partial(_band_of, source, way), rows[probed(len(rows))].tolist())
            look = partial(_look_at_file, source, way, most_are_bands(bands))
        for start in range(0, len(rows), AHEAD):
            yield from pool.map(look, rows[start : start + AHEAD].tolist())


def _band_of(source: Encoded, way: Reading, row: int) -> bool | None:
    """`Picture.band` of an image; None of one that is broken."""

    def band() -> bool | None:
        data = source.read(row)
        content = data.data if isinstance(data, Page) else data
        tiff = isinstance(content, bytes) and kind_of(content) == "TIFF"  # no other file has any
        return picture(data, SCALED, reading=way).band if tiff else None

    found = attempt(band)
    return None if isinstance(found, str) else found


def _look_at_file(source: Encoded, way: Reading, band: bool | None, row: int) -> Look | str:
    def look() -> Look:
        data = source.fetch(row)
        made = picture(data, SCALED, band, way)
        pixels, bits = made.pixels, {"uint8": 8, "uint16": 16}.get(str(made.pixels.dtype), MEASURED_BITS)
        content = source.contents.digests[row].tobytes()
        stored = data.data if isinstance(data, Page) else data
        length = len(stored) if isinstance(stored, bytes) else pixels.nbytes
        return Look(header(data), length, pixels.shape[2], bits, content, sketch(pixels), made.remarks, some_of(pixels))

    return attempt(look)


def _look_at_arrays(source: Arrays) -> Callable[[int], Look | str]:
    images = source.images

    def taken(stored: NDArray[Any]) -> NDArray[Any]:
        """As a run takes them: what its type cannot hold is not finite there."""
        with np.errstate(over="ignore"):
            return stored.astype(source.dtype, copy=False)

    sample = taken(images[:AHEAD])
    finite = sample[np.isfinite(sample)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    bits = 8 * source.dtype.itemsize
    shared = Header("array", str(images.dtype), images.shape[2], images.shape[1], 1, False)

    def look(row: int) -> Look | str:
        image = np.ascontiguousarray(images[row])
        seen = taken(image)
        if not np.isfinite(seen).all():
            return NOT_FINITE
        if seen.dtype != np.uint8:
            scaled = (seen.astype(np.float32) - low) / max(high - low, 1e-12)
            seen = np.round(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
        content = content_of(image.tobytes())
        return Look(shared, image.nbytes, image.shape[2], bits, content, sketch(seen), values=some_of(image))

    return look
