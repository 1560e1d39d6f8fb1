"""What a parquet file unpacks to, told by its metadata before it is read, and of text by its dictionaries."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from selftaught.data.sources.distant import Distant, readable
from selftaught.system.bombs import allowed, refuse_bomb

CELL = 200  # bytes that a cell takes as text in Python, about
TEXT = "BYTE_ARRAY"  # what parquet calls values that say their own length

Chunk = tuple[int, Any]  # a row group's number, and the metadata of a column in it


def refuse_large(file: Any) -> None:
    """Raise Bomb where a pyarrow.parquet.ParquetFile unpacks to more than it may."""
    chunks = list(_chunks(file))
    unpacked = sum(column.total_uncompressed_size for _, column in chunks)
    refuse_bomb(unpacked, _stored(chunks), "what it holds")


def refuse_long_text(
    path: Path | Distant, file: Any, names: Sequence[str] | None = None, group: int | None = None
) -> None:
    """Raise Bomb where text of columns, or bytes, are longer in memory than they may be.

    A value that stands in a dictionary once can be there in every row, for a few bits each.
    names: those of columns, such as image or image.bytes; group: the only row group that is read.
    """
    chunks = list(_chunks(file, names, group))
    least = allowed(_stored(chunks)) // max(1, len(chunks))
    doubtful = [chunk for chunk in chunks if _at_most(*chunk) > least]
    refuse_bomb(sum(_written_out(path, *chunk) for chunk in doubtful), _stored(chunks), "its text")


def refuse_many_cells(file: Any, names: Sequence[str] | None = None) -> None:
    """Raise Bomb where columns have more cells than can be held as text, for all that the file stores.

    Of millions of images the column of labels is nothing beside them, and packed to next to nothing.
    """
    cells = sum(column.num_values for _, column in _chunks(file, names))
    refuse_bomb(CELL * cells, _stored(list(_chunks(file))), f"{cells:,} cells")


def _stored(chunks: Sequence[Chunk]) -> int:
    return sum(column.total_compressed_size for _, column in chunks)


def _chunks(file: Any, names: Sequence[str] | None = None, group: int | None = None) -> Iterator[Chunk]:
    metadata = file.metadata
    for number in range(metadata.num_row_groups) if group is None else (group,):
        for place in range(metadata.num_columns):
            column = metadata.row_group(number).column(place)
            path = column.path_in_schema
            if names is None or any(path == name or path.startswith(f"{name}.") for name in names):
                yield number, column


def _at_most(group: int, column: Any) -> int:
    """Bytes that the text of a chunk cannot exceed, whatever its dictionary holds."""
    if column.physical_type != TEXT or not column.has_dictionary_page:
        return 0
    return column.num_values * column.total_uncompressed_size


def _written_out(path: Path | Distant, group: int, column: Any) -> int:
    """Bytes of the text of a chunk: it is read with each value once, and the values' lengths are added up."""
    from pyarrow import compute, parquet

    name = column.path_in_schema
    with parquet.ParquetFile(readable(path), memory_map=True, read_dictionary=[name]) as file:
        cells = file.read_row_group(group, columns=[name], use_threads=False).column(0)
    total = 0
    for chunk in cells.chunks:
        while not hasattr(chunk, "dictionary"):  # inside of structs, and of lists
            chunk = chunk.flatten() if hasattr(chunk, "values") else chunk.flatten()[0]
        lengths = compute.binary_length(chunk.dictionary)
        total += compute.sum(compute.take(lengths, chunk.indices)).as_py() or 0
    return total
