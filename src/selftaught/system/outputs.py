"""Files that a command writes for somebody: whole or not at all, and unasked in place of its own files alone."""

import csv
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selftaught.system.errors import UsageError
from selftaught.system.files import replacing
from selftaught.system.interruption import poll
from selftaught.system.ownership import manifest_of
from selftaught.system.text import printable
from selftaught.system.written import Told, nobodys

Kinds = Mapping[str, Told]  # by how a file's name may end: whether one that is there may be written anew unasked


def refuse_taken(
    files: Mapping[str, str | None], overwrite: bool, kinds: Mapping[str, Kinds], keeps: Collection[str] = ()
) -> None:
    """Raise UsageError for a file, by its flag, that is there already or does not end as it must; before any work.

    One that the command itself has written is not in the way. keeps: names under which the command itself writes such
    files into folders of ours.
    """
    named = {flag: Path(file) for flag, file in files.items() if file is not None}
    for flag, file in named.items():
        told = kinds[flag].get(file.suffix.lower())
        if told is None:
            raise UsageError(f"{flag} {printable(file)} must end in {' or '.join(kinds[flag])}")
        refuse_others(file, flag, overwrite, told, keeps)


def refuse_others(file: Path, flag: str, overwrite: bool, told: Told, keeps: Collection[str] = ()) -> None:
    """Raise UsageError where a name is that of a folder, or of a file that is not to be replaced.

    A name that a folder of ours lists is that of a file of the work there, whether it is there yet or not.
    """
    if file.is_dir():
        raise UsageError(f"{flag} {printable(file)} is a folder; name a file in it")
    listed = manifest_of(file.parent)
    if listed and file.name in listed.names and file.name not in keeps:
        raise UsageError(f"{flag} {printable(file)} is what selftaught keeps there itself: choose another {flag}")
    if not overwrite and os.path.lexists(file) and not told(file):
        raise taken(file, flag)


def taken(file: Path, flag: str) -> UsageError:
    """That a file is there already, and what can be done."""
    return UsageError(f"{printable(file)} already exists; use --overwrite to replace it, or another {flag}")


@contextmanager
def brought(file: Path, flag: str, overwrite: bool, told: Told = nobodys) -> Iterator[Path]:
    """A temporary neighbour to write, which becomes `file` as a whole after work that ends well.

    Raises UsageError where one of that name has come meanwhile that is not to be replaced.
    """
    with replacing(file) as temporary:
        yield temporary
        if not overwrite and not told(file):
            _hold(file, flag)


def _hold(file: Path, flag: str) -> None:
    """Make the name ours, in one step that fails where anybody has it."""
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        raise taken(file, flag) from None


def write_table(file: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A CSV whose names are those of the disk, byte by byte, so that they can be looked up; None is an empty cell."""
    with file.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        for row in rows:
            poll()
            writer.writerow(row)
