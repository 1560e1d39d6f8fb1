"""Images decoded once and kept, on a bounded canvas and in the source's own number type."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .. import randomness
from ..errors import DataError
from ..files import write_json
from ..progress import plain
from .decode import DecodeError, decode
from .preparation import Preparation, default_size, measured
from .source import Arrays, Files, open_source

PROBED = 64  # images looked at before all are decoded, to choose canvas, channels and number type
NATIVE_CANVAS = 256  # images of one size up to this are kept as they are
BATCHED = 256  # images handed to the decoding threads at once
MEMORY_BUDGET = 2 << 30  # bytes; larger stores live in a memory-mapped file

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Layout:
    """What every stored image looks like."""

    height: int
    width: int
    channels: int
    dtype: np.dtype


class Images:
    """Stored images by row number: pixels (N, H, W, C), true aspect (width / height), keys and labels."""

    def __init__(
        self,
        name: str,
        pixels: Pixels,
        aspect: NDArray[np.float32],
        keys: Sequence[str],
        labels: list[str] | None,
        preparation: Preparation,
        fingerprint: str,
        quarantined: list[tuple[str, str]],
    ) -> None:
        self.name, self.pixels, self.aspect, self.keys, self.labels = name, pixels, aspect, keys, labels
        self.preparation, self.fingerprint, self.quarantined = preparation, fingerprint, quarantined
        self.count = len(pixels)

    def batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) in the stored number type, and the true aspect of each (B,)."""
        stored = np.ascontiguousarray(self.pixels[rows])
        pixels = _convert_channels(stored, self.preparation.channels)
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(self.aspect[rows])

    def subset(self, rows: NDArray[np.int64]) -> "Images":
        """The same images, only those of `rows`."""
        keys = [self.keys[row] for row in rows]
        labels = [self.labels[row] for row in rows] if self.labels else None
        arrays = self.pixels[rows], self.aspect[rows]
        return Images(self.name, *arrays, keys, labels, self.preparation, self.fingerprint, self.quarantined)


