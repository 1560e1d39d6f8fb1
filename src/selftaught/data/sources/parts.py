"""What samples are called that are parts of one thing: pages of a file, windows of a recording, rows of one name."""

import re
from collections import Counter
from collections.abc import Callable, Sequence

from selftaught.system.text import printable

_PART = re.compile(r"(?:#\d+|\[\d+:\d+\])$")


def page_of(key: str, number: int) -> str:
    """A page of a file, counted from 1."""
    return f"{key}#{number}"


def window_of(key: str, start: int, end: int) -> str:
    """The points of a recording from one up to another."""
    return f"{key}[{start}:{end}]"


def told_apart(names: Sequence[str], things: str, note: Callable[[str], None]) -> list[str]:
    """Names of which no two are one: as they are, or else all as parts of what they name, counted from 1.

    Numbers of rows in their place would be taken for the names that stand in somebody's labels.
    """
    plain, counts = [name.strip() for name in names], Counter[str]()
    if len({*plain}) == len(plain):
        return [*names]
    parts = list[str]()
    for name in plain:
        counts[name] += 1
        parts.append(page_of(name, counts[name]))
    again = next(row for row, name in enumerate(plain) if counts[name] > 1)
    shown = printable(plain[again]), printable(parts[again])
    note(f"several {things} are called {shown[0]!r}: all are numbered behind their names, as {shown[1]!r}")
    return parts


def whole_of(key: str) -> str:
    """What a sample is a part of, by its key; itself where it is no part."""
    return _PART.sub("", key)
