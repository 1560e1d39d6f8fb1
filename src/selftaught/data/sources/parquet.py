"""Encoded samples in a column of a parquet file, as Hugging Face's datasets writes them; and a file's plain columns."""

import json
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

from selftaught.data.sources.files import Files
from selftaught.data.sources.source import MAX_BYTES
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import printable

HELD = 4  # row groups in memory at a time: samples are asked for nearly in order, by threads that work ahead
LABEL = "label"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What goes wrong becomes a DataError."""
    try:
        yield
    except Exception as error:  # broken files raise many kinds
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{printable(str(path))} cannot be read as parquet: {printable(reason)}") from None


def _opened(path: Path) -> Any:
    """A pyarrow.parquet.ParquetFile. Raises UsageError without pyarrow, DataError where the file is none."""
    try:
        from pyarrow import parquet
    except ImportError:
        raise UsageError("parquet needs pyarrow: pip install 'selftaught[parquet]'") from None
    with _reading(path):
        return parquet.ParquetFile(path, memory_map=True)


def columns(path: Path) -> tuple[list[str], list[list[str]]]:
    """The names of all columns, and their cells as text. Raises DataError."""
    file = _opened(path)
    with _reading(path):
        cells = [column.to_pylist() for column in file.read().columns]
    return file.schema_arrow.names, [["" if cell is None else str(cell) for cell in column] for column in cells]


def holds_samples(path: Path) -> bool:
    """Whether a column of the file holds encoded samples, by its schema."""
    if not path.is_file():
        return False
    try:
        return bool(_sample_columns(_opened(path).schema_arrow))
    except (DataError, UsageError):  # said by whoever opens it
        return False


def _sample_columns(schema: Any) -> list[str]:
    """Columns of bytes, or of a struct with bytes in it, as Hugging Face's images are."""
    from pyarrow import types

    def encoded(kind: Any) -> bool:
        if types.is_struct(kind):
            place = kind.get_field_index("bytes")
            return place >= 0 and encoded(kind.field(place).type)
        return types.is_binary(kind) or types.is_large_binary(kind)

    return [field.name for field in schema if encoded(field.type)]


def open_parquet(path: Path) -> Files:
    """The encoded samples of a file, read a row group at a time. Raises DataError."""
    file, shown = _opened(path), printable(str(path))
    encoded = _sample_columns(file.schema_arrow)
    if len(encoded) != 1:
        several = ", ".join(map(printable, encoded)) or "none"
        raise DataError(f"{shown} must hold its samples in one column of bytes; such columns are: {several}")
    (column,) = encoded
    with _reading(path):
        keys, labels = _keys(file, column), _labels(file)
    if not keys:
        raise DataError(f"{shown} holds no rows")
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    written = path.stat().st_mtime_ns
    facts = [(group.total_byte_size, written) for group in groups for _ in range(group.num_rows)]
    source = Files(path.stem, keys, lambda: facts, _Reader(file, column, [group.num_rows for group in groups]))
    source.labels = labels or source.labels
    return source


OPENS = {".parquet": open_parquet}


def _nested(file: Any, column: str, field: str) -> bool:
    kind = file.schema_arrow.field(column).type
    return kind.num_fields > 0 and kind.get_field_index(field) >= 0


def _keys(file: Any, column: str) -> list[str]:
    """The path of each sample where all have one of their own, else the numbers of their rows."""
    numbers = [str(row) for row in range(file.metadata.num_rows)]
    if not _nested(file, column, "path"):
        return numbers
    held = file.read(columns=[f"{column}.path"]).column(0).combine_chunks().field("path").to_pylist()
    return held if all(held) and len(set(held)) == len(held) else numbers


def _labels(file: Any) -> list[str] | None:
    """The column `label` as text, by the names that Hugging Face's ClassLabel keeps for its numbers."""
    from pyarrow import types

    schema = file.schema_arrow
    if len(schema.get_all_field_indices(LABEL)) != 1:
        return None
    kind = schema.field(LABEL).type
    if types.is_dictionary(kind):
        kind = kind.value_type
    if not (types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind)):
        return None
    names = dict(enumerate(_class_names(schema)))
    cells = file.read(columns=[LABEL]).column(0).to_pylist()
    names = {-1: "", **names} if names else {}  # Hugging Face's -1 is of no class
    return ["" if cell is None else names.get(cell, str(cell)) for cell in cells]


def _class_names(schema: Any) -> list[str]:
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[LABEL]["names"]]
    except (KeyError, TypeError, ValueError):  # from another writer, or of another kind
        return []


class _Reader:
    """The bytes of a sample by its row; the last row groups that were read are kept."""

    def __init__(self, file: Any, column: str, counts: list[int]) -> None:
        self.file, self.struct = file, _nested(file, column, "bytes")
        self.column = f"{column}.bytes" if self.struct else column
        self.starts = [0, *accumulate(counts)]
        self.held: OrderedDict[int, Any] = OrderedDict()
        self.lock = threading.Lock()  # the file has one position

    def __call__(self, row: int) -> bytes:
        group = bisect_right(self.starts, row) - 1
        with self.lock:
            if group not in self.held:
                self.held[group] = self._read(group)
            self.held.move_to_end(group)
            while len(self.held) > HELD:
                self.held.popitem(last=False)
            cells = self.held[group]
        cell = cells[row - self.starts[group]]
        if not cell.is_valid:
            raise OSError("no bytes, perhaps only a path")
        data: bytes = cell.as_py()
        if len(data) > MAX_BYTES:
            raise OSError(f"{len(data):,} bytes are more than any image takes")
        return data

    def _read(self, group: int) -> Any:
        cells = self.file.read_row_group(group, columns=[self.column], use_threads=False).column(0)
        # A struct that is null has no bytes; `field` of an array does not look at the struct's own nulls.
        return cells.combine_chunks().flatten()[0] if self.struct else cells
