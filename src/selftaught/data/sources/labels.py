"""Labels by key from a CSV of path,label."""

import csv
from pathlib import Path

from selftaught.data.sources.source import Source
from selftaught.system.errors import DataError
from selftaught.system.text import printable


def labels_from_csv(file: Path, source: Source) -> list[str]:
    """Labels by key from a CSV of path,label; "" for images it does not name."""
    by_key, shown = read_labels(file), printable(str(file))
    known = set(source.keys)
    missing = [key for key in by_key if key not in known]
    if len(missing) == len(by_key):
        example = printable(source.keys[0])
        raise DataError(f"no path in {shown} names an image: its first is {missing[0]!r}, an image is {example!r}")
    if missing:
        raise DataError(f"{len(missing)} paths in {shown} name no image of the data, such as {missing[0]!r}")
    return [by_key.get(key, "") for key in source.keys]


def read_labels(file: Path) -> dict[str, str]:
    shown = printable(str(file))
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{shown} cannot be read: {error}") from None
    if rows and [cell.strip().lower() for cell in rows[0][:2]] == ["path", "label"]:
        rows = rows[1:]
    short = next((number for number, row in enumerate(rows, 1) if len(row) < 2), None)
    if not rows or short:
        raise DataError(f"{shown} must have lines of path,label" + (f"; row {short} has not" if short else ""))
    return {row[0].strip(): row[1].strip() for row in rows}
