"""Encoded samples in a folder or an archive, read one at a time."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from selftaught.data.sources.archives import tar_members, zip_members
from selftaught.data.sources.contents import SIZE, Contents, Stamps, stamps_in, stamps_of
from selftaught.data.sources.distant import Distant, place_of
from selftaught.data.sources.encoded import Encoded, Ignored, Labels, Sizes
from selftaught.data.sources.folder import (
    IMAGES,
    LINK,
    MASKS,
    NO_IMAGE,
    OURS,
    OUTSIDE,
    SUFFIXES,
    masked,
    passed_over,
    read_regular,
    walk,
)
from selftaught.data.sources.marks import kind_of
from selftaught.data.sources.source import is_folder, no_data, reading
from selftaught.system.errors import DataError
from selftaught.system.ownership import MANIFEST, refuse_as_data
from selftaught.system.regular import opened
from selftaught.system.text import printable

HEAD, DICOMDIR = 256, "DICOMDIR"  # bytes that tell what a file is; a list of DICOM files
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


class Wanted(NamedTuple):
    """Which files are samples."""

    things: str = "images"  # what these are called
    suffixes: tuple[str, ...] = SUFFIXES
    other: str = NO_IMAGE  # why others are passed over

    def reasons(self, ignored: Ignored) -> list[tuple[str, str]]:
        """What was passed over, each with the reason as it is said of these."""
        return [(key, self.other if why == NO_IMAGE else why) for key, why in ignored]


PICTURES = Wanted()


class Files(Encoded):
    """Encoded samples in files that have names, whose folders are their labels where all lie in one."""

    read: Callable[[int], bytes]

    def __init__(
        self,
        name: str,
        keys: list[str],
        sizes: Sizes,
        read: Callable[[int], bytes],
        ignored: Ignored = (),
        contents: Contents | None = None,
    ) -> None:
        super().__init__(name, keys, sizes, read, ignored, contents, lambda: folders_of(keys))
        for place in masked(keys):
            inside = f"{place}/" * bool(place)
            self.note(
                f"what {inside}{MASKS} holds is taken for images; to leave masks out, name {inside}{IMAGES} alone"
            )

    def lacking(self) -> str:
        return outside_folders(self.keys)


def folders_of(keys: Sequence[str]) -> Labels:
    """The first folder of each name, where all have one."""
    folders = [key.partition("/")[0] if "/" in key else "" for key in keys]
    return folders if all(folders) else None


def outside_folders(keys: Sequence[str]) -> str:
    """Which few names have no folder, where most have one: for their sake folders are no labels. "" elsewhere."""
    outside = [key for key in keys if "/" not in key]
    if not 0 < 2 * len(outside) < len(keys):
        return ""
    lie = "lies" if len(outside) == 1 else "lie"
    told = f"{len(outside):,} of {len(keys):,} files {lie} in no folder ({printable(outside[0])})"
    return f"{told}, so folders are no labels"


def open_folder(root: Path, wanted: Wanted = PICTURES) -> Files:
    refuse_as_data(root)
    with reading(str(root)):
        keys, ignored = walk(os.fspath(root), wanted.suffixes)
        if not keys and wanted is PICTURES:
            scans = {key for key, why in ignored if why == NO_IMAGE and _is_dicom(root / key)}
            keys, ignored = sorted(scans), [passed for passed in ignored if passed[0] not in scans]
    if not keys:
        raise DataError(_nothing_in(printable(str(root)), ignored, wanted))

    @cache
    def stamps() -> Stamps:
        # Not while indexing: names alone are what keeps 100,000 files under a second.
        return stamps_of((os.path.join(root, key) for key in keys), len(keys))  # noqa: PTH118 - Path is slow

    def sizes() -> list[int]:
        return stamps()[:, SIZE].tolist()

    name, contents = root.resolve().name or wanted.things, Contents(len(keys), os.path.realpath(root), stamps)
    return Files(name, keys, sizes, lambda i: read_regular(root / keys[i]), wanted.reasons(ignored), contents)


def _is_dicom(file: Path) -> bool:
    """Whether a file that is not called so is DICOM, as scanners leave them; but the list of them in a folder."""
    with suppress(OSError):
        if file.stem.upper() != DICOMDIR:
            with os.fdopen(opened(file, os.O_RDONLY, links=True), "rb") as stream:
                return kind_of(stream.read(HEAD)) == "DICOM"
    return False


def _nothing_in(shown: str, ignored: Ignored, wanted: Wanted) -> str:
    others = Counter(Path(key).suffix.lower() or "no extension" for key, why in ignored if why == NO_IMAGE)
    saw = ", ".join(f"{count} {printable(suffix)}" for suffix, count in others.most_common(3)) or "no files at all"
    if not others and ignored:
        reasons = Counter(why for _, why in ignored)
        saw = "only " + ", ".join(f"{count} {why}" for why, count in reasons.most_common(3))
    linked = any(why in (OUTSIDE, LINK) for _, why in ignored)
    hint = "; links are not followed: name the folder they lead to, or copy what they lead to (cp -rL)" * linked
    hint += f"; texts are read as text:{shown}" * (".txt" in others)
    return f"no {wanted.things} in {shown}: saw {saw}{hint}; {wanted.things} are {' '.join(wanted.suffixes)}"


def open_files(path: Path, wanted: Wanted) -> Files:
    """A folder, an archive or a part of one. Raises DataError."""
    if is_folder(path):
        return open_folder(path, wanted)
    if path.is_file() and path.name.lower().endswith(ARCHIVES):
        return open_archive(path, wanted=wanted)
    if path.is_file():
        refuse_single(path, wanted)
        raise DataError(f"{printable(str(path))} is neither a folder nor an archive of these: {', '.join(ARCHIVES)}")
    if part := part_of_archive(path):
        return open_archive(*part, wanted=wanted)
    raise no_data(path)


def refuse_single(path: Path, wanted: Wanted = PICTURES) -> None:
    """Raise DataError for a file that is one sample, where a folder of them is wanted."""
    if path.name.lower().endswith(wanted.suffixes):
        folder = printable(str(path.parent))
        raise DataError(f"{printable(str(path))} is a single {wanted.things[:-1]}: name its folder, {folder}")


def part_of_archive(path: Path) -> tuple[Path, str] | None:
    """The archive that a path leads into, and the place there: a.zip and train/ of a.zip/train."""
    archive = next((up for up in path.parents if up.is_file() and up.name.lower().endswith(ARCHIVES)), None)
    return None if archive is None else (archive, path.relative_to(archive).as_posix() + "/")


def open_archive(path: Path | Distant, place: str = "", wanted: Wanted = PICTURES) -> Files:
    """Members of a zip or tar below `place`, read in place."""
    shown = printable(str(path))
    with reading(str(path), " as an archive"):
        status = path.stat()
        members, ignored, read_member = zip_members(path) if path.suffix.lower() == ".zip" else tar_members(path)
    samples = []
    made = tuple(name.removesuffix(MANIFEST) for name, _, _ in members if ("/" + name).endswith("/" + MANIFEST))
    for name, size, offset in members:
        if made and name.startswith(made):
            ignored.append((name, OURS))
        elif fault := passed_over(name, wanted.suffixes):
            ignored.append((name, fault))
        elif name.startswith(place):
            samples.append((name.removeprefix(place), size, offset))
    below = [(name.removeprefix(place), reason) for name, reason in ignored if name.startswith(place)]
    if not samples:
        if place and not below:
            named = [name for name, _, _ in members if passed_over(name, wanted.suffixes) in (None, NO_IMAGE)]
            tops = sorted({name.split("/")[0] for name in named if "/" in name})[:5]
            raise DataError(f"{shown} holds nothing under {place!r}; it holds {', '.join(tops) or 'no folders'}")
        raise DataError(_nothing_in(shown, below, wanted))
    keys, sizes = [key for key, _, _ in samples], [size for _, size, _ in samples]
    stamps = stamps_in(status, [offset for _, _, offset in samples])
    contents = Contents(len(keys), f"{place_of(path)}/{place}", lambda: stamps)
    name = path.name.split(".")[0] + (f"-{place.strip('/').replace('/', '-')}" if place else "")
    return Files(name, keys, lambda: sizes, lambda i: read_member(place + keys[i]), wanted.reasons(below), contents)


OPENS = dict.fromkeys(ARCHIVES, open_archive)
