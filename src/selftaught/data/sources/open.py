"""The source that DATA names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.data.sources.arrays import Arrays, open_arrays
from selftaught.data.sources.files import ARCHIVES, open_archive, open_folder
from selftaught.data.sources.named import open_sklearn, open_torchvision
from selftaught.data.sources.parquet import open_parquet
from selftaught.data.sources.source import Source
from selftaught.system.errors import DataError
from selftaught.system.text import printable

PREFIXES: dict[str, Callable[[str], Source]] = {"sklearn:": open_sklearn, "torchvision:": open_torchvision}
SUFFIXES: dict[str, Callable[[Path], Source]] = {
    **dict.fromkeys(ARCHIVES, open_archive),
    ".npy": open_arrays,
    ".npz": open_arrays,
    ".parquet": open_parquet,
}


def open_source(data: str | Path | NDArray[Any]) -> Source:
    """The source named by DATA."""
    if isinstance(data, np.ndarray):
        return Arrays("array", data)
    for prefix, open_named in PREFIXES.items():
        if str(data).startswith(prefix):
            return open_named(str(data))
    return _from_path(Path(data))


def _from_path(path: Path) -> Source:
    shown = printable(str(path))
    if path.is_dir():
        return open_folder(path)
    if path.is_file():
        opener = next((opened for suffix, opened in SUFFIXES.items() if path.name.lower().endswith(suffix)), None)
        if opener is None:
            raise DataError(f"{shown} is neither a folder nor a file of these: {', '.join(SUFFIXES)}")
        return opener(path)
    for parent in path.parents:
        if parent.is_file() and parent.name.lower().endswith(ARCHIVES):
            return open_archive(parent, path.relative_to(parent).as_posix() + "/")
    raise DataError(f"{shown} does not exist")
