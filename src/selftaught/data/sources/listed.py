"""Images that a CSV lists: a column of paths from where the file is, and perhaps one of labels."""

import os
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

from selftaught.data.sources.cells import HEAD, first_lines, parting_of, read_cells, says_anything
from selftaught.data.sources.contents import SIZE, Contents, Stamps, stamps_of
from selftaught.data.sources.files import Files
from selftaught.data.sources.folder import SUFFIXES, read_regular
from selftaught.data.sources.labels import (
    KEYS,
    Line,
    agreeing,
    known_labels,
    label_cells,
    labels_among,
    named_like,
    plain,
)
from selftaught.system.errors import DataError, UsageError
from selftaught.system.reading import head_in
from selftaught.system.text import printable

LOOKED_AT = 16  # lines
OUT = "lies outside the folder of the list"


def lists_images(file: Path) -> bool:
    """Whether a CSV has a column of the names of image files, by its first lines alone."""
    if not file.is_file():  # nor a pipe, which would not end
        return False
    try:
        head = head_in(file, HEAD)
    except (OSError, ValueError):  # said by whoever opens it
        return False
    lines = first_lines(head, parting_of(head))
    return bool(lines) and _paths(lines[0], lines[1 : LOOKED_AT + 1], file.parent) is not None


def _paths(header: Sequence[str], lines: Sequence[Sequence[str]], folder: Path) -> int | None:
    """Which cell of a line is the path of an image, by its column's name and by what the first lines have there."""
    for name in named_like(header, KEYS):
        place = list(header).index(name)
        cells = [line[place] for line in lines if len(line) > place]
        if cells and all(_is_image(cell, folder) for cell in cells):
            return place
    return None


def _is_image(cell: str, folder: Path) -> bool:
    return plain(cell).lower().endswith(SUFFIXES) or bool(_ending(plain(cell), folder))


def _ending(name: str, folder: Path) -> str:
    """What a name lacks to be that of an image in the folder; "" where none is found."""
    named = ((ending, folder / f"{name}{ending}") for ending in SUFFIXES if name)
    return next((ending for ending, file in named if os.path.isfile(file)), "")  # noqa: PTH113 - no error for odd names


def open_list(file: Path, label_column: str | None = None, column: str | None = None) -> Files:
    """The images that a CSV lists, each once, with the labels that stand beside them. Raises DataError.

    column: which has the paths, where several do.
    """
    shown, folder = printable(str(file)), file.parent
    held, parting = read_cells(file, names=True)
    lines = [(number, line) for number, line in enumerate(held, 1) if says_anything(line)]
    header, rows = ([name.strip() for name in lines[0][1]] if lines else []), lines[1:]
    if column is not None and column not in header:
        listed = ", ".join(map(printable, header))
        raise UsageError(f"--column {printable(column)} is no column of {shown}; it has {listed}")
    first = [line for _, line in rows[:LOOKED_AT]]
    place = _paths(header, first, folder) if column is None else header.index(column)
    if place is None:
        raise DataError(f"{shown} lists no images: it needs a column of their paths, such as {', '.join(KEYS[:4])}")
    if bad := next((number for number, line in rows if len(line) != len(header)), None):
        raise DataError(f"{shown}, line {bad} has not as many cells as the header, which has {len(header)}")
    if bad := next((number for number, line in rows if not line[place].strip() or "\0" in line[place]), None):
        raise DataError(f"{shown}, line {bad} names no file in column '{printable(header[place])}'")
    _refuse_elsewhere(shown, [line[place] for _, line in rows[:LOOKED_AT]], folder)
    columns = labels_among(header, label_column, shown)
    label = ", ".join(columns)
    notes: list[str] = []
    cells = [[line[header.index(column)] for _, line in rows] for column in columns]
    said = label_cells(cells, columns, shown) if label else [""] * len(rows)
    labels = known_labels(said, label, notes.append, parting)
    named = (Line(number, _key(line[place], folder), text) for (number, line), text in zip(rows, labels))
    by_key = dict(sorted(agreeing(named, shown).items()))
    source = _source(file, list(by_key))
    source.labels = list(by_key.values()) if label else source.labels
    others = [column for column in header if column not in (header[place], *columns)]
    source.extra = {name: partial(_beside, rows, header.index(name), place, source.keys, folder) for name in others}
    source.notes = [*_told(len(by_key), header[place], label, others), *notes]
    return source


OPENS = {".csv": open_list, ".tsv": open_list}


def _beside(
    rows: Sequence[tuple[int, Sequence[str]]], cell: int, path: int, keys: Sequence[str], folder: Path
) -> list[str]:
    """A column by the keys of the images. Raises DataError where two lines of one image say differently."""
    named = (Line(number, _key(line[path], folder), line[cell]) for number, line in rows)
    by_key = agreeing(named, "the list")
    return [by_key[key] for key in keys]


def _refuse_elsewhere(shown: str, cells: Sequence[str], folder: Path) -> None:
    """Raise DataError where none of the first images is where the list says."""
    if not any((folder / _key(cell, folder)).is_file() for cell in cells):
        told = f"{shown} lists images, such as '{printable(cells[0])}', and none is there from where the list is"
        raise DataError(f"{told}: name the folder of the images as data, and the list as CSV of labels")


def _key(cell: str, folder: Path) -> str:
    """How a file is named from the folder of the list."""
    name = plain(cell)
    name = name if name.lower().endswith(SUFFIXES) else name + _ending(name, folder)
    if not os.path.isabs(name):  # noqa: PTH117 - as below, Path is ten times as slow
        return os.path.normpath(name)
    inside = os.path.relpath(name, os.path.abspath(folder))  # noqa: PTH100
    return name if inside.startswith("..") else inside


def _source(file: Path, keys: list[str]) -> Files:
    root = os.path.realpath(file.parent)

    def read(row: int) -> bytes:
        if os.path.commonpath([root, os.path.realpath(os.path.join(root, keys[row]))]) != root:  # noqa: PTH118
            raise OSError(OUT)  # a list of somebody else's would put any picture of this machine into a run
        return read_regular(Path(root) / keys[row])

    @cache
    def stamps() -> Stamps:
        return stamps_of((os.path.join(root, key) for key in keys), len(keys))  # noqa: PTH118

    contents = Contents(len(keys), os.path.realpath(file), stamps)
    return Files(file.stem, keys, lambda: stamps()[:, SIZE].tolist(), read, (), contents)


def _told(count: int, paths: str, label: str, others: Sequence[str]) -> list[str]:
    """What to say of a list."""
    beside = f", and their labels in column '{printable(label)}'" if label else ""
    left = f"; not learnt from: {', '.join(map(printable, others[:5]))}{', ...' * (len(others) > 5)}" if others else ""
    return [f"it lists {count:,} images in column '{printable(paths)}'{beside}{left}"]
