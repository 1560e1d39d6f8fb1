"""Whose a folder is: one that selftaught makes holds a list of its files, and by that list alone they are removed.

The list is a file of JSON lines: {format, id, kind, names}, then {names} for each name that comes later. A name stands
there before its file does, so whatever else is met in the folder is somebody else's.
"""

import errno
import json
import os
import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selftaught.system.errors import DataError, UsageError
from selftaught.system.files import TEMPORARY, append_line, flush_folder, write_atomically
from selftaught.system.reading import json_object, parsed, yaml_in
from selftaught.system.regular import kind_of, regular_bytes
from selftaught.system.text import printable

MANIFEST = "selftaught.jsonl"
FORMAT, LARGEST = 1, 1 << 20  # of the list, and its bytes at most
IDENTITY = re.compile(r"[0-9a-f]{32}")
STATUS = {"state", "reason", "exit_code"}  # what status.json has said since the first release
NAMED = 3  # strangers that an error names
CLUTTER = (".DS_Store", "Thumbs.db", "desktop.ini")  # left by file managers where somebody has looked: left there again

NO_LINK = getattr(os, "O_NOFOLLOW", 0)
FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | NO_LINK | getattr(os, "O_CLOEXEC", 0)
BY_HANDLE = os.scandir in os.supports_fd and {os.open, os.unlink, os.rmdir} <= os.supports_dir_fd

Place = int | str  # an open folder or, where a system has no such thing, its path


@dataclass(frozen=True)
class Inside:
    """What is ours in a folder of ours: patterns of the paths of its files, and of its folders."""

    files: re.Pattern[str]
    folders: re.Pattern[str] | None = None


Owned = Mapping[str, Inside | None]  # names in a folder that are ours; of a folder among them, what is in it


@dataclass(frozen=True)
class Manifest:
    """What the list in a folder says."""

    id: str  # random, of this folder
    kind: str  # of the work that made it
    names: frozenset[str]


def manifest_of(folder: Path) -> Manifest | None:
    """The list in a folder; None where there is none, or none of ours."""
    try:
        first, *more = regular_bytes(folder / MANIFEST, LARGEST).split(b"\n")[:-1]
        head = parsed(first)
        known = head["format"] == FORMAT and IDENTITY.fullmatch(head["id"])
        lines = [head, *_whole(more)] if known else []
        names = frozenset(str(name) for line in lines for name in line["names"])
        return Manifest(head["id"], str(head["kind"]), names) if known else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _whole(lines: Iterable[bytes]) -> Iterator[Any]:
    """Every line but those that a crash has cut, before anything of that name was written."""
    for line in lines:
        with suppress(ValueError):
            yield parsed(line)


def begin(folder: Path, kind: str, names: Iterable[str]) -> None:
    """Make a folder ours, in place of what its list said before: these names are written there from now on."""
    head = {"format": FORMAT, "id": secrets.token_hex(16), "kind": kind, "names": sorted({MANIFEST, *names})}
    write_atomically(folder / MANIFEST, json.dumps(head) + "\n")


def begin_if_empty(folder: Path, kind: str, names: Collection[str]) -> None:
    """Make a folder, ours if there is nothing in it but what was called so before there were lists."""
    folder.mkdir(parents=True, exist_ok=True)
    if not manifest_of(folder) and all(path.name in names for path in folder.iterdir()):
        begin(folder, kind, names)


def begin_alone(folder: Path, kind: str, names: Collection[str] = ()) -> None:
    """Make a folder for work of this kind, which has it to itself. Raises UsageError where it holds anything else."""
    begin_if_empty(folder, kind, names)
    if (manifest := manifest_of(folder)) is None or manifest.kind != kind:
        raise UsageError(f"--out {printable(folder)} holds other files; name a folder that is empty or not there")


def own(folder: Path, *names: str) -> None:
    """Record names before they are written in a folder of ours; one that was made without a list needs none.

    Raises UsageError where somebody else's file has such a name, and OSError.
    """
    manifest = manifest_of(folder)
    if new := [name for name in names if manifest and name not in manifest.names]:
        if taken := next((name for name in new if os.path.lexists(folder / name)), None):
            raise UsageError(f"{printable(folder / taken)} is not selftaught's: move it away, or name another --out")
        append_line(folder / MANIFEST, json.dumps({"names": new}))
        flush_folder(folder)


def is_ours(folder: Path) -> bool:
    """Whether selftaught made a folder: by its list or, before there were lists, as a run that says how it stands."""
    return manifest_of(folder) is not None or (says_how_it_stands(folder) and (folder / "recipe.yaml").is_file())


def says_how_it_stands(folder: Path) -> bool:
    """Whether a folder holds a status.json as runs write it."""
    with suppress(OSError, ValueError):
        return json_object(folder / "status.json").keys() >= STATUS
    return False


def has_fields(file: Path, *fields: Collection[str]) -> bool:
    """Whether a file of settings has all of these fields, or all of those, as a saved one does."""
    with suppress(OSError, ValueError):
        return any(yaml_in(file).keys() >= set(some) for some in fields)
    return False


