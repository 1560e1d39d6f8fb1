"""Encoded samples in a column of a parquet file, as Hugging Face's datasets writes them; and a file's plain columns."""

import io
import json
import math
import threading
import warnings
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from selftaught.data.sources.contents import Contents, column_in, stamps_in
from selftaught.data.sources.distant import Distant, place_of, readable
from selftaught.data.sources.files import Files
from selftaught.data.sources.folder import FORMATS
from selftaught.data.sources.labels import known_labels, label_cells, label_in_python, label_text, labels_among
from selftaught.data.sources.marks import kind_of
from selftaught.data.sources.packed import refuse_large, refuse_long_text, refuse_many_cells
from selftaught.data.sources.source import MAX_BYTES, reading
from selftaught.data.sources.taken import OwnLabels
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import printable

Columns = tuple[list[str], list[list[str]]]  # their names, and the cells (N,) of each
LISTS = list | tuple | np.ndarray  # in cells of a table in Python; pyarrow gives lists
HELD = 4  # row groups in memory at a time: samples are asked for nearly in order, by threads that work ahead
KIND = " as parquet"  # in errors
LOOKED_AT = 16  # cells of bytes of which one must be an image: the very first may be broken


def _opened(path: Path | Distant) -> Any:
    """A pyarrow.parquet.ParquetFile. Raises UsageError without pyarrow, DataError where the file is none."""
    try:
        from pyarrow import parquet
    except ImportError:
        raise UsageError("parquet needs pyarrow: pip install 'selftaught[parquet]'") from None
    with reading(str(path), KIND):
        file = parquet.ParquetFile(readable(path), memory_map=True)
        refuse_large(file)
        return file


def columns(path: Path, whole: Callable[[Sequence[str]], Collection[str]] = lambda names: ()) -> Columns:
    """The names of all columns, and their cells as text; of lists each place is a column. Raises DataError.

    whole: of the names of all columns those whose lists are single cells, as labels are of which a sample has several.
    """
    file = _opened(path)
    with reading(str(path), KIND):
        refuse_many_cells(file)
        refuse_long_text(path, file)
        held = [column.to_pylist() for column in file.read().columns]
    named = file.schema_arrow.names
    alone = whole(named)
    made = [one for name, column in zip(named, held) for one in apart(name, column, name in alone, str(path))]
    return [name for name, _ in made], [cells for _, cells in made]


def apart(name: str, column: Sequence[Any], whole: bool, shown: str) -> list[tuple[str, list[str]]]:
    """A column as text, None as nothing; of lists a column for each place, unless it is `whole`. Raises DataError."""
    lists = next(([*cell] for cell in column if isinstance(cell, LISTS)), None)
    if whole or lists is None:
        return [(name, [label_in_python(cell) if isinstance(cell, LISTS) else _text(cell) for cell in column])]
    uneven = any(not isinstance(cell, LISTS) or len(cell) != len(lists) for cell in column if cell is not None)
    if uneven or any(isinstance(value, LISTS | dict) for value in lists):
        told = f"{printable(shown)}: column '{printable(name)}' holds lists of several lengths, or in lists"
        raise DataError(f"{told}: leave it out")
    wide = range(len(lists))
    return [(f"{name} {i}", [_text(None if cell is None else cell[i]) for cell in column]) for i in wide]


def _text(cell: Any) -> str:
    return "" if cell is None else label_text(cell)


def holds_samples(path: Path) -> bool:
    """Whether a column of the file holds encoded samples."""
    with suppress(DataError, UsageError):  # said by whoever opens it
        return path.is_file() and bool(_sample_columns(path, _opened(path)))
    return False


