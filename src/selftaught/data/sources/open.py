"""The source that DATA names."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from importlib import import_module
from importlib.metadata import entry_points
from inspect import signature
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.data.sources.arrays import Arrays
from selftaught.data.sources.distant import Distant
from selftaught.data.sources.encoded import Encoded
from selftaught.data.sources.files import open_archive, open_folder, part_of_archive, refuse_single
from selftaught.data.sources.labels import NO_LABEL
from selftaught.data.sources.manifest import beside, shards_in
from selftaught.data.sources.remote import MARKS, ending_of, found
from selftaught.data.sources.shards import of_files, open_shards
from selftaught.data.sources.source import is_folder, no_data
from selftaught.data.sources.webdataset import expanded
from selftaught.data.sources.zarrs import is_zarr, open_zarr
from selftaught.system.addresses import is_remote
from selftaught.system.errors import DataError, UsageError
from selftaught.system.saying import say
from selftaught.system.text import printable

LINES = (".jsonl", ".ndjson")  # of texts, which are another kind of data
COLUMNS = (".csv", ".tsv", ".parquet")  # files of columns, one of which may hold labels

Opener = Callable[..., Encoded | Arrays]


@cache
def openers() -> dict[str, Opener]:
    """What every file beside this one says in OPENS: by the end of a file's name, or by "sklearn:" and its like.

    Likewise the modules of the entry-point group `selftaught.sources`; the first of a mark stays.
    """
    names = (f"{__package__}.{module.name}" for module in iter_modules([str(Path(__file__).parent)]))
    found: dict[str, Opener] = {}
    for module in [*map(import_module, names), *_plugins()]:
        for mark, opener in getattr(module, "OPENS", {}).items():
            found.setdefault(mark, opener)
    return found


def _plugins() -> Iterator[Any]:
    """The modules of other packages; one that cannot be imported is said and left out."""
    for point in entry_points(group="selftaught.sources"):
        try:
            yield point.load()
        except Exception as error:  # anything can be wrong with somebody else's package
            say(f"warning: sources of {point.name} are left out: {printable(f'{type(error).__name__}: {error}')}")


def open_source(
    data: str | Path | NDArray[Any], label_column: str | None = None, column: str | None = None
) -> Encoded | Arrays:
    """The source named by DATA.

    label_column: what holds labels in data that has columns; column: what holds samples there. Raises UsageError.
    """
    asked = {"label_column": label_column, "column": column}
    if isinstance(data, np.ndarray):
        return _opened(lambda array: Arrays("array", array), data, asked, "array")
    named = str(data).partition(":")[0] + ":"
    if is_remote(data) and (named.lower() in MARKS or named not in openers()):
        return _from_afar(str(data), asked)
    if named in openers():
        return _opened(openers()[named], str(data), asked, str(data))
    return _from_path(Path(data), asked)


def _opened(opener: Opener, data: Any, asked: Mapping[str, str | None], shown: str) -> Encoded | Arrays:
    """What an opener makes of data; of what is asked it is told what its parameters say that it can know."""
    taken = signature(opener).parameters
    told = {name: value for name, value in asked.items() if value is not None}
    for name, value in told.items():
        if name not in taken and value != NO_LABEL:
            flag = name.replace("_", "-")
            lacks = f"{printable(shown)} has no columns with names of their own"
            raise UsageError(f"--{flag} {printable(value)}: {lacks}")
    return opener(data, **{name: value for name, value in told.items() if name in taken})


def _from_afar(name: str, asked: Mapping[str, str | None]) -> Encoded | Arrays:
    held = found(name)
    if isinstance(held, Distant):
        return _opened(openers()[ending_of(held)], held, asked, name)
    return _opened(partial(of_files, held), printable(name), asked, name)


def _from_path(path: Path, asked: Mapping[str, str | None]) -> Encoded | Arrays:
    shown, folder = printable(str(path)), is_folder(path)
    if not path.exists() and (names := expanded(str(path))):
        return _opened(partial(open_shards, names), shown, asked, shown)
    if folder and is_zarr(path):
        return _opened(open_zarr, path, asked, str(path))
    if folder:
        if tars := shards_in(path):
            left = beside(path, {Path(tar).name for tar in tars})
            return _opened(partial(open_shards, tars, name=path.resolve().name, ignored=left), shown, asked, shown)
        return _opened(open_folder, path, asked, str(path))
    if path.is_file():
        endings = [mark for mark in openers() if not mark.endswith(":")]
        ending = max((mark for mark in endings if path.name.lower().endswith(mark)), key=len, default=None)
        if ending is None:
            refuse_single(path)
            way = f"; if each of its lines is a text, say text:{shown}" if path.suffix.lower() == ".txt" else ""
            raise DataError(f"{shown} is neither a folder nor a file of these: {', '.join([*endings, *LINES])}{way}")
        return _opened(openers()[ending], path, asked, str(path))
    if part := part_of_archive(path):
        return _opened(partial(open_archive, part[0]), part[1], asked, str(path))
    raise no_data(path)
