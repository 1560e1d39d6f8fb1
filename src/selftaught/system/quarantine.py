"""The list of what could not be used and why, as a CSV that a spreadsheet opens without harm."""

import csv
from collections.abc import Sequence
from pathlib import Path

from selftaught.system.saying import say
from selftaught.system.text import printable


def write_quarantine(file: Path, quarantined: Sequence[tuple[str, str]]) -> None:
    """Write path,reason lines for people: names are as they are shown, not always as the disk has them."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "reason"])
        writer.writerows((harmless(printable(key)), harmless(printable(reason))) for key, reason in quarantined)


def warn_of(quarantined: Sequence[tuple[str, str]], data: str) -> None:
    """Say how many samples of `data` are left out and why the first is, if any are."""
    if quarantined:
        key, reason = quarantined[0]
        line = f"{len(quarantined):,} of {printable(data)} cannot be used and are left out"
        say(f"warning: {line}; the first is {printable(key)}: {printable(reason)}")


def harmless(cell: str) -> str:
    """A cell that a spreadsheet will not take for a formula."""
    return "'" + cell if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
