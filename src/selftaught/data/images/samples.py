"""Images decoded once and kept, on a bounded canvas and in the source's own number type."""

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from torch import Tensor

from selftaught.data.images import decode as decoding
from selftaught.data.images.canvas import (
    Canvas,
    Pixels,
    canvas_for,
    convert_channels,
    in_values,
    level_of_white,
    on_canvas,
)
from selftaught.data.images.decode import Picture, attempt, picture
from selftaught.data.images.overlooked import overlooked, remarked
from selftaught.data.images.preparation import CHUNK, Preparation, brightest, preparation_of
from selftaught.data.images.views import Views
from selftaught.data.opening import Opened, Rows, chosen, picked
from selftaught.data.sources.arrays import NOT_FINITE, Arrays
from selftaught.data.sources.encoded import Encoded
from selftaught.data.sources.folder import NO_FAULTS
from selftaught.data.sources.open import open_source
from selftaught.data.sources.source import Progress, digest
from selftaught.data.storage import MEMORY, Decoded, Failures, Refuse, Resident, Storage, Work, stored
from selftaught.system.errors import BrokenData, DataError
from selftaught.system.interruption import poll
from selftaught.system.saying import say
from selftaught.system.text import printable

TOLERANCE = 0.01  # the share of images that may be broken, where the user names none
NAMED = 3  # of the broken images, in an error
FAR = 4  # times: so much of the range of 16 bits may be unused by chance
OTHER_RANGE = 100  # values that are so many times larger or smaller mean something else
REMEDY = "put each class in a folder of its own, name a CSV of path,label, or add 'y' to the .npz"
MADE_AS = "2"  # another number where the same bytes give other pixels than an earlier version of this code made
PROBED = 64  # images looked at before all are decoded, to choose canvas, channels and number type


