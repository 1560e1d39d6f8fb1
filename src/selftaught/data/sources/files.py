"""Encoded samples in a folder or an archive, read one at a time."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from selftaught.data.sources.archives import tar_members, zip_members
from selftaught.data.sources.folder import NO_IMAGE, SUFFIXES, passed_over, read_regular, size_and_time, walk
from selftaught.data.sources.source import Source
from selftaught.system.errors import DataError
from selftaught.system.text import printable

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


class Files(Source):
    """Encoded images, read one at a time."""

    def __init__(
        self,
        name: str,
        keys: list[str],
        facts: Callable[[], list[tuple[int, int]]],
        read: Callable[[int], bytes],
        ignored: Sequence[tuple[str, str]] = (),
    ) -> None:
        """`facts`: each image's size in bytes, and a number that changes with its content; `ignored`: what was passed
        over, with the reason."""
        self.name, self.keys, self._sizes, self.read, self.ignored = name, keys, facts, read, ignored
        folders = [key.rsplit("/", 1)[0] if "/" in key else "" for key in keys]
        firsts = [folder.split("/")[0] for folder in folders]
        self.labels = firsts if all(firsts) else None

    def fingerprint(self) -> str:
        return self._hash([(size,) for size, _ in self._sizes()])

    def stamp(self) -> str:
        """A stricter hash, for what was made from this very content; a copy elsewhere may differ."""
        return self._hash(self._sizes())

    def _hash(self, facts: Sequence[tuple[int, ...]]) -> str:
        hashed = hashlib.blake2b(digest_size=16)
        for key, numbers in zip(self.keys, facts):
            hashed.update(os.fsencode(key) + b"\0%s\n" % " ".join(map(str, numbers)).encode())
        return hashed.hexdigest()


def open_folder(root: Path) -> Files:
    try:
        walked = walk(os.fspath(root))
    except OSError as error:
        raise DataError(f"{printable(str(root))} cannot be read: {error.strerror}") from None
    keys = walked.keys
    if not keys:
        raise DataError(_nothing_in(printable(str(root)), walked.ignored))

    @cache
    def facts() -> list[tuple[int, int]]:
        # Not while indexing: names alone are what keeps 100,000 files under a second.
        return [size_and_time(os.path.join(root, key)) for key in keys]  # noqa: PTH118 - Path is ten times as slow

    return Files(root.resolve().name or "images", keys, facts, lambda i: read_regular(root / keys[i]), walked.ignored)


def _nothing_in(shown: str, ignored: Sequence[tuple[str, str]]) -> str:
    others = Counter(Path(key).suffix.lower() or "no extension" for key, why in ignored if why == NO_IMAGE)
    saw = ", ".join(f"{count} {printable(suffix)}" for suffix, count in others.most_common(3)) or "no files at all"
    if not others and ignored:
        reasons = Counter(why for _, why in ignored)
        saw = "only " + ", ".join(f"{count} {why}" for why, count in reasons.most_common(3))
    hint = "; HEIC photos must be converted first" if others[".heic"] else ""
    return f"no images in {shown}: saw {saw}{hint}; images are {' '.join(SUFFIXES)}"


def open_archive(path: Path, place: str = "") -> Files:
    """Members of a zip or tar below `place`, read in place."""
    shown = printable(str(path))
    try:
        members, unusable, read_member = zip_members(path) if path.suffix.lower() == ".zip" else tar_members(path)
    except Exception as error:  # broken archives raise many kinds, of zipfile, tarfile, zlib and struct
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{shown} cannot be read as an archive: {printable(reason)}") from None
    samples, ignored = [], unusable
    for name, size, stamp in members:
        if fault := passed_over(name):
            ignored.append((name, fault))
        elif name.startswith(place):
            samples.append((name.removeprefix(place), size, stamp))
    below = [(name.removeprefix(place), reason) for name, reason in ignored if name.startswith(place)]
    samples.sort()
    if not samples:
        if place and not below:
            named = [name for name, _, _ in members if passed_over(name) in (None, NO_IMAGE)]
            tops = sorted({name.split("/")[0] for name in named if "/" in name})[:5]
            raise DataError(f"{shown} holds nothing under {place!r}; it holds {', '.join(tops) or 'no folders'}")
        raise DataError(_nothing_in(shown, below))
    keys, facts = [key for key, _, _ in samples], [(size, stamp) for _, size, stamp in samples]
    name = path.name.split(".")[0] + (f"-{place.strip('/').replace('/', '-')}" if place else "")
    return Files(name, keys, lambda: facts, lambda i: read_member(place + keys[i]), below)


OPENS = dict.fromkeys(ARCHIVES, open_archive)
