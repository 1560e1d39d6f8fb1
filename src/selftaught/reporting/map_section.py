"""Where an encoder puts a run's samples, and whom it takes for alike: kept in the run folder, shown on its page."""

import hashlib
import io
import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from selftaught.data.sources.parts import whole_of
from selftaught.run.map import FOLDER, RATE, Array, EmbeddingMap, Rows
from selftaught.system import pictures, sounds
from selftaught.system.arrays import Npz
from selftaught.system.files import folder_of, spared, write_atomically
from selftaught.system.saying import say
from selftaught.system.text import printable

EMBEDDED = 2000  # of the map's samples have a place by t-SNE, which takes seconds for so many
CLUSTERS = 10
THUMBNAILS = 18


class Thumbnail(NamedTuple):
    """A sample as the page shows it: by its name, and its picture, or how it reads."""

    name: str
    picture: str = ""  # in a URI, as its sound is
    sound: str = ""  # nothing where it has none
    text: str = ""


@dataclass
class Asked:
    """A sample, and whom the network takes for most like it."""

    sample: Thumbnail
    before: list[Thumbnail]
    now: list[Thumbnail]


@dataclass
class Layouts:
    """Places of samples in a plane, each coordinate in [0, 1], and their groups."""

    pca: Array  # (N, 2)
    tsne: Array  # (M, 2), of the rows below
    rows: Rows
    clusters: Rows  # (N,)


def _known(file: Path, digest: str, embedded: int, points: int) -> tuple[Array, Rows] | None:
    """Places and clusters of an earlier page; None where the run went on since, or they are none of these points'."""
    try:
        known = Npz(file)
        if known.shapes != {"of": (), "tsne": (embedded, 2), "clusters": (points,)} or str(known["of"]) != digest:
            return None
        tsne, clusters = known["tsne"].astype(np.float64), known["clusters"].astype(np.int64)
    except (OSError, ValueError, TypeError, EOFError):
        return None
    return (tsne, clusters) if np.isfinite(tsne).all() and ((clusters >= 0) & (clusters < points)).all() else None


def layouts(folder: Path, points: Array) -> Layouts:
    """Places by PCA for all points and by t-SNE for a sample, and k-means clusters; made once for a run folder."""
    digest = hashlib.blake2b(np.ascontiguousarray(points).tobytes(), digest_size=16).hexdigest()
    rows = np.linspace(0, len(points) - 1, min(len(points), EMBEDDED)).astype(np.int64)
    file = folder / FOLDER / "layout.npz"
    if known := _known(file, digest, len(rows), len(points)):
        return Layouts(_framed(points[:, :2]), known[0], rows, known[1])
    tsne, groups = _tsne(points[rows]), clusters(points)
    buffer = io.BytesIO()
    np.savez(buffer, of=np.str_(digest), tsne=tsne, clusters=groups)
    with spared("the layout of the map"):
        write_atomically(file, buffer.getvalue())
    return Layouts(_framed(points[:, :2]), tsne, rows, groups)


def _tsne(points: Array) -> Array:
    from sklearn.manifold import TSNE

    if len(points) < 10 or points.shape[1] < 2 or np.ptp(points) == 0:
        return np.zeros((0, 2))
    perplexity = min(30.0, (len(points) - 1) / 3)  # the usual one; it counts neighbours, of which few points have few
    return _framed(TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(points))


def clusters(points: Array) -> Rows:
    """The group of each point, of ten at most, and of as many as there are points that differ."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    count = min(CLUSTERS, len(np.unique(points, axis=0)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # that points nearly the same make fewer groups
        found = KMeans(count, n_init=4, random_state=0).fit_predict(points)
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def _framed(places: Array) -> Array:
    """Places moved and scaled into the unit square, both axes alike."""
    if places.shape[1] < 2:
        places = np.pad(places, ((0, 0), (0, 2 - places.shape[1])))
    low, high = places.min(axis=0), places.max(axis=0)
    scale = max(float((high - low).max()), 1e-12)
    return (places - (low + high) / 2) / scale + 0.5


def map_json(folder: Path, held: EmbeddingMap, labels: Mapping[str, str]) -> str:
    """What the page's script draws, as JSON that cannot end its element; `labels` by key colour the map."""
    drawn = layouts(folder, held.points)
    keys = held.end.keys
    places = {"PCA": (np.arange(len(keys)), drawn.pca), "t-SNE": (drawn.rows, drawn.tsne)}
    content = {
        "keys": [f"{key}: {text}" for key, text in zip(keys, held.end.texts)] or keys,
        "cell": held.end.cell,
        "columns": held.end.columns if held.sheet else 0,
        "layouts": {
            name: {"rows": rows.tolist(), "places": where.astype(float).round(4).tolist()}
            for name, (rows, where) in places.items()
            if len(where)
        },
        "groups": _groups(folder, keys, labels, drawn.clusters),
    }
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def _groups(folder: Path, keys: Sequence[str], labels: Mapping[str, str], clusters: Rows) -> dict[str, Any]:
    """By what the map can be coloured, the most telling first: the page shows that when it opens."""
    groups: dict[str, Any] = {}
    if labels and (called := _labelled(folder, keys, labels)):
        groups["label"] = _grouped(called)
    folders = [folder_of(key) for key in keys]
    if 1 < len(set(folders)) < len(keys):
        groups["folder"] = _grouped(folders)
    names = [str(number + 1) for number in range(int(clusters.max()) + 1)]
    return groups | {"cluster": {"names": names, "of": clusters.tolist()}}