class Images(Opened):
    """Images by row number; `rows` are theirs in the storage."""

    storage: Storage
    rows: Rows
    values: tuple[np.dtype, int | None]  # number type of what is given, and see `in_values`

    def keep(self, rows: Rows) -> None:
        self.rows = self.rows[rows]

    def batch(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) in the stored type and layout, and the true aspect (width / height) of each (B,)."""
        pixels, aspect = self.storage.take(self.rows[rows])
        pixels = convert_channels(in_values(pixels, *self.values), self.preparation.channels)
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
    label_column: str | None = None,
    column: str | None = None,
    labelled: bool = False,
    limit: int | None = None,
    seed: int = 0,
    memory: int = MEMORY,
    cache: int | None = None,
    workers: int | None = None,
    tolerance: float = TOLERANCE,
    native: bool = True,
    progress: Progress = lambda done, total: None,
    **others: Any,
) -> Images:
    """Index, decode and keep the images of `data`.

    size: (H, W) of a plain view; like: the preparation of an existing encoder, used unchanged; memory, cache: bytes of
    decoded images to hold (see storage); tolerance: the share of images that may fail to decode, or hold values that
    are not finite; native: see `canvas_for`; label_column: the column of labels, of data that has columns or, where
    `labels` names one, of that file; column: of data that has columns the one of images; the rest: see `chosen`.
    Raises DataError and UsageError.
    """
    source = open_source(data, label_column if labels is None else None, column)
    how: dict[str, Any] = {"labels": labels, "label_column": label_column, "labelled": labelled}
    wanted = chosen(source, "images", REMEDY, limit=limit, seed=seed, **how)
    rows, refuse = wanted.rows, partial(_refuse, source.name, len(wanted.rows), tolerance)
    storage: Storage
    quarantined: Failures = []
    top, band = None, None
    if isinstance(source, Arrays):
        storage = _resident(source)
        kept, quarantined = _finite(source, storage, rows, refuse, progress)
        places = rows[kept]
        seen = [storage.take(places[:PROBED])[0]]
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about odd metadata; what matters is an error
            examples = _examples(source, rows, refuse, progress)
            seen = [example.pixels for example in examples]
            canvas = canvas_for(seen, size or (like.size if like else None), like, native)
            top, band = canvas.top, _band(examples, like)
            source.contents.recall()
            work = _work(source, rows, canvas, band, refuse, workers, progress)
            storage, kept = stored(work, memory, cache)
        source.contents.remember()
        _tell_remarks(source.name, work)
        quarantined, places = [*work.quarantined, *_unread(source)], np.arange(len(kept))
    preparation = like or preparation_of(lambda rows: storage.take(places[rows])[0], len(places), size, top, band)
    images = Images(wanted, preparation, kept, quarantined)
    images.storage, images.rows = storage, places
    images.values = _values(storage, seen, preparation)
    _tell_depths(source.name, seen, images.values, of_encoder=like is not None)
    if like:
        _refuse_unlike(source.name, images, like)
    return images


def _values(storage: Storage, seen: list[Pixels], preparation: Preparation) -> tuple[np.dtype, int | None]:
    """What `Images` gives: levels as the encoder takes them; what else is stored, as it is."""
    levels = ("uint8", "uint16")
    wanted = preparation.stored if storage.dtype in levels and preparation.stored in levels else storage.dtype
    return np.dtype(wanted), level_of_white(seen, preparation, np.dtype(wanted))


def _band(examples: list[Picture], like: Preparation | None) -> bool | None:
    """Whether what TIFFs tag as alpha is a band: as the encoder has it, or as most of the examples look."""
    if like and (like.band is not None or like.stored is None):
        return bool(like.band)  # it was transparency before anybody asked
    votes = [example.band for example in examples if example.band is not None]
    return 2 * sum(votes) > len(votes) if votes else None


def _resident(source: Arrays) -> Resident:
    """Images (N, H, W, C) that are pixels already."""
    aspect = source.images.shape[2] / source.images.shape[1]
    return Resident(source.images, np.full(len(source.images), aspect, np.float32), source.dtype)


def _finite(source: Arrays, storage: Storage, rows: Rows, refuse: Refuse, progress: Progress) -> tuple[Rows, Failures]:
    """Which of the rows hold finite values alone, and the keys of the others; too many of these are refused."""
    fine = np.ones(len(rows), bool)
    for start in range(0, len(rows) if storage.dtype.kind == "f" else 0, CHUNK):
        pixels, _ = storage.take(rows[start : start + CHUNK])
        fine[start : start + CHUNK] = np.isfinite(pixels).all(axis=(1, 2, 3))
        progress(min(start + CHUNK, len(rows)), len(rows))
    failed = [(source.keys[row], NOT_FINITE) for row in rows[~fine]]
    refuse(failed)
    return np.flatnonzero(fine), failed


def _work(
    source: Encoded,
    rows: Rows,
    canvas: Canvas,
    band: bool | None,
    refuse: Refuse,
    workers: int | None,
    progress: Progress,
) -> Work:
    """What has to be decoded."""
    noted: dict[int, list[str]] = {}

    def made(place: int) -> Decoded:
        image = picture(source.fetch(int(rows[place])), canvas.shape[:2], band)
        if image.remarks:
            noted[place] = list(image.remarks)
        return on_canvas(image.pixels, canvas), image.pixels.shape[1] / image.pixels.shape[0]

    def read(place: int) -> Decoded:
        return attempt(lambda: made(place))

    def name() -> str | None:
        # To read most of them only to know what they are would cost more than to decode them, in vain at times.
        if 2 * source.contents.known[rows].sum() < len(rows):
            return None
        # Two decoders may round differently, so what one has made is not taken for the other's.
        made_as = MADE_AS + ".1" * (canvas.dtype.kind == "f")  # measured values were once rounded where images shrank
        made_by = f"{canvas} {band}", decoding.jpeg_decoder(), PIL.__version__, made_as
        return digest(source.digests(rows, progress).tobytes(), *made_by, between=b"\n")

    keys = picked(source.keys, rows)
    return Work(read, canvas.shape, canvas.dtype, name, keys, refuse, workers, progress, noted=noted)


def _tell_remarks(name: str, work: Work) -> None:
    """Say what of the files is not used, once for each kind."""
    for line in remarked(work.remarks):
        say(f"warning: {printable(name)}: {line}")


def _tell_depths(name: str, seen: list[Pixels], values: tuple[np.dtype, int | None], of_encoder: bool) -> None:
    """Say where levels of 8 and of 16 bits meet, or those of 16 bits have another range than the encoder's."""
    (dtype, top), shown = values, printable(name)
    those = "what the encoder learnt from" if of_encoder else "most"
    eight, sixteen = ([image for image in seen if image.dtype == kind] for kind in (np.uint8, np.uint16))
    largest = max((int(image.max()) for image in sixteen), default=0)
    if dtype == np.uint16 and eight:
        say(f"warning: {shown} holds images of 8 bits, {those} has 16: 255 is taken for {top}")
    elif dtype == np.uint8 and sixteen:
        say(f"warning: {shown} holds images of 16 bits (up to {largest}), {those} has 8: {top} is taken for 255")
    elif of_encoder and sixteen and top and not top / FAR < brightest(largest) <= top:
        say(
            f"warning: {shown} holds values up to {largest}, and the encoder learnt from values up to {top}: scale "
            "them alike, where they do not mean the same"
        )