def open_images(
    data: str | Path | Pixels,
    *,
    size: tuple[int, int] | None = None,
    like: Preparation | None = None,
    labels: Path | None = None,
    labelled: bool = False,
    limit: int | None = None,
    seed: int = 0,
    memory_budget: int = MEMORY_BUDGET,
    workers: int | None = None,
    tolerance: float = 0.01,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Images:
    """Index, decode and keep the images of `data`.

    size: (H, W) of a plain view; like: the preparation of an existing encoder, used unchanged; labels: a CSV of
    path,label; labelled: whether labels are wanted (then `limit` is stratified, and images without one are left
    out); limit: a random subset of this many; tolerance: the share of images that may fail to decode.
    Raises DataError.
    """
    source = open_source(data, labels)
    if labelled and source.labels is None:
        raise DataError(
            f"{source.name} has no labels: put each class in a folder of its own, name a CSV of path,label, "
            "or add 'y' to the .npz"
        )
    rows = _chosen_rows(len(source), source.labels if labelled else None, limit, seed)
    wanted = [source.labels[row] for row in rows] if labelled and source.labels else None
    fingerprint = _digest(source.fingerprint(), str(limit), str(seed) if limit else "")
    if isinstance(source, Arrays):
        pixels = source.images if len(rows) == len(source) else source.images[rows]
        if pixels.dtype.kind == "f":
            pixels = pixels.astype(np.float32, copy=False)
        aspect = np.full(len(pixels), pixels.shape[2] / pixels.shape[1], np.float32)
        kept, quarantined = np.arange(len(rows)), list[tuple[str, str]]()
    else:
        assert isinstance(source, Files)
        side = size or (like.size if like else None)
        pixels, aspect, kept, quarantined = _decoded(
            source, rows, side, like, fingerprint, memory_budget, workers, tolerance, progress
        )
    keys = [source.keys[row] for row in rows[kept]]
    preparation = like or measured(pixels, size)
    if like and pixels.shape[3] != like.channels and {pixels.shape[3], like.channels} != {1, 3}:
        raise DataError(f"{source.name} has {pixels.shape[3]} channels, the encoder takes {like.channels}")
    told = [wanted[i] for i in kept] if wanted else None
    return Images(source.name, pixels, aspect, keys, told, preparation, fingerprint, quarantined)


def _chosen_rows(count: int, labels: list[str] | None, limit: int | None, seed: int) -> NDArray[np.int64]:
    """Rows to use, ascending: those with a label, where labels are wanted, and at most `limit` of them."""
    rows = np.array([i for i, label in enumerate(labels) if label]) if labels else np.arange(count)
    if limit is None or limit >= len(rows):
        return rows
    shuffled = rows[randomness.generator(seed, "limit").permutation(len(rows))]
    if labels:  # each class in proportion: every class's share comes first in its own shuffled order
        names = np.array(labels)[shuffled]
        place = np.empty(len(rows))
        for name in np.unique(names):
            own = np.flatnonzero(names == name)
            place[own] = (np.arange(len(own)) + 0.5) / len(own)
        shuffled = shuffled[np.argsort(place, kind="stable")]
    return np.sort(shuffled[:limit])


def _decoded(
    source: Files,
    rows: NDArray[np.int64],
    size: tuple[int, int] | None,
    like: Preparation | None,
    fingerprint: str,
    memory_budget: int,
    workers: int | None,
    tolerance: float,
    progress: Callable[[int, int], None],
) -> tuple[Pixels, NDArray[np.float32], NDArray[np.int64], list[tuple[str, str]]]:
    """Every image of `rows` on one canvas: pixels, aspects, which of the rows they are, and the failures."""
    layout = _layout(source, rows, size, like)
    shape = (len(rows), layout.height, layout.width, layout.channels)
    cache = None
    if int(np.prod(shape)) * layout.dtype.itemsize > memory_budget:
        cache = cache_folder() / f"{_digest(fingerprint, str(layout))}.npy"
        if cache.exists():
            facts = json.loads(cache.with_suffix(".json").read_text())
            aspect, kept = np.array(facts["aspect"], np.float32), np.array(facts["kept"], np.int64)
            pixels = np.load(cache, mmap_mode="r", allow_pickle=False)
            return pixels, aspect, kept, [(key, reason) for key, reason in facts["quarantined"]]
        cache.parent.mkdir(parents=True, exist_ok=True)
    temporary = cache.with_suffix(f".{os.getpid()}.tmp") if cache else None
    pixels = (
        np.lib.format.open_memmap(temporary, "w+", layout.dtype, shape) if temporary else np.empty(shape, layout.dtype)
    )
    aspect = np.empty(len(rows), np.float32)
    kept_rows: list[int] = []
    quarantined: list[tuple[str, str]] = []
    try:
        for i, image in enumerate(_read_all(source, rows, layout, workers)):
            if isinstance(image, str):
                quarantined.append((source.keys[rows[i]], image))
            else:
                place = len(kept_rows)
                pixels[place], aspect[place] = image
                kept_rows.append(i)
            progress(i + 1, len(rows))
        _refuse_too_many_failures(source, quarantined, len(rows), tolerance)
        kept, aspect = np.array(kept_rows, np.int64), aspect[: len(kept_rows)]
        if cache and temporary:
            np.memmap.flush(pixels)  # type: ignore[arg-type]
            told = {"aspect": aspect.tolist(), "kept": kept_rows}
            write_json(cache.with_suffix(".json"), {**told, "quarantined": [(plain(k), r) for k, r in quarantined]})
            temporary.replace(cache)
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)
    return pixels[: len(kept)], aspect, kept, quarantined


def _refuse_too_many_failures(source: Files, quarantined: list[tuple[str, str]], count: int, tolerance: float) -> None:
    if len(quarantined) > tolerance * count:
        key, reason = quarantined[0]
        error = DataError(
            f"{len(quarantined)} of {count} images in {source.name} cannot be decoded, more than {tolerance:.0%}; "
            f"the first is {plain(key)}: {reason}"
        )
        error.add_note("\n".join(f"{plain(key)}: {reason}" for key, reason in quarantined))
        raise error


