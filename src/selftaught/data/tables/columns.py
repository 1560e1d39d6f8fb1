"""Where rows come from: a CSV or parquet file, an array, or a data set that ships with scikit-learn."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from selftaught.data import opening
from selftaught.data.sources import handed, parquet
from selftaught.data.sources.arrays import SUFFIXES as ARRAYS
from selftaught.data.sources.arrays import dimensions, labels_of, read_arrays
from selftaught.data.sources.cells import PARTING, read_cells
from selftaught.data.sources.contents import BYTES, Digests, Rows, content_of
from selftaught.data.sources.labels import (
    INDEX,
    LABELS,
    NO_LABEL,
    known_labels,
    label_cells,
    label_text,
    named_like,
    parted,
)
from selftaught.data.sources.listed import lists_images
from selftaught.data.sources.numbers import Column, as_learnt, column_of, has_names, notes_of_cells
from selftaught.data.sources.parts import told_apart
from selftaught.data.sources.source import Beside, Progress, Source, digest, is_folder, no_data
from selftaught.data.sources.taken import Taken, label_columns, notes_of_labels
from selftaught.data.sources.webdataset import expanded
from selftaught.system.addresses import is_remote
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import printable

SUFFIXES = (".csv", ".tsv", ".parquet")
SHIPPED = ("wine", "breast_cancer", "iris")  # of scikit-learn; its digits are images
IDS = ("id", "index", "key", *INDEX)


class Named(np.ndarray[Any, np.dtype[Any]]):
    """Rows (N, columns) of an array whose columns have names; what is made of it has none."""

    names: Sequence[str] = ()


@dataclass
class Table(Source):
    """Columns as they were read: numbers as float64 with NaN for what is missing, everything else as text."""

    name: str
    columns: dict[str, NDArray[Any]]
    keys: list[str]
    labels: list[str] | None
    # All columns as they were written, if they were; and that of the names of rows, where several have one.
    written: dict[str, list[str]] = field(default_factory=dict)
    label: str | None = None  # the column that labels come from; several by commas
    key: str | None = None  # the column of the names of rows
    shown: str = ""  # the file, where it is of one
    odd: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of numbers: see `numbers.Column`
    notes: Sequence[str] = ()
    between: ClassVar[bytes] = b""

    def text(self, column: str) -> NDArray[np.str_]:
        """A column as text: what is a category elsewhere may here be made of digits, or of what says "nothing"."""
        return np.array(self.written[column] if column in self.written else self.columns[column], dtype=np.str_)

    def beside(self) -> Beside:
        """All columns but those of labels: what is learnt from may tell as well which rows belong together."""
        return {name: partial(self._listed, name) for name in {**self.columns, **self.written}}

    def _listed(self, column: str) -> list[str]:
        return list(map(label_text, self.text(column).tolist()))

    def fingerprint(self) -> str:
        cells = (c.tobytes() if c.dtype.kind == "f" else "\0".join(c).encode() for c in self.columns.values())
        return digest(*(name.encode() + b"\0" + held for name, held in zip(self.columns, cells)))

    def digests(self, rows: Rows, progress: Progress = lambda done, total: None) -> Digests:
        """Of the values of each row, in the order of the columns: numbers by their bits, text as it is."""
        kinds = [cells.dtype.kind == "f" for cells in self.columns.values()]
        numbers = np.stack([c[rows] for c, number in zip(self.columns.values(), kinds) if number] or [rows * 0.0], 1)
        texts = [*zip(*(c[rows] for c, number in zip(self.columns.values(), kinds) if not number))] or [()] * len(rows)
        found = np.empty((len(rows), BYTES), np.uint8)
        for place, (row, text) in enumerate(zip(numbers, texts)):
            said = "\0".join(text).encode("utf-8", "surrogatepass")
            found[place] = np.frombuffer(content_of(bytes(kinds), row.tobytes(), said), np.uint8)
        progress(len(rows), len(rows))
        return found


def recognises(data: str | NDArray[Any]) -> bool:
    """Whether this names rows."""
    if isinstance(data, np.ndarray):
        return data.ndim == 2
    if data.startswith(handed.MARK):
        return handed.is_rows(data)
    if data.startswith("sklearn:"):
        return data.removeprefix("sklearn:") in SHIPPED
    path = Path(data)
    if is_remote(data) or (not path.exists() and expanded(data)):  # shards, which hold samples that are encoded
        return False
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return not parquet.holds_samples(path)
    if suffix in SUFFIXES:
        return not lists_images(path)
    return suffix in ARRAYS and dimensions(path) == 2


def open_table(data: str | Path | NDArray[Any], label_column: str | None = None, taken: Taken | None = None) -> Table:
    """The table named by DATA.

    label_column: the column that is the label and no feature, or "none"; default: by its name. taken: columns that are
    features whatever they are called. Raises DataError and UsageError.
    """
    if isinstance(data, np.ndarray):
        table = _from_array("array", data, None)
    elif str(data).startswith(handed.MARK):
        table = _from_python(handed.held(str(data)), label_column, taken)
    elif str(data).startswith("sklearn:"):
        table = _sklearn(str(data).removeprefix("sklearn:"))
    else:
        table = _from_file(Path(data), label_column, taken)
        table.shown = printable(str(data))
    if not len(table) or not table.columns:
        raise DataError(f"{table.shown or table.name} holds no {'rows' if table.columns else 'columns to learn from'}")
    if label_column not in (None, NO_LABEL) and not table.written:
        raise UsageError(
            f"--label-column {printable(label_column)}: {table.name} has no columns with names of their own"
        )
    return table


def labels_by_key(labelled: str) -> dict[str, str]:
    """Labels of rows by their keys, from a table with labels or a CSV of key,label. Raises DataError."""
    path = Path(labelled)
    if path.suffix.lower() == ".csv" and (lines := read_cells(path).lines) and len(lines[0]) > 2:  # a table, it seems
        return opening.labels_in(open_table(labelled), labelled)
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


def _from_file(path: Path, label_column: str | None, taken: Taken | None) -> Table:
    shown = printable(str(path))
    if is_folder(path) or not path.is_file():
        raise no_data(path)
    if path.suffix.lower() in ARRAYS:
        held = read_arrays(path)
        if "x" not in held:
            raise DataError(f"{shown} must hold its rows as 'x'; it holds {printable(', '.join(held)) or 'nothing'}")
        return _from_array(path.stem, held["x"], held.get("y"))
    parting, notes = "", list[str]()
    if path.suffix.lower() == ".parquet":
        header, rows = parquet.columns(path, partial(_whole, label_column, taken))
    else:
        header, rows, parting, notes = _csv(path)
    return _from_cells(path.stem, shown, header, rows, label_column, taken, parting, notes)


def _from_python(given: handed.Handed, label_column: str | None, taken: Taken | None) -> Table:
    """Rows of an array, or of an object with columns, whose cells are read as those of a file are."""
    if isinstance(given.data, np.ndarray):
        return _from_array(given.name, given.data, given.labels)
    columns = handed.cells_of(given.data)
    whole, texts = _whole(label_column, taken, [*columns]), taken.named if taken else ()
    read = list[tuple[str, list[str]]]()
    for name, cells in columns.items():
        # Lists among the cells were text when an encoder learnt from a column of that name.
        known = [cell if cell is None else label_text(cell) for cell in cells] if name in texts else cells
        read += parquet.apart(name, known, name in whole, given.name)
    header, rows = [name for name, _ in read], [own for _, own in read]
    return _labelled(_from_cells(given.name, given.name, header, rows, label_column, taken), given.labels)


def _whole(label_column: str | None, taken: Taken | None, header: Sequence[str]) -> list[str]:
    """The columns whose lists are cells as they are: labels, or what an encoder has not learnt from."""
    if taken and taken.named:
        return [name for name in header if f"{name} 0" not in taken.named]
    if label_column is None:
        return named_like(header, LABELS)
    return parted(header, label_column)


def _from_cells(
    name: str, shown: str, header: Sequence[str], rows: Sequence[list[str]], label_column: str | None,
    taken: Taken | None, parting: str = "", notes: Sequence[str] = (),
) -> Table:  # fmt: skip
    """A table of columns of text that have names. Raises DataError where two have one."""
    if twice := [name for name in header if header.count(name) > 1]:
        raise DataError(f"{shown} has two columns named '{printable(twice[0])}'")
    labels, others = label_columns(header, label_column, taken, shown)
    table = _from_columns(name, shown, dict(zip(header, rows)), labels, others, parting, taken or Taken())
    table.notes = [*notes, *table.notes, *notes_of_labels(header, labels, others, label_column, taken)]
    return table


def _from_array(name: str, values: NDArray[Any], labels: NDArray[Any] | None) -> Table:
    if values.ndim != 2 or values.dtype.kind not in "fiub":
        raise DataError(f"{name} holds {values.dtype} of shape {values.shape}; rows are numbers of shape (N, columns)")
    names = (isinstance(values, Named) and values.names) or [f"column {i}" for i in range(values.shape[1])]
    columns = {name: cells.astype(np.float64) for name, cells in zip(names, np.asarray(values).T, strict=True)}
    return _labelled(Table(name, columns, [str(i) for i in range(len(values))], None), labels)


def _labelled(table: Table, labels: NDArray[Any] | None) -> Table:
    if labels is not None:
        table.labels = known_labels(labels_of(labels, len(table), table.name), table.name, table.note)
    return table


def _csv(path: Path) -> tuple[list[str], list[list[str]], str, list[str]]:
    """The names of columns, their cells, the character between cells, and what to say of how they were read."""
    lines, parting = read_cells(path)
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line]
    if not numbered:
        raise DataError(f"{printable(str(path))} is empty")
    width, usual = len(numbered[0][1]), "\t" if path.suffix.lower() == ".tsv" else ","
    notes = [f"its cells are parted by {PARTING[parting]}"] * (width > 1 and parting != usual)
    if has_names([line for _, line in numbered], parting):
        header, numbered = [name.strip() for name in numbered[0][1]], numbered[1:]
    else:
        header = [f"column {number}" for number in range(width)]
        notes.append("its first line is a row as well: columns have no names, and are called 'column 0' and so on")
    for number, line in numbered:
        if len(line) != width:
            raise DataError(f"{printable(str(path))}, line {number} has {len(line)} cells, the header has {width}")
    columns = [list(column) for column in zip(*(line for _, line in numbered))] or [[] for _ in header]
    return header, columns, parting, notes


def _from_columns(
    name: str, shown: str, cells: dict[str, list[str]], labels: Sequence[str], others: Sequence[str], parting: str,
    taken: Taken,
) -> Table:  # fmt: skip
    """Columns of text told apart: keys, numbers, categories, `labels`, and `others` that are none of these.

    taken: what an encoder has learnt from, as a column of an array may be called anything. Raises DataError.
    """
    ids = named_like([c for c in cells if c not in (*labels, *others, *taken.named)], IDS)
    key = ids[0] if ids else None
    held = [column for column in cells if column not in (*labels, *others, *ids)]
    read = {column: _read(column, cells[column], parting, taken, shown) for column in held}
    columns = {column: one.values for column, one in read.items()}
    count = len(next(iter(cells.values()), []))
    keys = [str(i) for i in range(count)] if key is None else cells[key]
    written = {column: [cell.strip() for cell in cells[column]] for column in (*columns, *ids[1:])}
    table = Table(name, columns, keys, None, written, ",".join(labels) or None, notes=notes_of_cells(read))
    table.odd = {column: one.odd for column, one in read.items() if one.odd}
    table.keys = told_apart(keys, "rows", table.note)
    table.key = key
    if len(ids) > 1 and not taken.named:
        told = ", ".join(repr(printable(column)) for column in ids[1:])
        table.note(f"rows are named by column '{printable(ids[0])}'; {told} is named like such and is left out as well")
    if key is not None and table.keys != keys:
        written[key] = [cell.strip() for cell in cells[key]]
    if labels:
        said = label_cells([cells[label] for label in labels], labels, printable(name))
        table.labels = known_labels(said, ", ".join(labels), table.note, parting)
    return table


def _read(name: str, cells: list[str], parting: str, taken: Taken, shown: str) -> Column:
    """A column by what its cells are, or as the encoder has learnt it that takes it. Raises DataError."""
    column = column_of(cells, parting)
    if name not in taken.numbers or column.values.dtype.kind == "f":
        return column
    column = as_learnt(cells, parting, taken.numbers[name])
    if column.values.dtype.kind != "f":
        way = "leave a cell empty where its number is not known"
        raise DataError(f"{shown}: column '{printable(name)}' holds {column.said}; {way}")
    return column
