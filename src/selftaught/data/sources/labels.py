"""Labels by key from a CSV of path,label, and how a CSV is read at all."""

import csv
from collections.abc import Sequence
from pathlib import Path

from selftaught.data.sources.source import reading
from selftaught.system.errors import DataError
from selftaught.system.text import printable

HEADERS = (["path", "label"], ["key", "label"])


def csv_lines(file: Path) -> list[list[str]]:
    """The cells of every line; tabs part those of a .tsv. Raises DataError."""
    with reading(str(file), " as text"), file.open(newline="", encoding="utf-8-sig") as stream:
        return list(csv.reader(stream, delimiter="\t" if file.suffix.lower() == ".tsv" else ","))


def read_labels(file: Path) -> list[tuple[str, str]]:
    """Key and label of every line that is not empty nor a header of path,label. Raises DataError."""
    lines = [(number, [cell.strip() for cell in line]) for number, line in enumerate(csv_lines(file), 1) if line]
    if lines and [cell.lower() for cell in lines[0][1][:2]] in HEADERS:
        lines = lines[1:]
    short = next((number for number, line in lines if len(line) < 2), None)
    if not lines or short:
        faulty = f"; line {short} has not" if short else ""
        raise DataError(f"{printable(str(file))} must have lines of path,label, of rows key,label{faulty}")
    return [(line[0], line[1]) for _, line in lines]


def labels_for(file: Path, keys: Sequence[str], things: str) -> list[str]:
    """The label of each key, "" where the file does not name it. Raises DataError where it names anything else."""
    lines, known = read_labels(file), {key.strip() for key in keys}
    (first, label), others = lines[0], lines[1:]
    # A first line that names no sample has the names of columns, unless its label is a class: then it is a mistake.
    if others and first not in known and label not in {label for _, label in others}:
        lines = others
    if missing := [key for key, _ in lines if key not in known]:
        raise DataError(
            f"{len(missing)} of {len(lines)} lines in {printable(str(file))} name none of the {things}, such as "
            f"{printable(missing[0])!r}; the first of the {things} is {printable(keys[0])!r}"
        )
    by_key = dict(lines)
    return [by_key.get(key.strip(), "") for key in keys]
