"""Texts in a column of a table: CSV, TSV, parquet, or JSON with an object a line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from selftaught.data.sources import parquet
from selftaught.data.sources.cells import read_cells
from selftaught.data.sources.labels import (
    INDEX,
    LABELS,
    LIKE_LABELS,
    known_labels,
    label_cells,
    label_text,
    labels_among,
    listed,
    meant_in,
    named_like,
    parted,
    several_text,
)
from selftaught.data.sources.source import reading
from selftaught.data.sources.taken import finds
from selftaught.data.text.texts import Text, Texts
from selftaught.system.errors import DataError, UsageError
from selftaught.system.reading import parsed, utf8_of
from selftaught.system.regular import regular_bytes
from selftaught.system.text import printable

JSONL = (".jsonl", ".ndjson")
TABLES = (".csv", ".tsv", ".parquet", *JSONL)
TEXTS = ("text", "texts", "sentence", "content", "document", "review", "comment", "message", "body", "abstract")
IDS = ("id", "key", "index", *INDEX)
WORDY = 0.5  # of the cells of a column: so many with several words each make it one of texts
LOOKED_AT = 1000  # cells, to tell so
LARGEST = 16 << 30  # bytes of JSON


@dataclass
class Table:
    """A table: the cells of every column by its name, and what is wrong with some of its rows."""

    cells: dict[str, list[str]]
    faults: dict[int, str] = field(default_factory=dict)
    parting: str = ""  # the character between cells, where it comes from a text file of cells

    def __len__(self) -> int:
        return len(next(iter(self.cells.values()), []))


def open_columns(
    path: Path, label_column: str | None, column: str | None, taken: str | None, label: str | None
) -> Texts:
    """The texts of a table; the rest: see `open_texts`. Raises DataError and UsageError."""
    shown = printable(path.name)
    table = _read(path, label_column or label)
    header = [*table.cells]
    label_column = label if label_column is None and label and finds(header, label) else label_column
    key = next(iter(named_like(header, IDS)), None)
    chosen, notes = _column(table, column, taken, key, label_column, shown)
    labels = labels_among([name for name in header if name != chosen], label_column, shown)
    said = _said(table, labels, shown, notes)
    keys = table.cells[key] if key is not None and chosen != key else [str(row) for row in range(len(table))]
    given = (
        Text(keys[row], text, said[row] if said else None, table.faults.get(row, "") or fault_of(text))
        for row, text in enumerate(table.cells[chosen])
    )
    known = (chosen, *labels, *([] if key is None or len({*map(str.strip, keys)}) < len(keys) else [key]))
    others = {name: cells for name, cells in table.cells.items() if name not in known}
    return Texts.of(path.stem, given, notes=notes, column=chosen, beside=others)


def _said(table: Table, labels: Sequence[str], shown: str, notes: list[str]) -> list[str] | None:
    """The label of each row."""
    if not labels:
        return None
    said = label_cells([table.cells[name] for name in labels], labels, shown)
    return known_labels(said, shown, notes.append, table.parting)


def _column(
    table: Table, asked: str | None, taken: str | None, key: str | None, label_column: str | None, shown: str
) -> tuple[str, list[str]]:
    """The column of texts, and what to say of it. Raises DataError and UsageError."""
    header = [*table.cells]
    if asked is not None:
        if asked not in header:
            raise UsageError(f"--column {printable(asked)} is no column of {shown}; {meant_in(header, asked)}")
        return asked, []
    if taken in header:
        return str(taken), []
    labels = labels_among(header, label_column, shown)
    open_to = [name for name in header if name not in (key, *labels)]
    found = named_like(open_to, TEXTS)[:1] or [name for name in open_to if _is_wordy(table.cells[name])]
    if len(found) != 1:
        several = "several columns" if found else "no column"
        raise DataError(f"{shown} has {several} that texts may be in: say which with --column; it has {listed(header)}")
    return found[0], [f"texts are those of the column '{printable(found[0])}' of {shown}; --column names another"]


def _is_wordy(cells: Sequence[str]) -> bool:
    """Whether most cells, of those that hold anything, have several words."""
    held = [cell.strip() for cell in cells[:LOOKED_AT] if cell.strip()]
    return sum(" " in cell for cell in held) > WORDY * len(held)


def fault_of(text: str) -> str:
    """What is wrong with a text, "" for nothing: bytes that were no text have been kept as halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        odd = ord(text[error.start])
        kept = 0xDC80 <= odd <= 0xDCFF
        return f"is no text in UTF-8: byte {odd - 0xDC00:#04x}" if kept else "holds half a character"
    return ""


def _read(path: Path, label_column: str | None) -> Table:
    shown = printable(path.name)
    if path.suffix.lower() == ".parquet":
        header, cells = parquet.columns(path, partial(_whole, label_column))
        return Table(dict(zip(header, cells)))
    if path.name.lower().endswith(JSONL):
        return _of_json(path)
    lines, parting = read_cells(path, damaged=True)
    rows = [line for line in lines if line]
    if not rows:
        raise DataError(f"{shown} is empty")
    header = [cell.strip() for cell in rows[0]]
    if twice := [name for name in header if header.count(name) > 1]:
        raise DataError(f"{shown} has two columns named '{printable(twice[0])}'")
    if len(rows) == 1:
        raise DataError(f"{shown} holds no lines but the names of its columns")
    faults = {
        row: f"has {len(line)} cells, the first line has {len(header)}"
        for row, line in enumerate(rows[1:])
        if len(line) != len(header)
    }
    whole = [line if row not in faults else [""] * len(header) for row, line in enumerate(rows[1:])]
    return Table({name: [*cells] for name, cells in zip(header, zip(*whole))}, faults, parting)


def _whole(label_column: str | None, header: Sequence[str]) -> list[str]:
    """The columns whose lists are cells as they are: labels, of which a text may have several."""
    return parted(header, label_column) if label_column else named_like(header, (*LABELS, *LIKE_LABELS))[:1]


def _of_json(path: Path) -> Table:
    """An object a line; a line that is none is a fault of its row alone."""
    with reading(path.name):
        lines = [line for line in utf8_of(regular_bytes(path, LARGEST, links=True)).split(b"\n") if line.strip()]
    table = Table({})
    rows = [_object(row, line, table.faults) for row, line in enumerate(lines)]
    for name in dict.fromkeys(name for row in rows for name in row):
        table.cells[name] = ["" if (value := row.get(name)) is None else _cell(value) for row in rows]
    if not table.cells:
        why = f": line 1 {table.faults[0]}" if 0 in table.faults else ""
        raise DataError(f"{printable(path.name)} holds no JSON with an object a line{why}")
    return table


def _object(row: int, line: bytes, faults: dict[int, str]) -> Mapping[str, Any]:
    try:
        held = parsed(line)
    except UnicodeDecodeError as error:
        faults[row] = f"is no text in UTF-8: byte {line[error.start]:#04x} at {error.start:,}"
        return {}
    except ValueError as error:
        faults[row] = f"is no JSON: {printable(str(error))}"
        return {}
    if isinstance(held, dict):
        return held
    faults[row] = "is no object of JSON"
    return {}


def _cell(value: Any) -> str:
    """A value as text: of a list of names those with `;` between them, as several labels are written."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return several_text(value)
    return str(value).lower() if isinstance(value, bool) else label_text(value)