def refuse_as_data(root: Path) -> None:
    """Raise DataError where a folder that is to be read as data is ours, or is part of such a one."""
    place = Path(os.path.realpath(root))
    held = is_ours(place)
    for parent in () if held else place.parents:
        manifest = manifest_of(parent)
        held = held or (manifest is not None and place.relative_to(parent).parts[0] in manifest.names)
    if held:
        raise DataError(f"{printable(root)} was made by selftaught and is no data: name the folder of the samples")


def refuse_inside(folder: Path, named: Mapping[str, object]) -> None:
    """Raise UsageError where something that is to be read lies in a folder that is to be replaced."""
    place = os.path.realpath(folder)
    for what, value in named.items():
        held = _existing(Path(str(value))) if value is not None else None
        if held and _lies_in(os.path.realpath(held), place):
            lies = f"{what} {printable(value)} lies in {printable(folder)}, which is to be replaced"
            raise UsageError(f"{lies}; choose another --out")


def _existing(path: Path) -> Path | None:
    """The path, or what a place inside an archive begins with: photos.zip of photos.zip/train."""
    return next((p for p in (path, *path.parents) if (p == path or p.name) and os.path.lexists(p)), None)


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def odd(folder: Path, owned: Owned) -> Iterator[str]:
    """A line on every name that should be a file or a folder of ours and is a link, or something else."""
    for name, inside in owned.items():
        path = folder / name
        fault = kind_of(path)
        if fault and not (inside and path.is_dir() and not path.is_symlink()):
            yield f"{printable(path)} {fault}"


def refuse_odd(folder: Path, owned: Owned) -> None:
    """Raise UsageError where there is such a name."""
    for line in odd(folder, owned):
        raise UsageError(f"{line}; move it away, or put there what it stands for")


def refuse_strangers(folder: Path, owned: Owned) -> None:
    """Raise UsageError where a folder that is to be replaced holds more than what is `owned`, and say what."""
    with _opened(str(folder)) as place:
        found = [(path, entry.name) for _, entry, path, ours in _below(place, owned) if not ours]
    others = sorted(path for path, name in found if name not in CLUTTER)
    if others:
        more = f" and {len(others) - NAMED:,} more" if len(others) > NAMED else ""
        shown = ", ".join(printable(path) for path in others[:NAMED]) + more
        line = f"{printable(folder)} cannot be replaced: it holds what selftaught did not write: {shown}"
        raise UsageError(f"{line}; move that away, or choose another --out")


def clear(folder: Path, owned: Owned, spared: Collection[str] = ()) -> None:
    """Remove what is `owned` in a folder but for names that are spared. What else there is stays where it is."""
    with _opened(str(folder)) as top:
        for place, entry, path, ours in _below(top, owned):
            if ours and path not in spared:
                _remove(place, entry)


def owns(owned: Owned, path: str, is_folder: bool) -> bool:
    """Whether a path in a folder is one of those that are `owned`, or such a one while it is being written."""
    parts = ((TEMPORARY.fullmatch(part), part) for part in path.split("/"))
    top, _, rest = "/".join(match["of"] if match else part for match, part in parts).partition("/")
    if top not in owned:
        return False
    inside = owned[top]
    if not rest or not inside:
        return not rest and is_folder == bool(inside)
    pattern = inside.folders if is_folder else inside.files
    return bool(pattern and pattern.fullmatch(rest))


def _below(place: Place, owned: Owned, above: str = "") -> Iterator[tuple[Place, os.DirEntry[str], str, bool]]:
    """Everything in a folder, a folder after what is in it: where, which, its path, and whether it is ours.

    No link is followed, and nothing is looked for in a folder that is not ours.
    """
    with os.scandir(place) as entries:
        held = list(entries)
    for entry in held:
        path, is_folder = above + entry.name, entry.is_dir(follow_symlinks=False)
        ours = (is_folder or entry.is_file(follow_symlinks=False)) and owns(owned, path, is_folder)
        if ours and is_folder:
            with _opened(entry.name, place) as inner:
                yield from _below(inner, owned, path + "/")
        yield place, entry, path, ours


@contextmanager
def _opened(name: str, place: Place | None = None) -> Iterator[Place]:
    """A folder, in another one that is open, no link; whatever takes its place meanwhile is not what is looked at."""
    if not BY_HANDLE:
        yield str(Path(str(place or ""), name))
        return
    handle = os.open(name, FOLDER, dir_fd=place) if isinstance(place, int) else os.open(name, FOLDER & ~NO_LINK)
    try:
        yield handle
    finally:
        os.close(handle)


def _remove(place: Place, entry: os.DirEntry[str]) -> None:
    remove = os.rmdir if entry.is_dir(follow_symlinks=False) else os.unlink
    try:
        remove(entry.name, dir_fd=place) if isinstance(place, int) else remove(entry.path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # somebody has put something there in this moment
            raise
