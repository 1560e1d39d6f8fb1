"""Data that somebody holds in Python: a command knows it by a name, python:array, for as long as it works.

The name stands in the recipe; what is behind it does not, so a run goes on where the object is given again and holds
the same samples.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.data.sources.labels import label_in_python
from selftaught.data.sources.wrapped import Series, Texts, on_the_host
from selftaught.system.context import IN_PYTHON, holding
from selftaught.system.errors import UsageError
from selftaught.system.text import printable

MARK = IN_PYTHON
CHANNELS = 4  # of an image, at most, where a tensor is thought to have them last
ITEMS = "OUT"  # kinds of arrays whose cells are paths or whole images, and not numbers
NAMES = {"ndarray": "array"}  # of types, where another word is better known


@dataclass(frozen=True)
class Handed:
    """An object, with the labels of its samples where they came beside it."""

    name: str
    data: Any
    labels: NDArray[Any] | None = None


_held: ContextVar[Mapping[str, Handed]] = ContextVar("held", default={})  # noqa: B039 - nobody writes in it


@contextmanager
def handed(data: Any, column: str | None = None, facts: bool = False) -> Iterator[Any]:
    """The name of `data` inside; names and paths stand for themselves.

    data: an array, memory-map or tensor of images (N, H, W), (N, H, W, C), of a tensor (N, C, H, W), or of rows (N,
    columns); a table with columns, as pandas, polars and pyarrow have it; a list of paths, of PIL images or of arrays;
    an object with a length that gives an item for each number; `Series` and `Texts`; or a pair of any of these and of
    labels (N,). column: what of a table holds images, which then are the samples; facts: whether it is no samples but
    what is told of them, so a table, or columns by name. Raises UsageError for anything else.
    """
    if data is None or isinstance(data, str | os.PathLike):
        yield data
        return
    data, labels = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    data = _told(data) if facts else _usable(data, column)
    known = _held.get()
    called = _called(data)
    names = (called, *(f"{called}-{number}" for number in range(2, len(known) + 3)))
    name = next(name for name in names if MARK + name not in known)
    one = Handed(name, data, None if labels is None else _labels(labels))
    with holding(_held, {**known, MARK + name: one}):
        yield MARK + name


def _labels(labels: Any) -> NDArray[Any]:
    """Labels as an array; several of a sample, in a list of names or of any number, are one text, as in a file."""
    try:
        given = np.asarray(on_the_host(_unmasked(labels)))
    except ValueError:  # lists of several lengths
        rows = list(labels)
    else:
        rows = list(given) if given.ndim and given.dtype.kind in "OU" else []
        if not any(isinstance(row, list | tuple | np.ndarray) for row in rows):
            return given
    return np.array([label_in_python(row) for row in rows], dtype=object)


def _unmasked(cells: Any) -> Any:
    """Cells with None for what is masked, as it is nothing that is known."""
    if not isinstance(cells, np.ma.MaskedArray):
        return cells
    known = np.array(cells.data, dtype=object)
    known[np.ma.getmaskarray(cells)] = None
    return known


def held(name: str) -> Handed:
    """What a name stands for. Raises UsageError where nobody has handed it over, as on the command line."""
    if name not in _held.get():
        way = "selftaught.pretrain(data, out=..., resume=True)"
        raise UsageError(f"{printable(name)} was given in Python, and has to be again: {way}, and so with each command")
    return _held.get()[name]


def is_a(name: str, kind: str) -> bool:
    """Whether a name stands for what was wrapped as of this kind; False where it is not known."""
    one = _held.get().get(name)
    return one is not None and isinstance(one.data, Series | Texts) and one.data.kind == kind


def is_rows(name: str) -> bool:
    """Whether a name stands for rows of a table; False where it is not known."""
    one = _held.get().get(name)
    if one is None:
        return False
    return is_table(one.data) or (isinstance(one.data, np.ndarray) and one.data.ndim == 2)


def is_table(data: Any) -> bool:
    """Whether an object has columns by name, as those of pandas, polars and pyarrow; not data sets of Hugging Face."""
    named = isinstance(getattr(data, "features", None), Mapping)  # and no column that is called so
    # The shape first: one of polars that is lazy has none, and warns where it is asked for columns.
    return hasattr(data, "shape") and hasattr(data, "columns") and not named


def columns_of(table: Any) -> list[Any]:
    """What the columns of such an object are called, which need not be text."""
    own = getattr(table, "column_names", None)  # of pyarrow; of pandas a column that is called so
    return own if isinstance(own, list) else list(table.columns)


def cells_of(table: Any) -> dict[str, list[Any]]:
    """The columns of such an object by name, None for what is missing. Raises UsageError for two of one name."""
    own = columns_of(table)
    names = [str(name) for name in own]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"the table has two columns named '{printable(twice)}'")
    return {name: [None if _missing(cell) else cell for cell in _listed(table[key])] for name, key in zip(names, own)}


def _listed(column: Any) -> list[Any]:
    way = next(way for way in ("to_pylist", "to_list", "tolist") if hasattr(column, way))
    cells: list[Any] = getattr(column, way)()
    return cells


def _missing(cell: Any) -> bool:
    """Whether a cell is NaN, or what pandas has for it; None is as it is."""
    return type(cell).__name__ in ("NAType", "NaTType") or (isinstance(cell, float) and cell != cell)


class Records(Sequence[dict[str, Any]]):
    """The rows of a table, each by the names of its columns."""

    def __init__(self, table: Any) -> None:
        self.columns_by_name = cells_of(table)

    def __len__(self) -> int:
        return len(next(iter(self.columns_by_name.values()), []))

    def __getitem__(self, row: Any) -> Any:
        return {name: cells[row] for name, cells in self.columns_by_name.items()}


class _Columns:
    """Columns (N,) by name, as a table."""

    def __init__(self, held: Mapping[Any, Any]) -> None:
        self._held = {str(name): list(_unmasked(cells)) for name, cells in held.items()}
        self.columns = list(self._held)
        self.shape = len(next(iter(self._held.values()), [])), len(self.columns)

    def __getitem__(self, name: str) -> "NDArray[Any]":
        return np.array(self._held[name], dtype=object)


def _told(data: Any) -> Any:
    """What is told of samples, as a table. Raises UsageError."""
    if isinstance(data, Mapping):
        if len(lengths := {len(cells) for cells in data.values()}) > 1:
            raise UsageError(f"metadata cannot have columns of several lengths, {', '.join(map(str, sorted(lengths)))}")
        return _Columns(data)
    if not is_table(data):
        wanted = "a CSV or .parquet, a table, or a dictionary of columns"
        raise UsageError(f"metadata cannot be of type {type(data).__name__}: {wanted}")
    return data


def _usable(data: Any, column: str | None) -> Any:
    if isinstance(data, str | os.PathLike):
        raise UsageError(
            "a pair is of data and its labels; those of a path are named by train_labels, a CSV, and so on"
        )
    if isinstance(data, Series | Texts):
        return data
    if is_table(data):
        return Records(data) if column is not None else data
    if hasattr(data, "detach"):
        return _of_tensor(on_the_host(data))
    if isinstance(data, np.ndarray):
        return data.tolist() if data.ndim == 1 and data.dtype.kind in ITEMS else on_the_host(data)
    if hasattr(data, "tocsr"):
        raise UsageError(f"data cannot be sparse, as this {type(data).__name__} is: give its toarray()")
    if isinstance(data, Mapping):
        way = "give columns by name as a table, such as pandas.DataFrame(data) or pyarrow.table(data)"
        raise UsageError(f"data cannot be of type {type(data).__name__}: {way}")
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        wanted = "a path, an array, a tensor, a list of paths or images, a table, or an object with a length and items"
        lacks = " (it can only be gone through: a data set of one sample for each number is needed)"
        raise UsageError(f"data cannot be of type {type(data).__name__}{lacks * hasattr(data, '__iter__')}: {wanted}")
    if not len(data):
        raise UsageError(f"data cannot be a {type(data).__name__} of length 0")
    if hasattr(data, "to_pylist"):  # a column of pyarrow, whose cells are its own
        return _listed(data)
    return list(data) if hasattr(data, "iloc") else data  # a column is asked for labels of rows, and not for places


def _of_tensor(values: NDArray[Any]) -> NDArray[Any]:
    """Images (N, C, H, W), as torch has them, as (N, H, W, C); also where they are so already."""
    if values.ndim != 4 or values.shape[3] <= CHANNELS < values.shape[1]:
        return values
    return values.transpose(0, 2, 3, 1)


def _called(data: Any) -> str:
    file = getattr(data, "filename", None)  # of a memory-map
    if isinstance(file, str | os.PathLike):
        return Path(file).stem
    name = type(data).__name__
    return NAMES.get(name, name).lower()
