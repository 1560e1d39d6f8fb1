"""Images into a packed set: each a file of its own, as it was or on fewer pixels, with its key and label beside it."""

import io
import json
import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from selftaught.data.facts import notes_of_labels
from selftaught.data.images.canvas import Canvas, Pixels, on_canvas
from selftaught.data.images.decode import attempt, header, libraries, picture
from selftaught.data.images.decoded import DecodeError, Header, Reading
from selftaught.data.images.looks import SCALED, beside_each_other, copies_among, looks_of
from selftaught.data.images.overlooked import overlooked
from selftaught.data.images.telling import counted, too_many
from selftaught.data.sources.arrays import Arrays
from selftaught.data.sources.encoded import Encoded, Stored, parts_of
from selftaught.data.sources.folder import NO_FAULTS
from selftaught.data.sources.holding import Holding, Shown
from selftaught.data.sources.labels import labels_for
from selftaught.data.sources.manifest import MADE_BY, Asked, Manifest
from selftaught.data.sources.open import open_source
from selftaught.data.sources.packing import Dropped, Pack, packed_already, packing
from selftaught.data.sources.source import Progress, digest
from selftaught.data.sources.writing import Members
from selftaught.data.storage import Failures
from selftaught.system.errors import BrokenData
from selftaught.system.text import printable, spelled

AHEAD = 4  # images of each thread that wait for their turn
SHARPER = 2  # times --short-side: a JPEG is decoded on so many pixels before it is resized, as Pillow's thumbnails are
KEPT = "are larger and kept as they are: a JPEG cannot hold what is no grey or colour of 8 bits"
JPEGS = {"JPEG": "jpg", "MPO": "jpg"}  # endings; of other formats it is the name in small letters
MADE_AS = "1"  # another number where the same image is packed as other bytes than by an earlier version of this code


@dataclass(frozen=True)
class Made:
    """What is packed of an image."""

    ending: str
    content: bytes
    remarks: tuple[str, ...] = ()  # what is lost of it, or why nothing was done


def pack(
    data: Any,
    out: Path,
    *,
    short_side: int | None,
    quality: int,
    shard_size: int,
    shard_samples: int,
    drop_duplicates: bool,
    labels: Path | None = None,
    label_column: str | None = None,
    column: str | None = None,
    tolerance: float = 0.01,
    workers: int | None = None,
    progress: Shown,
) -> Manifest:
    """Write the images of `data` as tars into the folder `out`, or what is missing of them there.

    short_side: pixels of the shorter side of larger images, which become JPEGs of this quality; shard_size,
    shard_samples: bytes and samples of a tar at most; tolerance: the share of images that may be broken; progress: from
    the name of some work, and where it begins, to who is told how far it is. The bytes depend on the data and the
    settings alone. Raises DataError and UsageError.
    """
    source = open_source(data, label_column if labels is None else None, column)
    if labels is not None:
        source.labels = labels_for(labels, source.keys, "images", label_column, source.note)
    told = source.labels
    asked = Asked(
        fingerprint=source.fingerprint(),
        labels=None if told is None else digest(*map(os.fsencode, told), between=b"\0"),
        count=len(source),
        short_side=short_side,
        quality=quality,
        shard_size=shard_size,
        shard_samples=shard_samples,
        drop_duplicates=drop_duplicates,
    )
    held = Holding(source, progress)
    unlike = partial(_duplicates, source, workers, progress) if drop_duplicates else list
    try:
        if made := packed_already(out, asked, held):
            return made
        with packing(out, asked, made_with(), unlike, held) as packed:
            with progress("packing", packed.following) as report:
                _fill(packed, source, tolerance, workers, report)
            return _finish(packed, source)
    finally:
        source.contents.remember()  # so that whoever asks again need not read all of it


def made_with() -> dict[str, str]:
    """What may change a bit of what is packed."""
    return {**libraries(), "made as": MADE_AS}


def _duplicates(source: Encoded | Arrays, workers: int | None, progress: Shown) -> Dropped:
    """All but the first of each group that `check` finds, in their order."""
    with progress("looking for duplicates") as report:
        looks = looks_of(source, np.arange(len(source)), Reading(), workers, report)
    same, alike = copies_among(beside_each_other(looks))
    named = [(group, "the same as") for group in same] + [(group, "looks like") for group in alike]
    return sorted((row, f"{word} {spelled(source.keys[first])}") for (first, *more), word in named for row in more)


def _fill(packed: Pack, source: Encoded | Arrays, tolerance: float, workers: int | None, progress: Progress) -> None:
    """Pack what is not packed yet."""
    dropped, count, labels = {row for row, _ in packed.head.dropped}, len(source), source.labels
    rows = (row for row in range(packed.following, count) if row not in dropped)
    coming = _in_order(partial(_made, source, packed.head.asked), rows, workers)
    with warnings.catch_warnings(), closing(coming) as all_made:
        warnings.simplefilter("ignore")  # Pillow's, about odd metadata
        for row, made in all_made:
            key = source.keys[row]
            if isinstance(made, str):
                packed.leave_out(key, made)
                _refuse(source.name, count, tolerance, packed.left_out)
            else:
                packed.put(row, _members(made, key, labels[row] if labels else None))
                packed.remark(made.remarks)
            progress(row + 1, count)


