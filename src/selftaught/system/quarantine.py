"""The list of what could not be used and why, as a CSV that a spreadsheet opens without harm."""

import csv
import io
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from selftaught.system.files import append_line, created, write_atomically
from selftaught.system.regular import regular_bytes
from selftaught.system.saying import say
from selftaught.system.text import printable

Quarantined = Sequence[tuple[str, str]]  # what cannot be used, and why
HEADER = ("path", "reason")


def write_quarantine(file: Path, quarantined: Quarantined) -> None:
    """Write path,reason lines, in place of what the file held."""
    write_atomically(file, _listed(quarantined))


def add_to_quarantine(file: Path, quarantined: Quarantined) -> None:
    """Write further lines at the end of such a list."""
    append_line(file, _lines(quarantined).removesuffix("\r\n"))


def list_beside(place: Path, quarantined: Quarantined) -> Path:
    """Write path,reason lines beside a file or folder, as <name>-quarantine.csv, or -2 and so on where that is taken.

    Nobody has named that file, so it replaces none; a list that says the same is left as it is. Raises OSError.
    """
    place = place if place.name.strip(".") else place.resolve()
    place.parent.mkdir(parents=True, exist_ok=True)
    listed = _listed(quarantined)
    for number in count(1):
        file = place.with_name(f"{place.name}-quarantine{f'-{number}' * (number > 1)}.csv")
        if _is_new(file, listed) or _says(file, listed):
            return file
    raise AssertionError


def _is_new(file: Path, content: bytes) -> bool:
    try:
        with created(file) as stream:
            stream.write(content)
    except FileExistsError:
        return False
    return True


def _says(file: Path, content: bytes) -> bool:
    try:
        return regular_bytes(file, len(content)) == content
    except (OSError, ValueError):
        return False


def _listed(quarantined: Quarantined) -> bytes:
    return _lines([HEADER, *quarantined]).encode()


def _lines(quarantined: Quarantined) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows((harmless(printable(key)), harmless(printable(why))) for key, why in quarantined)
    return text.getvalue()


def warn_of(quarantined: Quarantined, data: str) -> None:
    """Say how many samples of `data` are left out and why the first is, if any are."""
    if quarantined:
        key, reason = quarantined[0]
        left = "is left out" if len(quarantined) == 1 else "are left out"
        line = f"{len(quarantined):,} of {printable(data)} cannot be used and {left}"
        say(f"warning: {line}; the first is {printable(key)}: {printable(reason)}")


def harmless(cell: str) -> str:
    """A cell that a spreadsheet will not take for a formula."""
    return "'" + cell if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
