"""Images decoded once and kept, on a bounded canvas and in the source's own number type."""

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from selftaught.data.images import decode as decoding
from selftaught.data.images.canvas import Canvas, Pixels, canvas_for, convert_channels, on_canvas
from selftaught.data.images.decode import attempt, decode
from selftaught.data.images.preparation import Preparation, preparation_of
from selftaught.data.images.views import Views
from selftaught.data.opening import Opened, Rows, chosen
from selftaught.data.sources.arrays import Arrays
from selftaught.data.sources.files import Files
from selftaught.data.sources.folder import DANGLING, NO_FAULTS, OUTSIDE
from selftaught.data.sources.open import open_source
from selftaught.data.sources.source import digest
from selftaught.data.storage import MEMORY, Decoded, Failures, Progress, Refuse, Resident, Storage, Work, stored
from selftaught.system.errors import BrokenData, DataError
from selftaught.system.interruption import poll
from selftaught.system.saying import say
from selftaught.system.text import printable

TOLERANCE = 0.01  # the share of images that may be broken, where the user names none
NAMED = 3  # of the broken images, in an error
OTHER_RANGE = 100  # values that are so many times larger or smaller mean something else
REMEDY = "put each class in a folder of its own, name a CSV of path,label, or add 'y' to the .npz"
PROBED = 64  # images looked at before all are decoded, to choose canvas, channels and number type


