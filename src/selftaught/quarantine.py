"""The list of what could not be used and why, as a CSV that a spreadsheet opens without harm."""

import csv
from collections.abc import Sequence
from pathlib import Path

from .progress import plain


def write_quarantine(file: Path, quarantined: Sequence[tuple[str, str]]) -> None:
    """Write path,reason lines."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "reason"])
        writer.writerows((harmless(plain(key)), harmless(reason)) for key, reason in quarantined)


def harmless(cell: str) -> str:
    """A cell that a spreadsheet will not take for a formula."""
    return "'" + cell if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
