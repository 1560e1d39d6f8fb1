"""Where rows come from: a CSV or parquet file, an array, or a data set that ships with scikit-learn."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from selftaught.data import opening
from selftaught.data.sources import parquet
from selftaught.data.sources.arrays import SUFFIXES as ARRAYS
from selftaught.data.sources.arrays import dimensions, labels_of, read_arrays
from selftaught.data.sources.labels import csv_lines
from selftaught.data.sources.source import Source, digest
from selftaught.system.errors import DataError, UsageError
from selftaught.system.saying import say
from selftaught.system.text import printable

SUFFIXES = (".csv", ".tsv", ".parquet")
SHIPPED = ("wine", "breast_cancer", "iris")  # of scikit-learn; its digits are images
LABELS = ("label", "target", "class", "y")  # columns of these names are never features; the first is the label
IDS = ("id", "index", "key", "", "unnamed: 0", "__index_level_0__")  # the last are how pandas writes its index
MISSING = ("", "na", "nan", "null", "none", "?")


@dataclass
class Table(Source):
    """Columns as they were read: numbers as float64 with NaN for what is missing, everything else as text."""

    name: str
    columns: dict[str, NDArray[Any]]
    keys: list[str]
    labels: list[str] | None
    written: dict[str, list[str]] = field(default_factory=dict)  # columns of numbers as they were written, if they were
    between: ClassVar[bytes] = b""

    def text(self, column: str) -> NDArray[np.str_]:
        """A column as text: what is a category elsewhere may be made of digits alone here."""
        return np.array(self.written.get(column, self.columns[column]), dtype=np.str_)

    def fingerprint(self) -> str:
        cells = (c.tobytes() if c.dtype.kind == "f" else "\0".join(c).encode() for c in self.columns.values())
        return digest(*(name.encode() + b"\0" + held for name, held in zip(self.columns, cells)))


def recognises(data: str | NDArray[Any]) -> bool:
    """Whether this names rows."""
    if isinstance(data, np.ndarray):
        return data.ndim == 2
    if data.startswith("sklearn:"):
        return data.removeprefix("sklearn:") in SHIPPED
    path = Path(data)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return not parquet.holds_samples(path)
    return suffix in SUFFIXES or (suffix in ARRAYS and dimensions(path) == 2)


def open_table(data: str | Path | NDArray[Any]) -> Table:
    """The table named by DATA."""
    if isinstance(data, np.ndarray):
        table = _from_array("array", data, None)
    elif str(data).startswith("sklearn:"):
        table = _sklearn(str(data).removeprefix("sklearn:"))
    else:
        table = _from_file(Path(data))
    if not len(table) or not table.columns:
        raise DataError(f"{table.name} holds no {'rows' if table.columns else 'columns to learn from'}")
    return table


def labels_by_key(labelled: str) -> dict[str, str]:
    """Labels of rows by their keys, from a table with labels or a CSV of key,label. Raises DataError."""
    path = Path(labelled)
    if path.suffix.lower() == ".csv" and (lines := csv_lines(path)) and len(lines[0]) > 2:  # a table, as it is said
        return opening.labels_in(open_table(labelled))
    return opening.labels_by_key(open_table, labelled)


def _sklearn(name: str) -> Table:
    from sklearn import datasets

    if name not in SHIPPED:
        raise UsageError(
            f"no data set sklearn:{name}; there are sklearn:digits, {', '.join(map('sklearn:'.__add__, SHIPPED))}"
        )
    held = getattr(datasets, f"load_{name}")()
    labels = [str(held.target_names[number]) for number in held.target]
    columns = {str(column): held.data[:, i].astype(np.float64) for i, column in enumerate(held.feature_names)}
    return Table(name, columns, [str(i) for i in range(len(labels))], labels)


def _from_file(path: Path) -> Table:
    shown = printable(str(path))
    if not path.is_file():
        raise DataError(f"{shown} does not exist")
    if path.suffix.lower() in ARRAYS:
        held = read_arrays(path)
        if "x" not in held:
            raise DataError(f"{shown} must hold its rows as 'x'; it holds {printable(', '.join(held)) or 'nothing'}")
        return _from_array(path.stem, held["x"], held.get("y"))
    header, rows = parquet.columns(path) if path.suffix.lower() == ".parquet" else _csv(path)
    if twice := [name for name in header if header.count(name) > 1]:
        raise DataError(f"{shown} has two columns named {printable(twice[0])!r}")
    return _from_columns(path.stem, {name: rows[i] for i, name in enumerate(header)})


def _from_array(name: str, values: NDArray[Any], labels: NDArray[Any] | None) -> Table:
    if values.ndim != 2 or values.dtype.kind not in "fiub":
        raise DataError(f"{name} holds {values.dtype} of shape {values.shape}; rows are numbers of shape (N, columns)")
    columns = {f"column {i}": values[:, i].astype(np.float64) for i in range(values.shape[1])}
    texts = None if labels is None else labels_of(labels, len(values), name)
    return Table(name, columns, [str(i) for i in range(len(values))], texts)


def _csv(path: Path) -> tuple[list[str], list[list[str]]]:
    lines = csv_lines(path)
    if not lines:
        raise DataError(f"{printable(str(path))} is empty")
    header = [name.strip() for name in lines[0]]
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise DataError(
                f"{printable(str(path))}, line {number} has {len(line)} cells, the header has {len(header)}"
            )
    return header, [list(column) for column in zip(*lines[1:])] or [[] for _ in header]


def _from_columns(name: str, cells: dict[str, list[str]]) -> Table:
    """Columns of text told apart: labels, keys, numbers, categories."""
    labels = sorted((c for c in cells if c.lower() in LABELS), key=lambda column: LABELS.index(column.lower()))
    if len(labels) > 1:
        left = ", ".join(repr(printable(column)) for column in labels[1:])
        say(
            f"warning: {printable(name)} has labels in column {printable(labels[0])!r}; "
            f"{left} is left out, to be no feature"
        )
    key = min((c for c in cells if c.lower() in IDS), key=lambda column: IDS.index(column.lower()), default=None)
    texts = {column: _cleaned(cells[column]) for column in cells if column not in (*labels, key)}
    columns = {column: _column(cleaned) for column, cleaned in texts.items()}
    count = len(next(iter(cells.values()), []))
    keys = [str(i) for i in range(count)] if key is None else cells[key]
    written = {column: texts[column] for column in columns if columns[column].dtype.kind == "f"}
    return Table(name, columns, keys, cells[labels[0]] if labels else None, written)


def _cleaned(cells: Sequence[str]) -> list[str]:
    return ["nan" if cell.strip().lower() in MISSING else cell.strip() for cell in cells]


def _column(cells: Sequence[str]) -> NDArray[Any]:
    """Numbers where every cell that is not missing is one, else text."""
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        return np.array(cells, dtype=np.str_)
