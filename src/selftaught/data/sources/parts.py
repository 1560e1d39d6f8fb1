"""What samples are called that are parts of one thing: pages of a file, windows of a recording."""

import re

_PART = re.compile(r"(?:#\d+|\[\d+:\d+\])$")


def page_of(key: str, number: int) -> str:
    """A page of a file, counted from 1."""
    return f"{key}#{number}"


def window_of(key: str, start: int, end: int) -> str:
    """The points of a recording from one up to another."""
    return f"{key}[{start}:{end}]"


def whole_of(key: str) -> str:
    """What a sample is a part of, by its key; itself where it is no part."""
    return _PART.sub("", key)
