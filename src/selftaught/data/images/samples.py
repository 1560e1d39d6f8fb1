"""Images decoded once and kept, on a bounded canvas and in the source's own number type."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from selftaught.data.images import decode as decoding
from selftaught.data.images.canvas import Pixels, canvas_for, convert_channels, on_canvas
from selftaught.data.images.decode import DecodeError, decode
from selftaught.data.images.preparation import Preparation, measured
from selftaught.data.images.views import Views
from selftaught.data.sources.arrays import Arrays
from selftaught.data.sources.files import Files
from selftaught.data.sources.folder import DANGLING, NO_FAULTS, OUTSIDE
from selftaught.data.sources.open import open_source
from selftaught.data.storage import MEMORY, Decoded, Resident, Rows, Storage, Work, stored
from selftaught.system import randomness
from selftaught.system.errors import BrokenData, DataError
from selftaught.system.interruption import poll
from selftaught.system.saying import say
from selftaught.system.text import printable

TOLERANCE = 0.01  # the share of images that may be broken, where the user names none
TOLD = 3  # of the broken images are named in an error
OTHER_RANGE = 100  # values that are so many times larger or smaller mean something else
PROBED = 64  # images looked at before all are decoded, to choose canvas, channels and number type


class Images:
    """Images by row number, with keys and labels; `rows` are theirs in the storage."""

    def __init__(
        self,
        name: str,
        storage: Storage,
        rows: Rows,
        keys: Sequence[str],
        labels: list[str] | None,
        preparation: Preparation,
        fingerprint: str,
        quarantined: list[tuple[str, str]],
    ) -> None:
        self.name, self.storage, self.rows, self.keys, self.labels = name, storage, rows, keys, labels
        self.preparation, self.fingerprint, self.quarantined = preparation, fingerprint, quarantined
        self.count = len(rows)

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

    def subset(self, rows: Rows) -> "Images":
        """The same images, only those of `rows`."""
        keys = [self.keys[row] for row in rows]
        labels = [self.labels[row] for row in rows] if self.labels else None
        facts = (self.preparation, self.fingerprint, self.quarantined)
        return Images(self.name, self.storage, self.rows[rows], keys, labels, *facts)


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
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Images:
    """Index, decode and keep the images of `data`.

    size: (H, W) of a plain view; like: the preparation of an existing encoder, used unchanged; labels: a CSV of
    path,label; labelled: whether labels are wanted (then `limit` is stratified, and images without one are left
    out); limit: a random subset of this many; memory, cache: bytes of decoded images to hold (see storage);
    tolerance: the share of images that may fail to decode; native: see `canvas_for`. Raises DataError.
    """
    source = open_source(data, labels)
    if labelled and source.labels is None:
        raise DataError(
            f"{source.name} has no labels: put each class in a folder of its own, name a CSV of path,label, "
            "or add 'y' to the .npz"
        )
    told = source.labels if labelled else None
    usable = np.array([i for i, label in enumerate(told) if label]) if told else np.arange(len(source))
    if told and not len(usable):
        raise DataError(f"{source.name} has labels for none of its images")
    rows = randomness.subset(usable, told, limit, seed)
    fingerprint = _digest(source.fingerprint(), str(limit), str(seed) if limit else "")
    quarantined: list[tuple[str, str]] = []
    if isinstance(source, Arrays):
        pixels = source.images
        if pixels.dtype == np.float64:
            pixels = pixels.astype(np.float32)
        storage: Storage = Resident(pixels, np.full(len(pixels), pixels.shape[2] / pixels.shape[1], np.float32))
        kept, places = np.arange(len(rows)), rows
    else:
        assert isinstance(source, Files)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about odd metadata; what matters is an error
            side = size or (like.size if like else None)
            work = _work(source, rows, side, like, native, tolerance, workers, progress)
            storage, kept = stored(work, memory, cache)
        unread = [(key, reason) for key, reason in source.ignored if reason not in NO_FAULTS]
        if links := sum(reason in (OUTSIDE, DANGLING) for _, reason in source.ignored):
            say(
                f"warning: {links:,} links in {printable(source.name)} lead out of the folder or to nothing: "
                "not followed"
            )
        quarantined, places = [*work.quarantined, *unread], np.arange(len(kept))
    channels = storage.shape[2]
    preparation = like or measured(lambda chosen: storage.take(places[chosen])[0], len(places), size)
    if like and channels != like.channels and {channels, like.channels} != {1, 3}:
        raise DataError(f"{source.name} has {channels} channels, the encoder takes {like.channels}")
    if like:
        _refuse_other_values(source.name, storage.take(places[:PROBED])[0], like)
    keys = [source.keys[row] for row in rows[kept]]
    labels_kept = [told[row] for row in rows[kept]] if told else None
    return Images(source.name, storage, places, keys, labels_kept, preparation, fingerprint, quarantined)


def _refuse_other_values(name: str, pixels: Pixels, like: Preparation) -> None:
    """Values of quite another range, such as [0, 1] for [0, 255], would all look the same to the encoder."""
    top, span = float(pixels.max()), like.high - like.low
    eight_bit = pixels.dtype == np.uint8 and (like.low, like.high) == (0, 255)  # black is black
    if not eight_bit and not span / OTHER_RANGE <= top - like.low <= span * OTHER_RANGE:
        told = f"holds values up to {top:g}, the encoder takes {like.low:g} to {like.high:g}"
        raise DataError(f"{name} {told}: scale them alike")


def _work(
    source: Files,
    rows: Rows,
    size: tuple[int, int] | None,
    like: Preparation | None,
    native: bool,
    tolerance: float,
    workers: int | None,
    progress: Callable[[int, int], None],
) -> Work:
    """What has to be decoded; the canvas is chosen by a few evenly spread images."""

    def refuse(failed: list[tuple[str, str]]) -> None:
        if len(failed) > tolerance * len(rows) or len(failed) == len(rows):
            first = "; then ".join(f"{printable(key)}: {reason}" for key, reason in failed[:TOLD])
            allowed = f", more than {100 * tolerance:g}%" if tolerance < 1 else ""
            raise BrokenData(
                f"{len(failed)} of {len(rows)} images in {printable(source.name)} cannot be decoded{allowed}; "
                f"the first is {first}",
                source.name,
                failed,
            )

    probe = rows[np.linspace(0, len(rows) - 1, min(len(rows), PROBED)).astype(int)]
    found = []
    for row in probe:
        poll()
        found.append(_read(source, int(row), None))
    seen = [image for image in found if not isinstance(image, str)] or _first_whole(source, rows, refuse, progress)
    canvas = canvas_for(seen, size, like, native)

    def read(place: int) -> Decoded:
        image = _read(source, int(rows[place]), (canvas.height, canvas.width))
        return image if isinstance(image, str) else (on_canvas(image, canvas), image.shape[1] / image.shape[0])

    def key(place: int) -> str:
        return source.keys[rows[place]]

    # Two decoders may round differently, so what one has made is not taken for the other's.
    name = _digest(source.stamp(), _digest(rows.tobytes()), str(canvas), decoding.jpeg_decoder())
    shape = (canvas.height, canvas.width, canvas.channels)
    return Work(len(rows), read, shape, canvas.dtype, name, key, refuse, workers, progress)


def _first_whole(
    source: Files, rows: Rows, refuse: Callable[[list[tuple[str, str]]], None], progress: Callable[[int, int], None]
) -> list[Pixels]:
    """The first image that can be decoded; where there is none, all are refused."""
    failed: list[tuple[str, str]] = []
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
    try:
        return decode(source.read(row), at_least)
    except DecodeError as error:
        return str(error)
    except Exception as error:  # unreadable, vanished, or a broken archive member
        return f"cannot be read: {type(error).__name__}: {error}"


def _digest(*told: str | bytes) -> str:
    joined = b"\n".join(part.encode() if isinstance(part, str) else part for part in told)
    return hashlib.blake2b(joined, digest_size=16).hexdigest()
