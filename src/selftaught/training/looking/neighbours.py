"""Where an encoder puts samples and whom it takes for alike, kept in the run folder."""

import math
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder
from selftaught.contracts.modality import Pictures
from selftaught.contracts.samples import Samples
from selftaught.run.map import FOLDER, MOST, PATCHES, RATE, START, Array, Facts, read_facts
from selftaught.system.arrays import npy
from selftaught.system.files import spared, write_together
from selftaught.system.pictures import encoded
from selftaught.system.sounds import levels_of
from selftaught.system.text import printable
from selftaught.training.looking.features import estimate_norms, features, view_batches
from selftaught.training.looking.patches import patch_colours

SEEN_PER_SAMPLE, LEAST = 20, 256  # training sees so many times as many samples as the map holds, which costs little
KEPT = 50  # principal components of the features
CELL = 48  # pixels of a thumbnail's longer side
SNIPPET = 100  # letters of a text
ASKED, NEAREST = 8, 6  # samples whose neighbours are kept, and how many of each


def mapped(folder: Path, samples: Samples, wanted: int, seen: int) -> Samples:
    """The samples of a run's map: those it started with, or `wanted` at most, evenly spread, and few beside the
    `seen` ones of training."""
    start = read_facts(folder / FOLDER / START)
    count = min(wanted, MOST, samples.count, max(LEAST, seen // SEEN_PER_SAMPLE))
    count = min(len(start.keys), MOST, samples.count) if start else count
    return samples.subset(np.linspace(0, samples.count - 1, count).astype(np.int64))


def keep_start(folder: Path, encoder: Encoder, samples: Samples, fresh: bool) -> None:
    """Keep who is near whom before step 0, by a network whose statistics are measured first where it is `fresh`."""
    encoder = estimate_norms(encoder, samples) if fresh else encoder
    start = _neighbours(0, samples, features(encoder, samples))
    contents = {START: start.model_dump_json(), **_patches("start", encoder, samples, start)}
    with spared("the neighbours at the start"):
        (folder / FOLDER).mkdir(exist_ok=True)
        write_together(folder / FOLDER, contents)


def keep_end(folder: Path, step: int, encoder: Encoder, samples: Samples) -> None:
    """Keep where the network of `step` puts the samples, who is near whom, and a thumbnail of each."""
    z = features(encoder, samples)
    if not np.isfinite(z).all():
        return
    end = _neighbours(step, samples, z)
    contents: dict[str, str | bytes] = {}
    kind = modality.named(samples.preparation.modality)
    if kind.snippets:
        end.texts = _snippets(samples, kind.snippets)
    elif kind.PICTURES:
        sheet, end.columns, end.cell = _sheet(samples, kind.PICTURES)
        contents["sheet.webp"] = encoded(sheet, "WEBP")
    contents |= _patches("end", encoder, samples, end)
    end.heard, sounds = _sounds(samples, {*end.asked, *chain(*end.nearest)})
    if end.heard:
        contents["sounds.npy"] = npy(sounds)
    with spared("the map"):
        (folder / FOLDER).mkdir(exist_ok=True)
        contents |= {"points.npy": npy(components(z)), "end.json": end.model_dump_json()}
        write_together(folder / FOLDER, contents)


def _patches(when: str, encoder: Encoder, samples: Samples, facts: Facts) -> dict[str, str | bytes]:
    """A file of what places of the asked samples are to the encoder, where these can be looked at."""
    if not facts.asked or not modality.named(samples.preparation.modality).SPATIAL:
        return {}
    strip = patch_colours(encoder, samples.subset(np.array(facts.asked, np.int64)))
    return {PATCHES.format(when): encoded(strip, "WEBP")} if strip else {}


def components(z: Array) -> Array:
    """Features (N, D) by their first components (N, K); those of one sample, or of all alike, are 0."""
    from sklearn.decomposition import PCA  # half a second, spared before the first step

    with np.errstate(divide="ignore", invalid="ignore"):  # what share of the spread is each component's: nobody asks
        return PCA(min(KEPT, *z.shape), random_state=0).fit_transform(z).astype(np.float32)


def _neighbours(step: int, samples: Samples, z: Array) -> Facts:
    asked = np.unique(np.linspace(0, samples.count - 1, ASKED + 2).astype(np.int64)[1:-1])
    nearest = []
    if np.isfinite(z).all():
        unit = z / np.linalg.norm(z, axis=1, keepdims=True).clip(min=1e-12)
        for row in asked:
            cosine = unit @ unit[row]
            cosine[row] = -np.inf
            nearest.append(np.argsort(-cosine, kind="stable")[: min(NEAREST, samples.count - 1)].tolist())
    keys = [printable(key) for key in samples.keys]
    return Facts(step=step, keys=keys, asked=asked.tolist() if nearest else [], nearest=nearest)


def _snippets(samples: Samples, read: Callable[[Tensor, Any], list[str]]) -> list[str]:
    """How each sample begins, as it reads."""
    whole = (text for x in view_batches(samples) for text in read(x, samples.preparation))
    return [text[:SNIPPET] + "…" * (len(text) > SNIPPET) for text in whole]


def _sounds(samples: Samples, places: set[int]) -> tuple[list[int], Array]:
    """Of these places those that can be heard, and the middle second of each (N, RATE)."""
    heard, sounds = list[int](), []
    for place in sorted(places):
        if (sound := samples.heard(place, RATE)) is not None:
            start = max(0, len(sound) - RATE) // 2
            heard.append(place)
            sounds.append(np.pad(levels_of(sound[start : start + RATE]), (0, max(0, RATE - len(sound)))))
    return heard, np.array(sounds, np.int16)


def _sheet(samples: Samples, pictures: Pictures) -> tuple[Image.Image, int, tuple[int, int]]:
    """All thumbnails row by row, how many a row holds, and the width and height of one."""
    columns = math.ceil(math.sqrt(samples.count))
    shown = (one for x in view_batches(samples) for one in pictures.thumbnails(x, samples.preparation, CELL))
    for place, pixels in enumerate(shown):
        if place == 0:
            cell = pixels.shape[1], pixels.shape[0]
            sheet = Image.new("RGB", (columns * cell[0], math.ceil(samples.count / columns) * cell[1]))
        sheet.paste(Image.fromarray(pixels), (place % columns * cell[0], place // columns * cell[1]))
    return sheet, columns, cell
