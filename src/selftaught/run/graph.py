"""A graph over features that are kept in a folder, by which a search meets few of many samples.

FOLDER/ graph.usearch    graph.json, once that is whole. HNSW (Malkov and Yashunin, 2016), by the library usearch.
https://arxiv.org/abs/1603.09320
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from selftaught.run.features import GRAPH, GRAPH_ABOUT, About, Made, damaged
from selftaught.system.errors import UsageError
from selftaught.system.files import replacing, write_json
from selftaught.system.lock import only_writer
from selftaught.system.reading import json_in

LINKS, MADE_BY, SEARCHED_BY = 32, 128, 256  # of a sample; and how many are weighed as one is put in, or looked for
SPARE = 4  # times as many are met as are wanted, and ranked by their exact cosines

Rows = NDArray[np.int64]
Progress = Callable[[int, int], None]


class Whole(About):
    """graph.json: that the graph is whole, and of which features."""

    size: int = Field(ge=1)  # bytes of the graph


def met(folder: Path, about: About, made: Made, asked: NDArray[np.float32], count: int, progress: Progress) -> Rows:
    """The rows of samples, each once, that are likely among the `count` most like any of `asked` (M, D).

    The graph is made first where there is none of these features yet. Raises UsageError without the library, and
    DataError where the graph is damaged.
    """
    library = usearch()
    if not _is_there(folder, about):
        with only_writer(folder):
            _make(library, folder, about, made, progress)
    try:
        index = library.Index.restore(folder / GRAPH, view=True)
        whole = index is not None and (len(index), index.ndim) == (about.samples, about.dim)
        found = index.search(asked, min(SPARE * count, about.samples), threads=1) if whole else None
    except Exception as error:  # the library raises nothing more special
        raise damaged(folder / GRAPH) from error
    if found is None:
        raise damaged(folder / GRAPH)
    return np.unique(np.asarray(found.keys, dtype=np.int64))


def _make(library: Any, folder: Path, about: About, made: Made, progress: Progress) -> None:
    (folder / GRAPH_ABOUT).unlink(missing_ok=True)  # a graph without it is nobody's
    how = {"connectivity": LINKS, "expansion_add": MADE_BY, "expansion_search": SEARCHED_BY}
    index = library.Index(ndim=about.dim, metric="ip", dtype="f16", **how)
    start = 0
    for part in made():
        index.add(np.arange(start, start + len(part)), part)
        start += len(part)
        progress(start, about.samples)
    with replacing(folder / GRAPH) as temporary:
        index.save(temporary)
        size = temporary.stat().st_size
    write_json(folder / GRAPH_ABOUT, Whole(**about.model_dump(), size=size).model_dump())


def _is_there(folder: Path, about: About) -> bool:
    """Whether the folder has a graph of these features, that is whole. Raises DataError where it was whole once."""
    try:
        held = Whole.model_validate(json_in(folder / GRAPH_ABOUT))
    except (OSError, ValueError):
        return False
    if (held.encoder, held.data, held.samples, held.dim) != (about.encoder, about.data, about.samples, about.dim):
        return False
    if not (folder / GRAPH).exists() or (folder / GRAPH).stat().st_size != held.size:
        raise damaged(folder / GRAPH)
    return True


def usearch() -> Any:
    """The library that makes graphs. Raises UsageError where it is not installed."""
    try:
        from usearch import index
    except ImportError:
        raise UsageError("--approximate needs usearch: pip install 'selftaught[search]'") from None
    return index
