"""Features of samples kept in a folder, by which later searches need no network; and of what they are.

FOLDER/ features.npy (N, D) float32, of length one    index.json, once that is whole    selftaught.jsonl, lock
        graph.usearch, graph.json (of run/graph.py)
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from selftaught.run.records import Record
from selftaught.system.arrays import Pages
from selftaught.system.errors import DataError, UsageError
from selftaught.system.files import replacing, write_json
from selftaught.system.lock import LOCK, only_writer
from selftaught.system.ownership import MANIFEST, begin_if_empty, manifest_of, refuse_odd
from selftaught.system.reading import json_in
from selftaught.system.text import printable

FEATURES, ABOUT, KIND = "features.npy", "index.json", "index"
GRAPH, GRAPH_ABOUT = "graph.usearch", "graph.json"
STORED = "<f4"  # numpy's name of the type
HELD = dict.fromkeys((FEATURES, ABOUT, GRAPH, GRAPH_ABOUT, MANIFEST, LOCK))
PART = 16 << 20  # bytes of features that are read at a time

Rows = NDArray[np.float32]
Made = Callable[[], Iterator[Rows]]  # features of all samples, a part (B, D) at a time


class About(Record):
    """index.json: whose features they are."""

    encoder: str  # a digest of its weights and of how samples become its input
    data: str  # the fingerprint of the samples
    samples: int = Field(ge=1)
    dim: int = Field(ge=1)  # numbers of a feature
    named: str = ""  # what the data was called, for people


def kept(folder: Path, about: About, made: Made, overwrite: bool) -> Made:
    """The features in a folder, which are made first where there are none yet.

    Raises UsageError where they are of another encoder or of other samples, and none are to be made in their place, or
    where the folder is somebody else's.
    """
    refuse_odd(folder, HELD)
    shown = printable(folder)
    if folder.exists() and not manifest_of(folder) and any(path.name != LOCK for path in folder.iterdir()):
        raise UsageError(f"{shown} holds other files, and no index of selftaught's; choose another --index")
    known = _known(folder)
    stale = _stale(known, about) if known else ""
    if stale and not overwrite:
        raise UsageError(f"{shown} is stale: {stale}; --overwrite makes it anew, or choose another --index")
    if not known or overwrite:
        folder.mkdir(parents=True, exist_ok=True)
        with only_writer(folder):
            begin_if_empty(folder, KIND, HELD)
            for name in (ABOUT, GRAPH_ABOUT):  # features without it are those of nobody, and so is a graph
                (folder / name).unlink(missing_ok=True)
            _write(folder, about, made())
            write_json(folder / ABOUT, about.model_dump())
    return lambda: _read(folder, about)


def _known(folder: Path) -> About | None:
    try:
        return About.model_validate(json_in(folder / ABOUT))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"{printable(folder / ABOUT)} cannot be read: {printable(error)}; move it away") from None


def _stale(known: About, about: About) -> str:
    """What its features are of that is another now; nothing where all is as it was."""
    changed = []
    if known.encoder != about.encoder:
        changed.append("its features are of another encoder, or of an earlier step of this one")
    if (known.data, known.samples) != (about.data, about.samples):
        changed.append(f"{printable(about.named)} does not hold the {known.samples:,} samples that it is of")
    return " and ".join(changed)


def _write(folder: Path, about: About, parts: Iterator[Rows]) -> None:
    with replacing(folder / FEATURES) as temporary, temporary.open("wb") as stream:
        shape = {"descr": STORED, "fortran_order": False, "shape": (about.samples, about.dim)}
        np.lib.format.write_array_header_1_0(stream, shape)
        for part in parts:
            stream.write(np.ascontiguousarray(part, dtype=STORED).data)


def rows_of(folder: Path, about: About, rows: NDArray[np.int64]) -> Rows:
    """The features of some samples (len(rows), D). Raises DataError where they are not whole."""
    return _finite(_pages(folder, about)[rows], folder)


def _read(folder: Path, about: About) -> Iterator[Rows]:
    """The features a part at a time. Raises DataError where they are not whole."""
    pages, at_once = _pages(folder, about), max(1, PART // (4 * about.dim))
    for start in range(0, about.samples, at_once):
        yield _finite(pages.span(start, min(start + at_once, about.samples)), folder)


def _pages(folder: Path, about: About) -> Pages:
    try:
        pages = Pages(folder / FEATURES)
    except (OSError, ValueError):
        raise damaged(folder / FEATURES) from None
    if pages.shape != (about.samples, about.dim) or pages.dtype != np.dtype(STORED):
        raise damaged(folder / FEATURES)
    return pages


def _finite(part: Rows, folder: Path) -> Rows:
    if not np.isfinite(part).all():
        raise damaged(folder / FEATURES)
    return part


def damaged(file: Path) -> DataError:
    """What to raise of a file of the folder that is not whole."""
    return DataError(f"{printable(file)} is damaged; --overwrite makes it anew")
