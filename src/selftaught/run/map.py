"""The map in a run folder: read with care, as anybody may have written it."""

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict

from selftaught.system.arrays import array_in
from selftaught.system.reading import json_in
from selftaught.system.regular import regular_bytes

FOLDER = "map"
START = "start.json"
PATCHES = "patches.{}.webp"  # of the start and of the end: a tile for each asked sample
LARGEST = 64 << 20  # bytes of any of its files
MOST = 100_000  # samples: of more the sheet of thumbnails would be wider than a WebP can be
RATE = 8000  # of sounds that are kept, values a second

Rows = NDArray[np.int64]
Array = NDArray[Any]


class Facts(BaseModel):
    """What is kept of the network at one step."""

    model_config = ConfigDict(extra="forbid")

    step: int
    keys: list[str]
    asked: list[int]  # places among the keys
    nearest: list[list[int]]  # of each asked, by the cosine of their features, the nearest first
    columns: int = 0  # of the sheet of thumbnails
    heard: list[int] = []  # places whose sounds are kept
    cell: tuple[int, int] = (0, 0)  # width and height of one, in pixels; nothing where samples are no images
    texts: list[str] = []  # how each begins, where samples are texts


@dataclass
class EmbeddingMap:
    """What a run folder holds of its map."""

    start: Facts | None
    end: Facts
    points: Array  # (N, K) components of the features
    sheet: Image.Image | None
    sounds: dict[int, NDArray[np.int16]]  # of some places
    patches: dict[str, list[Image.Image]]  # of "start" and "end", where there are any, a tile for each asked sample


def read_map(folder: Path) -> EmbeddingMap | None:
    """The map in a run folder; None where there is none, or none that holds together."""
    place = folder / FOLDER
    end = None if place.is_symlink() else read_facts(place / "end.json")
    if end is None:
        return None
    try:
        points = array_in(place / "points.npy", LARGEST)
    except (OSError, ValueError, EOFError):
        return None
    if points.ndim != 2 or len(points) != len(end.keys) or not points.size or not np.isfinite(points).all():
        return None
    start = read_facts(place / START)
    if start and (start.keys, start.asked) != (end.keys, end.asked):
        start = None
    sheet, sounds = _read_sheet(place / "sheet.webp", end), _read_sounds(place / "sounds.npy", end)
    patches = {when: _read_tiles(place / PATCHES.format(when), len(end.asked)) for when in ("start", "end")}
    shown = {when: tiles for when, tiles in patches.items() if tiles and (when == "end" or start)}
    return EmbeddingMap(start, end, points.astype(np.float64), sheet, sounds, shown)


def read_facts(file: Path) -> Facts | None:
    try:
        facts = Facts.model_validate(json_in(file, limit=LARGEST))
    except (OSError, ValueError):
        return None
    places = [*facts.asked, *(place for near in facts.nearest for place in near)]
    held = all(0 <= place < len(facts.keys) for place in places) and len(facts.asked) == len(facts.nearest)
    held = held and len(facts.texts) in (0, len(facts.keys))
    return facts if held and facts.columns >= 0 and min(facts.cell) >= 0 else None


def _read_sounds(file: Path, facts: Facts) -> dict[int, NDArray[np.int16]]:
    if not facts.heard:
        return {}
    try:
        sounds = array_in(file, LARGEST)
    except (OSError, ValueError, EOFError):
        return {}
    return dict(zip(facts.heard, sounds)) if sounds.ndim == 2 and sounds.dtype == np.int16 else {}


def _read_sheet(file: Path, facts: Facts) -> Image.Image | None:
    if not facts.columns or not min(facts.cell):
        return None
    lines = math.ceil(len(facts.keys) / facts.columns)
    sheet = _read_picture(file)
    return sheet if sheet and sheet.size == (facts.columns * facts.cell[0], lines * facts.cell[1]) else None


def _read_tiles(file: Path, count: int) -> list[Image.Image]:
    """So many tiles that lie side by side; none where the file holds another number."""
    strip = _read_picture(file)
    if not strip or not count or strip.width % count:
        return []
    wide = strip.width // count
    return [strip.crop((place * wide, 0, (place + 1) * wide, strip.height)) for place in range(count)]


def _read_picture(file: Path) -> Image.Image | None:
    try:
        with Image.open(io.BytesIO(regular_bytes(file, LARGEST)), formats=["WEBP"]) as image:
            return image.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
