"""The source that DATA names."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.data.sources.arrays import Arrays
from selftaught.data.sources.files import ARCHIVES, Files, open_archive, open_folder
from selftaught.data.sources.labels import NO_LABEL
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import printable

COLUMNS = (".csv", ".tsv", ".parquet")  # files of columns, one of which may hold labels


@cache
def openers() -> dict[str, Callable[..., Files | Arrays]]:
    """What every file beside this one says in OPENS: by the end of a file's name, or by "sklearn:" and its like."""
    names = (f"{__package__}.{module.name}" for module in iter_modules([str(Path(__file__).parent)]))
    return {mark: opener for name in names for mark, opener in getattr(import_module(name), "OPENS", {}).items()}


def open_source(data: str | Path | NDArray[Any], label_column: str | None = None) -> Files | Arrays:
    """The source named by DATA; `label_column`: what holds labels in a file that has columns. Raises UsageError."""
    path = Path("array" if isinstance(data, np.ndarray) else data)
    if path.suffix.lower() in COLUMNS and path.is_file():
        return openers()[path.suffix.lower()](path, label_column)
    if label_column not in (None, NO_LABEL):
        shown = printable(str(path))
        raise UsageError(f"--label-column {printable(label_column)}: {shown} has no columns with names of their own")
    if isinstance(data, np.ndarray):
        return Arrays("array", data)
    named = str(data).partition(":")[0] + ":"
    return openers()[named](str(data)) if named in openers() else _from_path(Path(data))


def _from_path(path: Path) -> Files | Arrays:
    shown = printable(str(path))
    if path.is_dir():
        return open_folder(path)
    if path.is_file():
        endings = [mark for mark in openers() if not mark.endswith(":")]
        ending = next((mark for mark in endings if path.name.lower().endswith(mark)), None)
        if ending is None:
            raise DataError(f"{shown} is neither a folder nor a file of these: {', '.join(endings)}")
        return openers()[ending](path)
    for parent in path.parents:
        if parent.is_file() and parent.name.lower().endswith(ARCHIVES):
            return open_archive(parent, path.relative_to(parent).as_posix() + "/")
    raise DataError(f"{shown} does not exist")