def _sample_columns(path: Path | Distant, file: Any) -> list[str]:
    """Columns of a struct with bytes in it, as Hugging Face's images are, or of bytes where some are an image's."""
    from pyarrow import types

    def holds_images(field: Any) -> bool:
        nested = _nested(field.type, "bytes")
        kind = field.type.field("bytes").type if nested else field.type
        return (types.is_binary(kind) or types.is_large_binary(kind)) and (nested or _shows_images(file, field.name))

    with reading(str(path), KIND):
        return [field.name for field in file.schema_arrow if holds_images(field)]


def _sample_column(path: Path | Distant, file: Any, asked: str | None, shown: str) -> str:
    """The column of samples: the one that was asked for, or the only one. Raises DataError and UsageError."""
    encoded = _sample_columns(path, file)
    several = ", ".join(map(printable, encoded)) or "none"
    if asked is not None and asked not in encoded:
        raise UsageError(f"--column {printable(asked)} of {shown} holds no images; those that do are: {several}")
    if asked is None and len(encoded) != 1:
        way = "; say which with --column" * (len(encoded) > 1)
        raise DataError(f"{shown} must hold its images in one column of bytes; such columns are: {several}{way}")
    return asked or encoded[0]


def _shows_images(file: Any, column: str) -> bool:
    """Whether one of the first cells that are not empty is an image: hashes and keys, too, are written as bytes."""
    batches = file.iter_batches(LOOKED_AT, columns=[column], use_threads=False)
    cells = (cell for batch in batches for cell in batch.column(0).drop_null().to_pylist())
    return any(map(_is_image, islice(cells, LOOKED_AT)))


def _is_image(data: bytes) -> bool:
    if kind_of(data):
        return True
    with warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")  # Pillow's, about large images and odd metadata
        with Image.open(io.BytesIO(data), formats=FORMATS):
            return True
    return False


class RowGroups:
    """Those that were read last, of one file or of several."""

    def __init__(self) -> None:
        self._held: OrderedDict[Any, Any] = OrderedDict()
        self._alone = threading.Lock()  # a file has one position

    def __call__(self, path: Path | Distant, group: int, read: Callable[[int], Any]) -> Any:
        """A row group of a file, by `read` where it is not held."""
        with self._alone:
            cells = self._held.pop((path, group), None)
            self._held[path, group] = cells = read(group) if cells is None else cells
            if len(self._held) > HELD:
                self._held.popitem(last=False)
            return cells


def open_parquet(
    path: Path | Distant, label_column: str | None = None, column: str | None = None, held: RowGroups | None = None
) -> Files:
    """The encoded samples of a file, read a row group at a time, with the labels of a column. Raises DataError.

    column: which holds the samples, where several could; held: row groups in memory, where files share them.
    """
    with reading(str(path), KIND):
        status = path.stat()
    file, shown = _opened(path), printable(str(path))
    column = _sample_column(path, file, column, shown)
    with reading(str(path), KIND):
        others = [name for name in file.schema_arrow.names if name != column]
        refuse_many_cells(file, [*others, f"{column}.path"])  # before labels are looked for among them
        columns = _label_columns(file, label_column, shown)
        refuse_long_text(path, file, [*columns, f"{column}.path"])
        keys, cells = _keys(file, column), [_labels(file, name) for name in columns]
    if not keys:
        raise DataError(f"{shown} holds no rows")
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    sizes = [group.total_byte_size for group in groups for _ in range(group.num_rows)]
    extra = {name: partial(_beside, path, file, name) for name in _plain(file) if name not in (column, *columns)}
    contents = Contents(len(keys), column_in(place_of(path), column), lambda: stamps_in(status, range(len(keys))))
    reader = _reader(path, file, column, [group.num_rows for group in groups], held or RowGroups())
    source = Files(path.stem, keys, lambda: sizes, reader, (), contents)
    source.extra = extra
    if columns:
        label = ", ".join(columns)
        said = label_cells(cells, columns, shown)
        source.labels = known_labels(said, label, source.note, None if held else "")  # those of files are read together
        source.note(OwnLabels(f"its labels, never used in pre-training, are those of column '{printable(label)}'"))
    return source


OPENS = {".parquet": open_parquet}


