"""Where an encoder puts a run's samples, and whom it takes for alike: kept in the run folder, drawn on its page."""

import hashlib
import io
import json
import math
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError
from sklearn.decomposition import PCA

from ..encoder import Encoder
from ..files import folder_of, spared, write_atomically, write_together
from ..judging.features import estimate_norms, features, plain_batches
from ..modality import Samples
from ..progress import plain, say
from .pictures import encoded, visible

FOLDER = "map"
SEEN_PER_SAMPLE, LEAST = 20, 256  # training sees so many times as many samples as the map holds, which costs little
KEPT = 50  # principal components of the features
CELL = 48  # pixels of a thumbnail's longer side
ASKED, NEAREST = 8, 6  # samples whose neighbours are kept, and how many of each
EMBEDDED = 2000  # of the map's samples have a place by t-SNE, which takes seconds for so many
CLUSTERS = 10
LARGEST = 64 << 20  # bytes of any of its files

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
    cell: tuple[int, int] = (0, 0)  # width and height of one, in pixels; nothing where samples are no images


@dataclass
class EmbeddingMap:
    """What a run folder holds of its map."""

    start: Facts | None
    end: Facts
    points: Array  # (N, K) components of the features
    sheet: Image.Image | None


def mapped(folder: Path, samples: Samples, wanted: int, seen: int) -> Samples:
    """The samples of a run's map: those it started with, or `wanted` at most, evenly spread, and few beside the
    `seen` ones of training."""
    start = _read_facts(folder / FOLDER / "start.json")
    count = min(wanted, samples.count, max(LEAST, seen // SEEN_PER_SAMPLE))
    count = min(len(start.keys), samples.count) if start else count
    return samples.subset(np.linspace(0, samples.count - 1, count).astype(np.int64))


def keep_start(folder: Path, encoder: Encoder, samples: Samples, fresh: bool) -> None:
    """Keep who is near whom before step 0, by a network whose statistics are measured first where it is `fresh`."""
    found = features(estimate_norms(encoder, samples) if fresh else encoder, samples)
    with spared("the neighbours at the start"):
        (folder / FOLDER).mkdir(exist_ok=True)
        write_atomically(folder / FOLDER / "start.json", _facts(0, samples, found).model_dump_json())


def keep_end(folder: Path, step: int, encoder: Encoder, samples: Samples) -> None:
    """Keep where the network of `step` puts the samples, who is near whom, and a thumbnail of each."""
    found = features(encoder, samples)
    if not np.isfinite(found).all():
        return
    facts = _facts(step, samples, found)
    contents: dict[str, str | bytes] = {}
    if samples.preparation.modality == "images":
        sheet, facts.columns, facts.cell = _sheet(samples)
        contents["sheet.webp"] = encoded(sheet, "WEBP")
    components = min(KEPT, *found.shape)
    points = PCA(components, random_state=0).fit_transform(found).astype(np.float32)
    buffer = io.BytesIO()
    np.save(buffer, points, allow_pickle=False)
    with spared("the map"):
        (folder / FOLDER).mkdir(exist_ok=True)
        contents |= {"points.npy": buffer.getvalue(), "end.json": facts.model_dump_json()}
        write_together(folder / FOLDER, contents)


def _facts(step: int, samples: Samples, found: Array) -> Facts:
    asked = np.unique(np.linspace(0, samples.count - 1, ASKED + 2).astype(np.int64)[1:-1])
    nearest = []
    if np.isfinite(found).all():
        unit = found / np.linalg.norm(found, axis=1, keepdims=True).clip(min=1e-12)
        for row in asked:
            cosine = unit @ unit[row]
            cosine[row] = -np.inf
            nearest.append(np.argsort(-cosine, kind="stable")[: min(NEAREST, samples.count - 1)].tolist())
    keys = [plain(key) for key in samples.keys]
    return Facts(step=step, keys=keys, asked=asked.tolist() if nearest else [], nearest=nearest)


def _sheet(samples: Samples) -> tuple[Image.Image, int, tuple[int, int]]:
    """All thumbnails row by row, how many a row holds, and the width and height of one."""
    height, width = samples.preparation.size
    scale = min(1.0, CELL / max(height, width))
    cell = (max(1, round(width * scale)), max(1, round(height * scale)))
    columns = math.ceil(math.sqrt(samples.count))
    sheet = Image.new("RGB", (columns * cell[0], math.ceil(samples.count / columns) * cell[1]))
    place = 0
    for x in plain_batches(samples):
        small = x.float() if scale == 1 else F.interpolate(x.float(), cell[::-1], mode="bilinear", antialias=True)
        for pixels in visible(small, samples.preparation):
            sheet.paste(Image.fromarray(pixels), (place % columns * cell[0], place // columns * cell[1]))
            place += 1
    return sheet, columns, cell


def read_map(folder: Path) -> EmbeddingMap | None:
    """The map in a run folder; None where there is none, or none that holds together."""
    place = folder / FOLDER
    end = _read_facts(place / "end.json")
    if end is None:
        return None
    try:
        if (place / "points.npy").stat().st_size > LARGEST:
            return None
        points = np.load(place / "points.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if points.ndim != 2 or len(points) != len(end.keys) or not points.size or not np.isfinite(points).all():
        return None
    start = _read_facts(place / "start.json")
    if start and (start.keys, start.asked) != (end.keys, end.asked):
        start = None
    return EmbeddingMap(start, end, points.astype(np.float64), _read_sheet(place / "sheet.webp", end))


def _read_facts(file: Path) -> Facts | None:
    try:
        if file.stat().st_size > LARGEST:
            return None
        facts = Facts.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
    places = [*facts.asked, *(place for near in facts.nearest for place in near)]
    held = all(0 <= place < len(facts.keys) for place in places) and len(facts.asked) == len(facts.nearest)
    return facts if held and facts.columns >= 0 and min(facts.cell) >= 0 else None


def _read_sheet(file: Path, facts: Facts) -> Image.Image | None:
    if not facts.columns or not min(facts.cell):
        return None
    try:
        with Image.open(file, formats=["WEBP"]) as image:
            lines = math.ceil(len(facts.keys) / facts.columns)
            if image.size != (facts.columns * facts.cell[0], lines * facts.cell[1]):
                return None
            return image.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


@dataclass
class Layouts:
    """Places of samples in a plane, each coordinate in [0, 1], and their groups."""

    pca: Array  # (N, 2)
    tsne: Array  # (M, 2), of the rows below
    rows: Rows
    clusters: Rows  # (N,)


def layouts(folder: Path, points: Array) -> Layouts:
    """Places by PCA for all points and by t-SNE for a sample, and k-means clusters; made once for a run folder."""
    digest = hashlib.blake2b(np.ascontiguousarray(points).tobytes(), digest_size=16).hexdigest()
    rows = np.linspace(0, len(points) - 1, min(len(points), EMBEDDED)).astype(np.int64)
    file = folder / FOLDER / "layout.npz"
    try:
        with np.load(file, allow_pickle=False) as known:
            if str(known["of"]) == digest:
                return Layouts(_framed(points[:, :2]), known["tsne"], rows, known["clusters"])
    except (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile):
        pass
    tsne, clusters = _tsne(points[rows]), _clusters(points)
    buffer = io.BytesIO()
    np.savez(buffer, of=np.str_(digest), tsne=tsne, clusters=clusters)
    with spared("the layout of the map"):
        write_atomically(file, buffer.getvalue())
    return Layouts(_framed(points[:, :2]), tsne, rows, clusters)


def _tsne(points: Array) -> Array:
    from sklearn.manifold import TSNE

    if len(points) < 10 or points.shape[1] < 2 or np.ptp(points) == 0:
        return np.zeros((0, 2))
    perplexity = min(30.0, (len(points) - 1) / 3)
    return _framed(TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(points))


def _clusters(points: Array) -> Rows:
    from sklearn.cluster import KMeans

    count = min(CLUSTERS, len(np.unique(points, axis=0)))
    return np.asarray(KMeans(count, n_init=4, random_state=0).fit_predict(points), dtype=np.int64)


def _framed(places: Array) -> Array:
    """Places moved and scaled into the unit square, both axes alike."""
    if places.shape[1] < 2:
        places = np.pad(places, ((0, 0), (0, 2 - places.shape[1])))
    low, high = places.min(axis=0), places.max(axis=0)
    scale = max(float((high - low).max()), 1e-12)
    return (places - (low + high) / 2) / scale + 0.5


def told_to_page(folder: Path, held: EmbeddingMap, labels: Mapping[str, str]) -> str:
    """What the page's script draws, as JSON that cannot end its element; `labels` by key colour the map."""
    found = layouts(folder, held.points)
    keys = held.end.keys
    groups: dict[str, Any] = {}
    if labels and (called := _labelled(folder, keys, labels)):
        groups["label"] = _grouped(called)
    folders = [folder_of(key) for key in keys]
    if 1 < len(set(folders)) < len(keys):
        groups["folder"] = _grouped(folders)
    groups["cluster"] = {
        "names": [str(number + 1) for number in range(int(found.clusters.max()) + 1)],
        "of": found.clusters.tolist(),
    }
    everyone: Sequence[int] = range(len(keys))
    places = {"PCA": (everyone, found.pca), "t-SNE": (found.rows.tolist(), found.tsne)}
    told = {
        "keys": keys,
        "cell": held.end.cell,
        "columns": held.end.columns if held.sheet else 0,
        "layouts": {
            name: {"rows": list(rows), "places": [[round(float(v), 4) for v in place] for place in where]}
            for name, (rows, where) in places.items()
            if len(where)
        },
        "groups": groups,
    }
    return json.dumps(told, separators=(",", ":")).replace("<", "\\u003c")


def _labelled(folder: Path, keys: Sequence[str], labels: Mapping[str, str]) -> list[str]:
    """The label of each key: by itself or else by its file name, where only one label has that; none for no key."""
    known = {plain(key): plain(label) for key, label in labels.items()}
    names = Counter(key.rpartition("/")[2] for key in known)
    by_name = {name: label for key, label in known.items() if names[name := key.rpartition("/")[2]] == 1}
    found = [known.get(key, by_name.get(key.rpartition("/")[2])) for key in keys]
    if missing := found.count(None):
        told = f"{missing:,} of the {len(keys):,} samples in the map of {plain(folder.name)} have no label"
        example = f"it has {keys[0]}, the labels have {next(iter(known))}"
        say(f"warning: {told}" + (f": {example}" if missing == len(keys) else ""))
    return [label or "no label" for label in found] if missing < len(keys) else []


def _grouped(of: Sequence[str]) -> dict[str, Any]:
    """Names, the commonest first, and the place of each sample's name among them."""
    names = sorted(set(of), key=lambda name: (-of.count(name), name)) if len(set(of)) <= 100 else sorted(set(of))
    number = {name: place for place, name in enumerate(names)}
    return {"names": names, "of": [number[name] for name in of]}