def _layout(source: Files, rows: NDArray[np.int64], size: tuple[int, int] | None, like: Preparation | None) -> Layout:
    """Canvas, channels and number type, from a few evenly spread images."""
    probe = rows[np.linspace(0, len(rows) - 1, min(len(rows), PROBED)).astype(int)]
    seen = [image for row in probe if isinstance(image := _read(source, int(row), None), np.ndarray)]
    if not seen:
        _refuse_too_many_failures(source, [(source.keys[probe[0]], str(_read(source, int(probe[0]), None)))], 1, 0)
    sizes = {image.shape[:2] for image in seen}
    channels = 1 if all(image.shape[2] == 1 for image in seen) else 3
    if like and like.channels in (1, 3):
        channels = like.channels
    dtype = np.dtype(np.uint16 if all(image.dtype == np.uint16 for image in seen) else np.uint8)
    if len(sizes) == 1 and max(height_width := next(iter(sizes))) <= NATIVE_CANVAS:
        return Layout(height_width[0], height_width[1], channels, dtype)
    side = max(size or default_size(sizes))
    canvas = max(min(NATIVE_CANVAS, 2 * side), -(-8 * side // 7))
    return Layout(canvas, canvas, channels, dtype)


def _read_all(
    source: Files, rows: NDArray[np.int64], layout: Layout, workers: int | None
) -> Iterator[tuple[Pixels, float] | str]:
    """Each row's canvas and aspect, or why it failed, in order; decoded by threads a bounded number ahead."""
    wanted = (layout.height, layout.width)

    def one(row: int) -> tuple[Pixels, float] | str:
        image = _read(source, row, wanted)
        if isinstance(image, str):
            return image
        return _on_canvas(image, layout), image.shape[1] / image.shape[0]

    with warnings.catch_warnings(), ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        warnings.simplefilter("ignore")  # Pillow's, about odd metadata; what matters is an error
        for start in range(0, len(rows), BATCHED):
            yield from pool.map(one, rows[start : start + BATCHED].tolist())


def _read(source: Files, row: int, at_least: tuple[int, int] | None) -> Pixels | str:
    """Decoded pixels, or the reason why there are none."""
    try:
        return decode(source.read(row), at_least)
    except DecodeError as error:
        return str(error)
    except Exception as error:  # unreadable, vanished, or a broken archive member
        return f"cannot be read: {type(error).__name__}: {error}"


def _on_canvas(image: Pixels, layout: Layout) -> Pixels:
    """The image with the canvas's number type, channels and size."""
    if image.dtype != layout.dtype:
        image = (image // 257).astype(np.uint8) if layout.dtype == np.uint8 else image.astype(np.uint16) * 257
    image = _convert_channels(image, layout.channels)
    if image.shape[:2] == (layout.height, layout.width):
        return image
    # Squashed: the true aspect is kept beside it, and views draw their boxes in true geometry.
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return np.asarray(_resized(image, layout))
    planes = [np.asarray(_resized(plane.astype(np.float32), layout)) for plane in np.moveaxis(image, 2, 0)]
    return np.round(np.stack(planes, axis=2)).astype(layout.dtype)


def _resized(pixels: Pixels, layout: Layout) -> Image.Image:
    target = (layout.width, layout.height)
    return Image.fromarray(pixels).resize(target, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _convert_channels(pixels: Pixels, channels: int) -> Pixels:
    """Grey repeated to three channels, or colour mixed to grey (ITU-R 601); anything else is left."""
    own = pixels.shape[-1]
    if own == 1 and channels == 3:
        return np.repeat(pixels, 3, axis=-1)
    if own == 3 and channels == 1:
        grey = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        return (np.round(grey) if pixels.dtype.kind == "u" else grey).astype(pixels.dtype)[..., None]
    return pixels


def cache_folder() -> Path:
    """Where decoded images too large for memory live: $SELFTAUGHT_CACHE, or the user's cache folder."""
    return Path(os.environ.get("SELFTAUGHT_CACHE", Path.home() / ".cache" / "selftaught"))


def _digest(*told: str) -> str:
    return hashlib.blake2b("\n".join(told).encode(), digest_size=16).hexdigest()