class Images(Opened):
    """Images by row number; `rows` are theirs in the storage."""

    storage: Storage
    rows: Rows

    def keep(self, rows: Rows) -> None:
        self.rows = self.rows[rows]

    def batch(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) in the stored type and layout, and the true aspect (width / height) of each (B,)."""
        pixels, aspect = self.storage.take(self.rows[rows])
        pixels = convert_channels(pixels, self.preparation.channels)
        return torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.from_numpy(aspect)

    def prefetch(self, rows: Rows) -> None:
        """A hint that the batch of `rows` will be wanted soon."""
        self.storage.prefetch(self.rows[rows])

    def views(self, names: Sequence[str], **how: Any) -> Views:
        """What makes these views of the images."""
        return Views(names, self.preparation, **how)


def open_samples(
    data: str | Path | Pixels,
    *,
    size: tuple[int, int] | None = None,
    like: Preparation | None = None,
    labels: Path | None = None,
    labelled: bool = False,
    limit: int | None = None,
    seed: int = 0,
    memory: int = MEMORY,
    cache: int | None = None,
    workers: int | None = None,
    tolerance: float = TOLERANCE,
    native: bool = True,
    progress: Progress = lambda done, total: None,
) -> Images:
    """Index, decode and keep the images of `data`.

    size: (H, W) of a plain view; like: the preparation of an existing encoder, used unchanged; memory, cache: bytes of
    decoded images to hold (see storage); tolerance: the share of images that may fail to decode; native: see
    `canvas_for`; the rest: see `chosen`. Raises DataError.
    """
    source = open_source(data)
    wanted = chosen(source, "images", REMEDY, labels=labels, labelled=labelled, limit=limit, seed=seed)
    rows = wanted.rows
    storage: Storage
    quarantined: Failures = []
    if isinstance(source, Arrays):
        storage, kept, places = _resident(source.images), np.arange(len(rows)), rows
    else:
        refuse = partial(_refuse, source.name, len(rows), tolerance)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about odd metadata; what matters is an error
            seen = _examples(source, rows, refuse, progress)
            canvas = canvas_for(seen, size or (like.size if like else None), like, native)
            work = _work(source, rows, canvas, refuse, workers, progress)
            storage, kept = stored(work, memory, cache)
        quarantined, places = [*work.quarantined, *_unread(source)], np.arange(len(kept))
    preparation = like or preparation_of(lambda rows: storage.take(places[rows])[0], len(places), size)
    if like:
        _refuse_unlike(source.name, storage, places, like)
    images = Images(wanted, preparation, kept, quarantined)
    images.storage, images.rows = storage, places
    return images


def _resident(pixels: Pixels) -> Resident:
    """Images (N, H, W, C) that are pixels already."""
    if pixels.dtype == np.float64:
        pixels = pixels.astype(np.float32)
    return Resident(pixels, np.full(len(pixels), pixels.shape[2] / pixels.shape[1], np.float32))


def _work(source: Files, rows: Rows, canvas: Canvas, refuse: Refuse, workers: int | None, progress: Progress) -> Work:
    """What has to be decoded."""

    def read(place: int) -> Decoded:
        image = _read(source, int(rows[place]), canvas.shape[:2])
        return image if isinstance(image, str) else (on_canvas(image, canvas), image.shape[1] / image.shape[0])

    # Two decoders may round differently, so what one has made is not taken for the other's.
    made_by = source.stamp(), digest(rows.tobytes()), str(canvas), decoding.jpeg_decoder()
    name, keys = digest(*made_by, between=b"\n"), [source.keys[row] for row in rows]
    return Work(read, canvas.shape, canvas.dtype, name, keys, refuse, workers, progress)


def _unread(source: Files) -> Failures:
    """What was passed over for a fault of its own; links that are not followed are counted aloud."""
    if links := sum(reason in (OUTSIDE, DANGLING) for _, reason in source.ignored):
        say(f"warning: {links:,} links in {printable(source.name)} lead out of the folder or to nothing: not followed")
    return [(key, reason) for key, reason in source.ignored if reason not in NO_FAULTS]


def _refuse_unlike(name: str, storage: Storage, places: Rows, like: Preparation) -> None:
    """Raise DataError where the stored images are not of the kind that an encoder takes."""
    channels = storage.shape[2]
    if channels != like.channels and {channels, like.channels} != {1, 3}:
        raise DataError(f"{name} has {channels} channels, the encoder takes {like.channels}")
    _refuse_other_values(name, storage.take(places[:PROBED])[0], like)


def _refuse_other_values(name: str, pixels: Pixels, like: Preparation) -> None:
    """Values of quite another range, such as [0, 1] for [0, 255], would all look the same to the encoder."""
    top, span = float(pixels.max()), like.high - like.low
    eight_bit = pixels.dtype == np.uint8 and (like.low, like.high) == (0, 255)  # black is black
    if not eight_bit and not span / OTHER_RANGE <= top - like.low <= span * OTHER_RANGE:
        raise DataError(
            f"{name} holds values up to {top:g}, the encoder takes {like.low:g} to {like.high:g}: scale them alike"
        )


def _refuse(name: str, count: int, tolerance: float, failed: Failures) -> None:
    """Raise BrokenData where too many of `count` images cannot be decoded."""
    if len(failed) > tolerance * count or len(failed) == count:
        first = "; then ".join(f"{printable(key)}: {reason}" for key, reason in failed[:NAMED])
        allowed = f", more than {100 * tolerance:g}%" if tolerance < 1 else ""
        message = f"{len(failed)} of {count} images in {printable(name)} cannot be decoded{allowed}"
        raise BrokenData(f"{message}; the first is {first}", name, failed)


def _examples(source: Files, rows: Rows, refuse: Refuse, progress: Progress) -> list[Pixels]:
    """A few evenly spread images, or the first that can be decoded; where there is none, all are refused."""
    probe = rows[np.linspace(0, len(rows) - 1, min(len(rows), PROBED)).astype(int)]
    tried = []
    for row in probe.tolist():
        poll()
        tried.append(_read(source, row, None))
    if seen := [image for image in tried if not isinstance(image, str)]:
        return seen
    failed: Failures = []
    for done, row in enumerate(rows.tolist()):
        image = _read(source, row, None)
        if not isinstance(image, str):
            return [image]
        failed.append((source.keys[row], image))
        progress(done + 1, len(rows))
    refuse(failed)
    raise AssertionError("not reached: all images failed")


def _read(source: Files, row: int, at_least: tuple[int, int] | None) -> Pixels | str:
    """Decoded pixels, or the reason why there are none."""
    return attempt(lambda: decode(source.read(row), at_least))
