"""A folder of images: its files in a stable order, what was passed over and why, and a careful way to read one."""

import os
import stat
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from selftaught.data.sources.source import MAX_BYTES
from selftaught.system.ownership import MANIFEST, is_ours

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF")  # Pillow's names of what is decoded
SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".avif"),
    *(".heic", ".heif", ".hif", ".jxl", ".dcm", ".dicom"),  # which take an extra
)
IMAGES, MASKS = "images", "masks"  # folders beside each other, one with the class of each pixel of the other's
CLUTTER = ("__MACOSX", "Thumbs.db", "desktop.ini")

NO_IMAGE, HIDDEN, SYSTEM = "not named like an image", "hidden", "left by the operating system"
OUTSIDE, DANGLING, NO_FILE = "a link out of the folder", "a link to nothing", "not a regular file"
LINK = "a link"  # in an archive
OURS = "made by selftaught"
BESIDE = "beside tars, which alone are read"
# What is passed over for these is no broken image.
NO_FAULTS = (NO_IMAGE, HIDDEN, SYSTEM, OUTSIDE, DANGLING, NO_FILE, LINK, OURS, BESIDE)


def passed_over(key: str, suffixes: tuple[str, ...] = SUFFIXES) -> str | None:
    """Why a file of this key is not taken for an image, by its name alone; None where it is one of these suffixes."""
    steps = key.split("/")
    if any(step in CLUTTER for step in steps):
        return SYSTEM
    if any(step.startswith(".") for step in steps):
        return HIDDEN
    return None if key.lower().endswith(suffixes) else NO_IMAGE


def walk(root: str, suffixes: tuple[str, ...] = SUFFIXES) -> tuple[list[str], list[tuple[str, str]]]:
    """The keys of all files of these suffixes below `root` in order, and what was passed over, each with the reason.

    Links are followed inside the root only, and each folder once. Folders below the root that selftaught made are
    passed over: a run's pictures are none of the data that it learns from.
    """
    inside = os.path.realpath(root)
    keys, ignored = list[str](), list[tuple[str, str]]()
    seen: set[tuple[int, int]] = set()
    pending, linked = [("", root)], list[tuple[str, str]]()
    while pending or linked:
        # Linked folders come last: one that is found by its own name as well keeps that name, on every machine.
        prefix, folder = pending.pop() if pending else linked.pop(0)
        try:
            status = os.stat(folder)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if not prefix:
                raise
            ignored.append((prefix, f"cannot be read: {error.strerror}"))
            continue
        if prefix and _is_ours(folder, entries):
            ignored.append((prefix, OURS))
            continue
        for entry in entries:
            key = prefix + entry.name
            if (reason := passed_over(entry.name, suffixes)) in (HIDDEN, SYSTEM):
                ignored.append((key, reason))
            elif entry.is_symlink() and (fault := _fault(entry.path, inside)):
                ignored.append((key, fault))
            elif entry.is_dir():
                (linked if entry.is_symlink() else pending).append((key + "/", entry.path))
            elif reason or not entry.is_file():
                ignored.append((key, reason or NO_FILE))
            else:
                keys.append(key)
    return sorted(keys), ignored


def masked(keys: Sequence[str]) -> list[str]:
    """The folders, "" for the root, in which masks lie beside the images that they are of."""
    if not any(f"{MASKS}/" in key for key in keys):  # of 100,000 this is quickly known
        return []
    heads = (
        {f"/{key}".partition(f"/{name}/")[0] for key in keys if f"/{name}/" in f"/{key}"} for name in (IMAGES, MASKS)
    )
    return [head.lstrip("/") for head in sorted(set.intersection(*heads))]


def _is_ours(folder: str, entries: Sequence[os.DirEntry[str]]) -> bool:
    """Whether selftaught made a folder, of entries by name: only where one is called as those there is it opened."""
    return (_holds(entries, MANIFEST) or _holds(entries, "status.json")) and is_ours(Path(folder))


def _holds(entries: Sequence[os.DirEntry[str]], name: str) -> bool:
    place = bisect_left(entries, name, key=lambda entry: entry.name)
    return place < len(entries) and entries[place].name == name


def _fault(link: str, inside: str) -> str | None:
    """Why a link is not followed."""
    target = os.path.realpath(link)
    if not os.path.exists(target):  # noqa: PTH110 - a link to itself is no error here
        return DANGLING
    return OUTSIDE if os.path.commonpath([inside, target]) != inside else None


def read_regular(file: Path) -> bytes:
    """The bytes of a regular file; a pipe or device is not opened, nor a file read that no image would fill."""
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(NO_FILE)
    if status.st_size > MAX_BYTES:
        raise OSError(f"{status.st_size:,} bytes are more than any image takes")
    return file.read_bytes()
