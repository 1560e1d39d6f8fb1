"""Predicted samples sorted into a folder for each class, as copies or links, whole or not at all; none is moved."""

import errno
import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selftaught.contracts.modality import place_of
from selftaught.system.errors import DataError, UsageError
from selftaught.system.files import temporary_for
from selftaught.system.interruption import poll
from selftaught.system.outputs import write_table
from selftaught.system.progress import Progress
from selftaught.system.text import printable

SORTED, UNDECIDED = "sorted.csv", "undecided.csv"  # which file a sample became, and what was not sure enough
# Of names of folders: what parts them, and on Windows what has a meaning of its own, such as the colon.
MARKS = "/\\\0" + '<>:"|?*' * (sys.platform == "win32")
LISTS = ".csv"  # data that names files beside it


@dataclass(frozen=True)
class Sorting:
    """What became of samples that were sorted into folders."""

    folder: str
    counts: dict[str, int]  # of each class
    undecided: int


def refuse_target(folder: str, data: str) -> None:
    """Raise UsageError where samples cannot be sorted into a folder, before anything is read."""
    shown, place = printable(folder), Path(folder)
    if os.path.lexists(place) and (place.is_symlink() or not place.is_dir() or any(place.iterdir())):
        raise _not_empty(folder)
    own, held = os.path.realpath(place), os.path.realpath(place_of(data))
    if own == held or own.startswith(held.rstrip(os.sep) + os.sep):
        raise UsageError(f"--move-into {shown} lies in {printable(data)}, of which it would be a part; choose another")


def files_of(data: str, keys: Sequence[str], things: str) -> list[Path]:
    """The file of each sample. Raises DataError where samples are no files of their own on this machine."""
    root = Path(place_of(data))
    base = root if root.is_dir() else root.parent if root.suffix.lower() == LISTS else None
    files = [base / key for key in keys] if base else []
    missing = next((key for key, file in zip(keys, files) if not file.is_file()), None)
    if base is None or missing is not None:
        which = f" ({printable(missing)} is none)" if missing is not None else ""
        raise DataError(
            f"--move-into sorts files, and the {things} of {printable(data)} are no files of their own{which}: "
            "unpack an archive first; --out lists what is said of each"
        )
    return files


def sort_into(
    folder: str, files: Sequence[Path], said: Sequence[tuple[str, str, float]], threshold: float, how: str
) -> Sorting:
    """Make a folder with one for each class that was said; of what is less sure than `threshold` only a list.

    said: of each file the key of its sample, the class and how sure that is. Raises UsageError where links cannot be
    made, or somebody has put something into the folder meanwhile.
    """
    place = Path(folder)
    temporary = temporary_for(place)
    counts: Counter[str] = Counter()
    taken: set[tuple[str, str]] = set()
    rows, undecided = [], []
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary.mkdir()
    try:
        with Progress("sorting", len(files), "files") as bar:
            for done, (file, (key, name, likely)) in enumerate(zip(files, said, strict=True), 1):
                poll()
                bar.update(done)
                if not likely >= threshold:  # nor is it sure if nobody knows how likely
                    undecided.append([key, name, f"{likely:.6f}"])
                    continue
                (temporary / name).mkdir(exist_ok=True)
                called = _free(file.name, name, taken)
                _bring(file, temporary / name / called, how)
                rows.append([key, f"{name}/{called}", f"{likely:.6f}"])
                counts[name] += 1
        write_table(temporary / SORTED, ["path", "file", "probability"], rows)
        write_table(temporary / UNDECIDED, ["path", "predicted", "probability"], undecided)
        _put(temporary, place)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)  # of which all is ours
        raise
    return Sorting(folder, dict(counts), len(undecided))


def _put(made: Path, place: Path) -> None:
    try:
        made.replace(place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise _not_empty(str(place)) from None


def _not_empty(folder: str) -> UsageError:
    return UsageError(f"--move-into {printable(folder)} exists and is not empty; choose another folder")


def refuse_name(name: str) -> None:
    """Raise UsageError for a class that no folder can be called."""
    if name in ("", ".", "..", SORTED, UNDECIDED) or any(mark in name for mark in MARKS):
        raise UsageError(f"--move-into: no folder can be called '{printable(name)}', as a class of this classifier is")


def _free(name: str, folder: str, taken: set[tuple[str, str]]) -> str:
    """A name that no other file of that folder has, whatever its letters: 3.png, 3-2.png and so on."""
    stem, suffix = Path(name).stem, Path(name).suffix
    number = 1
    while (folder, (called := name if number == 1 else f"{stem}-{number}{suffix}").casefold()) in taken:
        number += 1
    taken.add((folder, called.casefold()))
    return called


def _bring(file: Path, to: Path, how: str) -> None:
    if how != "link":
        shutil.copy2(file, to)
        return
    try:
        os.link(os.path.realpath(file), to)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise
        raise UsageError(
            f"--how link: {printable(file)} cannot be linked there ({error.strerror}); say --how copy"
        ) from None
