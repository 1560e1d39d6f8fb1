"""Images decoded once and kept, on a bounded canvas and in the source's own number type."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from selftaught.data.first_pass import Every, Sampled, by_sample
from selftaught.data.images.canvas import (
    WHOLE,
    Canvas,
    Pixels,
    Values,
    canvas_for,
    convert_channels,
    level_of_white,
    on_canvas,
    squashed,
)
from selftaught.data.images.decode import attempt, libraries, picture
from selftaught.data.images.decoded import WHITE, Picture, Reading, type_of
from selftaught.data.images.nvjpeg import CUDA, OPTION, card
from selftaught.data.images.pages import paged
from selftaught.data.images.preparation import CHUNK, Preparation, preparation_of
from selftaught.data.images.sampling import PROBED, Looking, examples_of, most_are_bands
from selftaught.data.images.telling import (
    refuse_broken,
    refuse_other_values,
    tell_cut,
    tell_depths,
    tell_remarks,
    unread,
)
from selftaught.data.images.views import Views
from selftaught.data.opening import Opened, Rows, chosen, picked
from selftaught.data.replacing import Replacing
from selftaught.data.sources.arrays import NOT_FINITE, Arrays
from selftaught.data.sources.encoded import Encoded, Stored
from selftaught.data.sources.labels import labels_for
from selftaught.data.sources.open import open_source
from selftaught.data.sources.source import Progress, digest
from selftaught.data.storage import MEMORY, Decoded, Failures, Refuse, Resident, Storage, Work, stored
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import printable

TOLERANCE = 0.01  # the share of images that may be broken, where the user names none
REMEDY = "put each class in a folder of its own, name a CSV of path,label, or add 'y' to the .npz"
MADE_AS = "3"  # another number where the same bytes give other pixels than an earlier version of this code made


class Images(Opened):
    """Images by row number; `rows` are theirs in the storage."""

    storage: Storage
    rows: Rows
    values: Values  # of what is given

    def keep(self, rows: Rows) -> None:
        self.rows = self.rows[rows]

    def batch(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) in the stored type and layout, and the true aspect (width / height) of each (B,)."""
        pixels, aspect = self.storage.take(self.rows[rows])
        pixels = convert_channels(self.values(pixels), self.preparation.channels)
        if self.preparation.canvas:  # of another size are arrays alone, which are not copied to be kept
            pixels = squashed(pixels, self.preparation.canvas)
        return torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.from_numpy(aspect)

    def prefetch(self, rows: Rows) -> None:
        """A hint that the batch of `rows` will be wanted soon."""
        self.storage.prefetch(self.rows[rows])

    def replaced(self, rows: Rows) -> Mapping[int, str]:
        return self.storage.replaced(self.rows[rows]) if isinstance(self.storage, Replacing) else {}

    def know_broken(self, broken: Mapping[int, str]) -> None:
        if isinstance(self.storage, Replacing):
            self.storage.broken.update(broken)

    def seen(self, row: int, side: int) -> Pixels | None:
        """A photo as its file has it; None of measured values, and of what cannot be read any more."""
        assert self._source, "the source has been let go"
        source, rows = self._source
        if not isinstance(source, Encoded):
            return None
        way = Reading.of(self.preparation)
        read = attempt(lambda: picture(source.read(int(rows[row])), (side, side), self.preparation.band, way).pixels)
        if isinstance(read, str) or read.dtype != np.uint8 or read.shape[2] not in (1, 3):
            return None
        image = PIL.Image.fromarray(np.broadcast_to(read, (*read.shape[:2], 3)))
        image.thumbnail((side, side))
        return np.asarray(image)

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
    reading: Mapping[str, Any] | None = None,
    first_pass: str = "all",
    device: str = "cpu",
    progress: Progress = lambda done, total: None,
) -> Images:
    """Index, decode and keep the images of `data`.

    size: (H, W) of a plain view; like: the preparation of an existing encoder, used unchanged; memory, cache: bytes of
    decoded images to hold (see storage); tolerance: the share of images that may fail to decode, or hold values that
    are not finite; native: see `canvas_for`; reading: how files are read where that is not by `like`, as fields of
    `decoded.Reading`; first_pass: whether all are looked at now, see `by_sample`; device: the type of that
    which trains on them, by which photos have a size where none is named; label_column: the column of labels,
    of data that has columns or, where `labels` names one, of that file; column: of data that has columns the one of
    images; the rest: see `chosen`. Raises DataError and UsageError.
    """
    source = open_source(data, label_column if labels is None else None, column)
    way = Reading.of(like) if like else Reading(**(reading or {}))
    if way.jpeg_decoder == CUDA:
        if not isinstance(source, Encoded):
            raise UsageError(f"{OPTION} is for image files, and {printable(source.name)} holds pixels: leave it out")
        way = replace(way, jpeg_decoder=card())
    if way.pages == "samples" and isinstance(source, Encoded):
        if labels is not None:  # which are those of files
            source.labels, labels = labels_for(labels, source.keys, "images", label_column, source.note), None
        source = paged(source, progress)
    how: dict[str, Any] = {"labels": labels, "label_column": label_column, "labelled": labelled}
    looking = _looking(source, first_pass, limit)
    wanted = chosen(source, "images", REMEDY, limit=limit, seed=seed, unheld=bool(looking), named=data, **how)
    rows: Any = wanted.rows
    tried = rows[looking.sampled.rows] if looking else rows
    seen: list[Pixels] = []  # examples
    refuse = partial(refuse_broken, source.name, len(tried), tolerance, bool(looking), like, seen)
    storage: Storage
    kept: Any = slice(None)
    quarantined: Failures = []
    band, white = None, None
    if isinstance(source, Arrays):
        storage = _resident(source)
        kept, quarantined = _finite(source, storage, rows, refuse, progress)
        places: Any = rows[kept]
        limits = (0.0, WHITE[str(type_of(source.dtype))]) if way.range == "each" else None
        values = Values(type_of(source.dtype) if limits else source.dtype, None, own=bool(limits))
        seen += [values(storage.take(places[:PROBED])[0])]
        white = limits and round(limits[1])
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about odd metadata; what matters is an error
            examples = examples_of(source, tried, way, refuse, progress)
            seen += [example.pixels for example in examples]
            whole = 2 * sum(example.scaled for example in examples) > len(examples)
            canvas = canvas_for(
                seen, size or (like.size if like else None), like, native, WHOLE if whole else None, device
            )
            white, band = canvas.top, _band(examples, like)
            limits, values = (0.0, WHITE[str(canvas.dtype)]) if whole else None, Values(canvas.dtype)
            work = _work(source, rows, canvas, band, way, refuse, workers, progress, looking)
            if looking:
                storage, places = looking.begin(work, seed), Every(len(rows))
            else:
                source.contents.recall()
                storage, kept = stored(work, memory, cache)
                places = np.arange(len(kept))
        source.contents.remember()
    if isinstance(way.range, tuple):
        limits, values = way.range, replace(values, span=way.range)
        white = round(limits[1]) if 255 <= limits[1] <= WHOLE else white
        tell_cut(source.name, seen, limits)

    def shown(rows: Rows) -> Pixels:
        return values(looking.take(rows) if looking else storage.take(places[rows])[0])

    preparation = like or preparation_of(shown, len(places), size, white, band, limits, device)
    if not like:
        preparation = preparation.model_copy(update={**way.recorded(), "canvas": storage.shape[:2]})
    if isinstance(source, Encoded):
        quarantined = looking.end(refuse, wanted.former_fingerprint) if looking else work.quarantined
        tell_remarks(source.name, work)
        quarantined = [*quarantined, *unread(source)]
    images = Images(wanted, preparation, kept, quarantined, looking.sampled if looking else None)
    images.storage, images.rows = storage, places
    images.values = _values(values, seen, preparation, white)
    tell_depths(source.name, seen, images.values, of_encoder=like is not None, known=bool(limits))
    if like:
        _refuse_unlike(source.name, images, like)
    return images