def _nested(kind: Any, field: str) -> bool:
    """Whether a type is a struct with such a field."""
    from pyarrow import types

    return types.is_struct(kind) and kind.get_field_index(field) >= 0


def _keys(file: Any, column: str) -> list[str]:
    """The path of each sample where all have one of their own, else the numbers of their rows."""
    numbers = [str(row) for row in range(file.metadata.num_rows)]
    if not _nested(file.schema_arrow.field(column).type, "path"):
        return numbers
    held = file.read(columns=[f"{column}.path"]).column(0).combine_chunks().field("path").to_pylist()
    return held if all(held) and len(set(held)) == len(held) else numbers


def _label_columns(file: Any, asked: str | None, shown: str) -> list[str]:
    """The columns of labels; of two with one name neither, and of guesses none that cannot be labels."""
    names = file.schema_arrow.names
    labels = labels_among([name for name in names if names.count(name) == 1], asked, shown)
    return [label for label in labels if asked or _is_of_labels(file, label)]


def _is_of_labels(file: Any, name: str) -> bool:
    """Whether a column has integers or text, or the whole numbers that pandas makes of integers beside NaN."""
    from pyarrow import types

    kind = file.schema_arrow.field(name).type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    if types.is_floating(kind):
        return all(
            math.isnan(cell) or cell.is_integer() for cell in file.read(columns=[name])[name].drop_null().to_pylist()
        )
    return any(test(kind) for test in (types.is_integer, types.is_string, types.is_large_string))


def _labels(file: Any, label: str) -> list[str]:
    """A column as text, by the names that Hugging Face's ClassLabel keeps for its numbers."""
    names = dict(enumerate(_class_names(file.schema_arrow, label)))
    cells = file.read(columns=[label]).column(0).to_pylist()
    names = {-1: "", **names} if names else {}  # Hugging Face's -1 is of no class
    return [label_in_python(cell, names) for cell in cells]


def _plain(file: Any) -> list[str]:
    """The columns of single values that can be read as text, but those of which several have one name."""
    from pyarrow import types

    odd = (types.is_nested, types.is_binary, types.is_large_binary)
    names = file.schema_arrow.names
    return [
        field.name
        for field in file.schema_arrow
        if names.count(field.name) == 1 and not any(test(field.type) for test in odd)
    ]


def _beside(path: Path | Distant, file: Any, name: str) -> list[str]:
    """A column that is no label, as text."""
    with reading(str(path), KIND):
        refuse_long_text(path, file, [name])
        return _labels(file, name)


def _class_names(schema: Any, label: str) -> list[str]:
    try:
        told = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label]
        return [str(name) for name in told.get("feature", told)["names"]]  # of each in a list
    except (AttributeError, KeyError, TypeError, ValueError):  # from another writer, or of another kind
        return []


def _reader(path: Path | Distant, file: Any, column: str, counts: list[int], held: RowGroups) -> Callable[[int], bytes]:
    """Reads the bytes of a sample by its row; the row groups that were read last are kept."""
    struct = _nested(file.schema_arrow.field(column).type, "bytes")
    starts = [0, *accumulate(counts)]

    def cells_of(group: int) -> Any:
        named = f"{column}.bytes" if struct else column
        refuse_long_text(path, file, [named], group)
        cells = file.read_row_group(group, columns=[named], use_threads=False).column(0)
        # A struct that is null has no bytes; `field` of an array does not look at the struct's own nulls.
        return cells.combine_chunks().flatten()[0] if struct else cells

    def read(row: int) -> bytes:
        group = bisect_right(starts, row) - 1
        cell = held(path, group, cells_of)[row - starts[group]]
        if not cell.is_valid:
            raise OSError("no bytes, perhaps only a path")
        data: bytes = cell.as_py()
        if len(data) > MAX_BYTES:
            raise OSError(f"{len(data):,} bytes are more than any image takes")
        return data

    return read
