"""Which command wrote a file, as the file itself says: what a command has written it may write anew, and nothing else.

Whatever cannot be read, or is no regular file, is somebody else's.
"""

import csv
import io
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from selftaught.system.arrays import Npz
from selftaught.system.reading import json_in
from selftaught.system.regular import opened

NAME = "selftaught"
FIRST = 1 << 10  # bytes in which a page or a picture says what made it
HEADER = 1 << 20  # bytes that a table's first lines take at most
PICTURED = b"\x89PNG\r\n\x1a\n"

Told = Callable[[Path], bool]  # whether a file is what the command writes that asks


def nobodys(file: Path) -> bool:
    """Of a file that may hold a person's work, whoever wrote it."""
    return False


def mark(of: str) -> str:
    """What a page, a picture or a model that this package writes has in it, of what it is."""
    return f"{NAME} {of}"


def generator(of: str) -> str:
    """The tag that says so in a page."""
    return f'<meta name="generator" content="{mark(of)}">'


def page(of: str, title: str) -> Told:
    """A page that the template of this name has made; titles of those of before there was a tag begin like `title`."""
    marks = [generator(of).encode(), f"<title>{title}: ".encode()]
    return lambda file: any(mark in _first(file, FIRST) for mark in marks)


def picture(of: str) -> Told:
    """A PNG with that mark."""
    told = b"Software\0" + mark(of).encode()
    return lambda file: (first := _first(file, FIRST)).startswith(PICTURED) and told in first


def table(*headers: Collection[str]) -> Told:
    """A CSV whose first line is one of these, so that nobody has added a column of their own."""
    known = [list(header) for header in headers]
    return lambda file: first_rows(file)[0] in known


def arrays(*names: str) -> Told:
    """An .npz of these arrays and no others."""

    def told(file: Path) -> bool:
        with suppress(OSError, ValueError):
            return set(Npz(file)) == set(names)
        return False

    return told


def facts(least: Collection[str], most: Collection[str]) -> Told:
    """A JSON file with an object that has at least these keys, and none but those, so that nobody has added one."""

    def told(file: Path) -> bool:
        with suppress(OSError, ValueError):
            return set(least) <= set(json_in(file)) <= set(most)
        return False

    return told


def _first(file: Path, count: int) -> bytes:
    with suppress(OSError), os.fdopen(opened(file, os.O_RDONLY), "rb") as stream:
        return stream.read(count)
    return b""


def first_rows(file: Path) -> tuple[list[str], list[str]]:
    """The names of a CSV's columns, and its first line below; nothing of what is none."""
    text = _first(file, HEADER).decode("utf-8", "surrogateescape")
    rows = csv.reader(io.StringIO(text, newline=""))
    with suppress(csv.Error):
        return next(rows, []), next(rows, [])
    return [], []
