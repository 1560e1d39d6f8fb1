"""How things are said in text that people read: names, numbers, durations, sizes; and how they write sizes."""

import re
from collections.abc import Sequence
from typing import Any

SOME = 5  # names in a sentence
LARGEST = 1 << 60  # bytes that anybody can mean


def duration(seconds: float) -> str:
    """A duration as people say it: 45s, 3m 20s, 2h 05m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def rounded(number: float) -> str:
    """A number as people say it: 0.25, 12.5, 3,000; never 3e+03."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def spelled(name: str) -> str:
    """A name whose bytes may be no UTF-8 as text that every file and reader takes: such a byte becomes \\xb9.

    Two names stay two. Python holds such bytes as halves of characters (`surrogateescape`).
    """
    if name.isprintable():  # nearly all are, and halves are not
        return name
    return "".join(_escaped(c) if "\ud800" <= c <= "\udfff" else c for c in name)


def printable(named: object) -> str:
    """A name, a path or an error, which may hold undecodable bytes or control characters, safe to print on one line."""
    name = str(named)
    return name if name.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in name)


def some_of(names: Sequence[str]) -> str:
    """The first few names, as a sentence has them, and whether there are others."""
    return ", ".join(repr(printable(name)) for name in names[:SOME]) + " and others" * (len(names) > SOME)


def _escaped(character: str) -> str:
    """\\x1b of a byte, be it a character or none, and \\u202f of a character that takes more than one."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def number_of(count: int, thing: str) -> str:
    """How many there are of a thing that takes an s in the plural: 1 image, 2,000 images."""
    return f"{count:,} {thing}{'s' * (count != 1)}"


def filesize(count: float) -> str:
    """Bytes as people say them: 12 kB, 640 MB, 1.5 GB."""
    if count < 1e6:
        return f"{count / 1e3:.0f} kB"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def bytes_of(value: Any) -> Any:
    """A size such as 500MB, 2GB or 1TB in bytes; plain numbers are bytes. Raises ValueError."""
    if isinstance(value, str):
        if not (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", value.strip(), re.IGNORECASE)):
            raise ValueError("a size looks like 500MB or 2GB")
        # Decimal, as disks are sold: 2GB is 2e9.
        given = float(match[1]) * 1000 ** " KMGT".index(match[2].upper() or " ")
        return int(given) if given < LARGEST else LARGEST + 1
    return value


def as_number(text: str) -> float | None:
    """The number that is written so; None where there is none.

    Python's own reading takes 1_11 and 11_1 for the same, which are names wherever people write them.
    """
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None