def _refuse(name: str, count: int, tolerance: float, failed: Failures) -> None:
    if too_many(failed, count, tolerance):
        raise BrokenData(counted(f"images in {printable(name)}", "packed", count, tolerance, failed), name, failed)


def _finish(packed: Pack, source: Encoded | Arrays) -> Manifest:
    for key, reason in getattr(source, "ignored", ()):
        if reason not in NO_FAULTS:
            packed.leave_out(key, reason)
    notes = [*overlooked(source), *notes_of_labels(source)]
    duplicates = [(source.keys[row], reason) for row, reason in packed.head.dropped]
    return packed.finish(f"{MADE_BY} {version('selftaught')}", printable(source.name), duplicates, notes)


def _in_order(
    work: Callable[[int], Made | str], rows: Iterable[int], workers: int | None
) -> Generator[tuple[int, Made | str]]:
    """Each row and what is made of it, in their order, by threads that are a bounded number ahead."""
    count = workers or os.cpu_count() or 1
    coming: deque[tuple[int, Future[Made | str]]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="pack") as pool:
        for row in rows:
            coming.append((row, pool.submit(work, row)))
            if len(coming) > AHEAD * count:
                yield _next(coming)
        while coming:
            yield _next(coming)


def _next(coming: "deque[tuple[int, Future[Made | str]]]") -> tuple[int, Made | str]:
    row, made = coming.popleft()
    return row, made.result()


def _made(source: Encoded | Arrays, asked: Asked, row: int) -> Made | str:
    """What is packed of an image, or why it is broken."""
    return attempt(lambda: packed_image(_stored(source, row), asked.short_side, asked.quality))


def _stored(source: Encoded | Arrays, row: int) -> Stored:
    if isinstance(source, Arrays):
        pixels = np.ascontiguousarray(source.images[row])
        source.contents.note(row, *parts_of(pixels))
        return pixels.astype(source.dtype, copy=False)
    return source.fetch(row)


def packed_image(stored: Stored, short_side: int | None, quality: int) -> Made:
    """An image on fewer pixels, or as it is: a file byte for byte, pixels without loss. Raises DecodeError."""
    told = header(stored)
    if not short_side or min(told.width, told.height) <= short_side:
        return _unchanged(stored, told)
    made = picture(stored, (SHARPER * short_side,) * 2)
    pixels = made.pixels
    if pixels.dtype != np.uint8 or pixels.shape[2] not in (1, 3):
        return replace(_unchanged(stored, told), remarks=(KEPT,))
    sides = (told.height, told.width) if told.orientation < 5 else (told.width, told.height)
    size = sides if isinstance(stored, bytes) else pixels.shape[:2]
    return Made("jpg", _jpeg(_shrunk(pixels, size, short_side), quality), made.remarks)


def _unchanged(stored: Stored, told: Header) -> Made:
    if isinstance(stored, bytes):
        picture(stored, SCALED)  # which reads it to its end
        return Made(JPEGS.get(told.format, told.format.lower()), stored)
    made = picture(stored)
    return Made("png", _png(made.pixels), made.remarks)


def _shrunk(pixels: Pixels, size: tuple[int, ...], short_side: int) -> Pixels:
    """Pixels (H, W, C) of an image of this size, (H, W), with a shorter side of so many."""
    height, width = (max(short_side, round(side * short_side / min(size))) for side in size)
    return on_canvas(pixels, Canvas(height, width, pixels.shape[2], pixels.dtype))


def _jpeg(pixels: Pixels, quality: int) -> bytes:
    return _saved(pixels, "JPEG", quality=quality, subsampling="4:2:0")  # as cameras have it, and the fastest to decode


def _png(pixels: Pixels) -> bytes:
    """Pixels in a file that gives the very same. Raises DecodeError where there is none."""
    levels = {np.dtype(np.uint8): (1, 3), np.dtype(np.uint16): (1,)}
    if pixels.shape[2] not in levels.get(pixels.dtype, ()):
        raise DecodeError(f"{pixels.dtype} in {pixels.shape[2]} channels is in no image file that could be packed")
    return _saved(pixels, "PNG")


def _saved(pixels: Pixels, kind: str, **how: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, kind, **how)
    return file.getvalue()


def _members(made: Made, key: str, label: str | None) -> Members:
    """The image, and in a .json its key and label; both as they are, bytes that are no UTF-8 as escapes."""
    told = {"key": key} | ({} if label is None else {"label": label})
    return [(made.ending, made.content), ("json", json.dumps(told).encode())]
