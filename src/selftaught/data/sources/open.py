"""The source that DATA names."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.data.sources.arrays import Arrays, open_arrays
from selftaught.data.sources.files import ARCHIVES, open_archive, open_folder
from selftaught.data.sources.labels import labels_from_csv, read_labels
from selftaught.data.sources.named import open_sklearn, open_torchvision
from selftaught.data.sources.source import Source
from selftaught.system.errors import DataError
from selftaught.system.text import printable


def open_source(data: str | Path | NDArray[Any], labels: Path | None = None) -> Source:
    """The source named by DATA; `labels` is a CSV of path,label in place of folder names."""
    if isinstance(data, np.ndarray):
        source: Source = Arrays("array", data)
    elif str(data).startswith("sklearn:"):
        source = open_sklearn(str(data))
    elif str(data).startswith("torchvision:"):
        source = open_torchvision(str(data).removeprefix("torchvision:"))
    else:
        source = _from_path(Path(data))
    if labels is not None:
        source.labels = labels_from_csv(labels, source)
    return source


def _from_path(path: Path) -> Source:
    shown = printable(str(path))
    if path.is_dir():
        return open_folder(path)
    if path.is_file():
        if path.name.lower().endswith(ARCHIVES):
            return open_archive(path, "")
        if path.suffix in (".npy", ".npz"):
            return open_arrays(path)
        raise DataError(f"{shown} is neither a folder, an archive ({', '.join(ARCHIVES)}), a .npy nor a .npz file")
    for parent in path.parents:
        if parent.is_file() and parent.name.lower().endswith(ARCHIVES):
            return open_archive(parent, path.relative_to(parent).as_posix() + "/")
    raise DataError(f"{shown} does not exist")


def labels_by_key(labelled: str) -> dict[str, str]:
    """Labels of images by their keys, from labelled data or a CSV of path,label. Raises DataError."""
    if labelled.lower().endswith(".csv"):
        return read_labels(Path(labelled))
    source = open_source(labelled)
    if source.labels is None:
        raise DataError(f"{source.name} has no labels")
    return dict(zip(source.keys, source.labels))