def _labelled(folder: Path, keys: Sequence[str], labels: Mapping[str, str]) -> list[str]:
    """The label of each key: by itself, by what it is a part of, or by a file name that one label and one sample have.

    None at all where there is none for any key.
    """
    known = {printable(key): printable(label) for key, label in labels.items()}
    parts = [(key, whole_of(key)) for key in keys]
    named, there = (Counter(map(_name, some)) for some in (known, {name for own in parts for name in own}))
    by_name = {name: label for key, label in known.items() if named[name := _name(key)] == there[name] == 1}

    def label_of(key: str) -> str | None:
        return known.get(key, by_name.get(_name(key)))

    called = [label_of(key) or label_of(whole) for key, whole in parts]
    if by_names := sum(label is not None and known.keys().isdisjoint(own) for own, label in zip(parts, called)):
        line = f"{by_names:,} of the {len(keys):,} samples in the map of {printable(folder.name)} have a label"
        say(f"note: {line} by the name of their file alone, as no label has their whole path")
    if missing := called.count(None):
        line = f"{missing:,} of the {len(keys):,} samples in the map of {printable(folder.name)} have no label"
        example = f"it has {keys[0]}, the labels have {next(iter(known))}"
        say(f"warning: {line}" + (f": {example}" if missing == len(keys) else ""))
    return [label or "no label" for label in called] if missing < len(keys) else []


def _name(key: str) -> str:
    return key.rpartition("/")[2]


def _grouped(of: Sequence[str]) -> dict[str, Any]:
    """Names, the commonest first, and the place of each sample's name among them."""
    names = sorted(set(of), key=lambda name: (-of.count(name), name)) if len(set(of)) <= 100 else sorted(set(of))
    number = {name: place for place, name in enumerate(names)}
    return {"names": names, "of": [number[name] for name in of]}


def neighbours(held: EmbeddingMap) -> list[Asked]:
    """Every asked sample with its nearest, where samples are images or texts."""
    if held.sheet is None and not held.end.texts:
        return []
    before = held.start.nearest if held.start else [[] for _ in held.end.asked]

    def thumbnails(places: list[int]) -> list[Thumbnail]:
        return [_thumbnail(held, place, heard=True) for place in places]

    return [
        Asked(_thumbnail(held, row, heard=True), thumbnails(then), thumbnails(now))
        for row, then, now in zip(held.end.asked, before, held.end.nearest)
    ]


def patches(held: EmbeddingMap) -> list[tuple[str, list[Thumbnail]]]:
    """Rows of the asked samples: their pictures, and what their places are to the network before and now."""
    if held.sheet is None or not held.patches:
        return []
    rows = [("sample", [_thumbnail(held, place) for place in held.end.asked])]
    for when, title in (("start", "before"), ("end", "now")):
        tiles = zip(held.end.asked, held.patches.get(when, []))
        if shown := [Thumbnail(held.end.keys[place], pictures.data_uri(tile, "WEBP")) for place, tile in tiles]:
            rows.append((title, shown))
    return rows


def strip(held: EmbeddingMap) -> list[Thumbnail]:
    """A few samples, which are images, evenly spread."""
    spread = np.linspace(0, len(held.end.keys) - 1, THUMBNAILS).astype(int)
    return [_thumbnail(held, place) for place in np.unique(spread).tolist()]


def _thumbnail(held: EmbeddingMap, place: int, heard: bool = False) -> Thumbnail:
    if held.end.texts:
        return Thumbnail(held.end.keys[place], text=held.end.texts[place])
    assert held.sheet
    width, height = held.end.cell
    left, top = place % held.end.columns * width, place // held.end.columns * height
    picture = pictures.data_uri(held.sheet.crop((left, top, left + width, top + height)), "WEBP")
    sound = sounds.data_uri(held.sounds[place], RATE) if heard and place in held.sounds else ""
    return Thumbnail(held.end.keys[place], picture, sound)