def _looking(source: Arrays | Encoded, first_pass: str, limit: int | None) -> Looking | None:
    """What looks at a sample, where not all images are to be decoded before they are wanted."""
    count = min(len(source), limit or len(source))
    return Looking(Sampled(count)) if isinstance(source, Encoded) and by_sample(first_pass, count) else None


def _values(stored: Values, seen: list[Pixels], preparation: Preparation, white: int | None) -> Values:
    """What `Images` gives: levels as the encoder takes them; what else is stored, as it is."""
    levels = ("uint8", "uint16")
    wanted = preparation.stored if stored.dtype in levels and preparation.stored in levels else stored.dtype
    return replace(stored, dtype=np.dtype(wanted), top=level_of_white(seen, preparation, np.dtype(wanted), white))


def _band(examples: list[Picture], like: Preparation | None) -> bool | None:
    """Whether what TIFFs tag as alpha is a band: as the encoder has it, or as most of the examples look."""
    if like and (like.band is not None or like.stored is None):
        return bool(like.band)  # it was transparency before anybody asked
    return most_are_bands(example.band for example in examples)


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
    way: Reading,
    refuse: Refuse,
    workers: int | None,
    progress: Progress,
    looking: Looking | None,
) -> Work:
    """What has to be decoded; of what only `looking` asks for little is noted, as there may be any number of it."""
    noted: dict[int, list[str]] = {}

    def fetched(place: int) -> Stored:
        data = source.read(int(rows[place])) if looking else source.fetch(int(rows[place]))
        if looking:
            looking.note(place, data)
        return data

    def made(place: int) -> Decoded:
        image = picture(fetched(place), canvas.shape[:2], band, way)
        if image.remarks and (looking is None or place in looking.sampled):
            noted[place] = list(image.remarks)
        return on_canvas(image.pixels, canvas), image.pixels.shape[1] / image.pixels.shape[0]

    def read(place: int) -> Decoded:
        return attempt(lambda: made(place))

    def name() -> str | None:
        # To read most of them only to know what they are would cost more than to decode them, in vain at times.
        if 2 * source.contents.known[rows].sum() < len(rows):
            return None
        # Two decoders, or versions of one, may round differently: what one has made is not taken for the other's.
        made_as = MADE_AS + ".1" * (canvas.dtype.kind == "f")  # measured values were once rounded where images shrank
        made_by = f"{canvas} {band} {way}", *libraries(way).values(), made_as
        return digest(source.digests(rows, progress).tobytes(), *made_by, between=b"\n")

    keys = picked(source.keys, rows)
    return Work(read, canvas.shape, canvas.dtype, name, keys, refuse, workers, progress, noted=noted)


def _refuse_unlike(name: str, images: Images, like: Preparation) -> None:
    """Raise DataError where images are not of the kind that an encoder takes."""
    channels = images.storage.shape[2]
    if channels != like.channels and {channels, like.channels} != {1, 3}:
        raise DataError(f"{name} has {channels} channels, the encoder takes {like.channels}")
    pixels = images.storage.take(images.rows[:PROBED])[0]
    refuse_other_values(name, images.values(pixels), like)