def _unread(source: Encoded) -> Failures:
    """What was passed over for a fault of its own; what else a person may miss is told aloud."""
    for line in overlooked(source):
        say(f"warning: {printable(source.name)}: {line}")
    return [(key, reason) for key, reason in source.ignored if reason not in NO_FAULTS]


def _refuse_unlike(name: str, images: Images, like: Preparation) -> None:
    """Raise DataError where images are not of the kind that an encoder takes."""
    channels = images.storage.shape[2]
    if channels != like.channels and {channels, like.channels} != {1, 3}:
        raise DataError(f"{name} has {channels} channels, the encoder takes {like.channels}")
    pixels = images.storage.take(images.rows[:PROBED])[0]
    _refuse_other_values(name, in_values(pixels, *images.values), like)


def _refuse_other_values(name: str, pixels: Pixels, like: Preparation) -> None:
    """Values of quite another range, such as [0, 1] for [0, 255], would all look the same to the encoder."""
    top, span = float(pixels.max()), like.high - like.low
    eight_bit = pixels.dtype == np.uint8 and (like.low, like.high) == (0, 255)  # black is black
    if not eight_bit and not span / OTHER_RANGE <= top - like.low <= span * OTHER_RANGE:
        raise DataError(
            f"{name} holds values up to {top:g}, the encoder takes {like.low:g} to {like.high:g}: scale them alike"
        )


def _refuse(name: str, count: int, tolerance: float, failed: Failures) -> None:
    """Raise BrokenData where too many of `count` images cannot be decoded, or used."""
    if too_many(failed, count, tolerance):
        verb = "used" if failed[0][1] == NOT_FINITE else "decoded"  # of an array they are pixels already
        raise BrokenData(counted(f"images in {printable(name)}", verb, count, tolerance, failed), name, failed)


def too_many(failed: Failures, count: int, tolerance: float) -> bool:
    """Whether more of `count` have failed than are allowed to, or all."""
    return len(failed) > tolerance * count or len(failed) == count


def counted(things: str, verb: str, count: int, tolerance: float, failed: Failures) -> str:
    """How many of what cannot be decoded or used, and why the first few are not."""
    first = "; then ".join(f"{printable(key)}: {reason}" for key, reason in failed[:NAMED])
    allowed = f", more than {100 * tolerance:g}%" if tolerance < 1 else ""
    return f"{len(failed)} of {count} {things} cannot be {verb}{allowed}; the first is {first}"


def _examples(source: Encoded, rows: Rows, refuse: Refuse, progress: Progress) -> list[Picture]:
    """A few evenly spread images, or the first that can be decoded; where there is none, all are refused."""
    probe = rows[np.linspace(0, len(rows) - 1, min(len(rows), PROBED)).astype(int)]
    tried = []
    for row in probe.tolist():
        poll()
        tried.append(_read(source, row))
    if seen := [image for image in tried if not isinstance(image, str)]:
        return seen
    failed: Failures = []
    for done, row in enumerate(rows.tolist()):
        image = _read(source, row)
        if not isinstance(image, str):
            return [image]
        failed.append((source.keys[row], image))
        progress(done + 1, len(rows))
    refuse(failed)
    raise AssertionError("not reached: all images failed")


def _read(source: Encoded, row: int) -> Picture | str:
    """What is decoded of an image, or the reason why nothing is."""
    return attempt(lambda: picture(source.read(row)))
