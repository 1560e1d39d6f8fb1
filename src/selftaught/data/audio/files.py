"""Which names are those of sound, and the source that each is."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selftaught.data.sources.archives import first_member
from selftaught.data.sources.files import Files, Wanted, open_files, part_of_archive
from selftaught.data.sources.folder import SUFFIXES as IMAGES
from selftaught.data.sources.labels import NO_LABEL
from selftaught.system.errors import UsageError
from selftaught.system.text import printable

THINGS, THING = "clips", "clip"
MARK = "audio:"  # of what could be taken for images: audio:clips.zip
SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3")
NO_CLIP = "not named like a sound"
LOOKED = 1000  # entries of a folder that are looked at before it is taken for images


def recognises(data: Any) -> bool:
    """Whether this names sound: by its mark, as a sound, or as a folder or an archive that begins with sounds."""
    if not isinstance(data, str):
        return False
    if data.startswith(MARK):
        return True
    path = Path(data)
    try:
        if path.is_dir():
            return _sounds_alone(path)
        if path.suffix.lower() in SUFFIXES:
            return path.is_file()
        archive, _ = part_of_archive(path / "any") or (None, "")
    except (OSError, ValueError):  # a name that no file has
        return False
    name = first_member(archive) if archive else None
    return name is not None and name.lower().endswith(SUFFIXES)


def _sounds_alone(folder: Path) -> bool:
    heard = False
    for _, name in zip(range(LOOKED), _names(folder)):
        if name.endswith(IMAGES):
            return False
        heard = heard or name.endswith(SUFFIXES)
    return heard


def _names(folder: Path) -> Iterator[str]:
    """The names of files below a folder, as they come."""
    pending = [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
                    elif not entry.name.startswith("."):
                        yield entry.name.lower()
        except OSError:  # said by whoever opens it
            continue


def open_source(data: str | Path, label_column: str | None = None) -> Files:
    """The source that DATA names. Raises DataError and UsageError."""
    path = Path(str(data).removeprefix(MARK))
    if label_column not in (None, NO_LABEL):
        lacks = f"{printable(str(path))} has no columns with names of their own"
        raise UsageError(f"--label-column {printable(label_column)}: {lacks}")
    return open_files(path, Wanted(THINGS, SUFFIXES, NO_CLIP))
