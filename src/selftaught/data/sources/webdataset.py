"""Tars as WebDataset has them: members of one name and several endings are one sample, 0001.jpg with 0001.cls."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from selftaught.data.sources.archives import members_of
from selftaught.data.sources.encoded import Passed
from selftaught.data.sources.folder import LINK, NO_FILE, NO_IMAGE, SUFFIXES, passed_over
from selftaught.data.sources.index import ROW, Part, Tag
from selftaught.data.sources.source import MAX_BYTES
from selftaught.system.errors import UsageError
from selftaught.system.text import printable, spelled

TOLD = ("cls", "json")  # endings of what tells a label
MOST = 1_000_000  # shards of a pattern
LARGEST_LABEL = 1 << 20  # bytes of such a member
KINDS = 16  # endings of images, of which so many are kinds; where there are more, they are parts of names with dots
LONGEST = 200  # characters of a name that is an example
# Why a member is in no sample, beside what is so of files.
LARGE, OTHER = "larger than any image or label", "not of the ending that --column names"
REPLACED, LONE = "of a name that comes twice, of which the later counts", "a label without an image"


class Shard(Protocol):
    """A tar, wherever it lies."""

    name: str  # among the others, for keys
    place: str  # where it lies, by which its index is found again

    def tag(self) -> Tag:
        """Another one where it may hold something else; a sample is told by it and its place. Raises OSError."""

    def stream(self) -> IO[bytes]:
        """From its start, to be read once in order."""

    def read(self, offset: int, size: int) -> bytes:
        """Some of its bytes; called by several threads."""


@dataclass(frozen=True)
class LocalShard(Shard):
    """A tar on the disk."""

    path: Path
    name: str

    @property
    def place(self) -> str:  # type: ignore[override]
        return os.path.realpath(self.path)

    def tag(self) -> Tag:
        s = self.path.stat()
        return s.st_dev, s.st_ino & ((1 << 63) - 1), s.st_size, s.st_mtime_ns, s.st_ctime_ns

    def stream(self) -> IO[bytes]:
        return self.path.open("rb")

    def read(self, offset: int, size: int) -> bytes:
        with self.path.open("rb", buffering=0) as stream:
            stream.seek(offset)
            return stream.read(size)


@dataclass
class _Sample:
    """What was met of one name."""

    images: dict[str, tuple[str, int, int]] = field(default_factory=dict)  # by ending: name, offset and size
    told: dict[str, tuple[int, int]] = field(default_factory=dict)


def part_of(shard: Shard, column: str | None) -> Part:
    """The samples of a shard; `column`: the ending of their images, where they have several. Raises UsageError.

    An error of the file, or of what is no tar, is of tarfile's or the system's kinds.
    """
    samples, left = _samples(shard)
    endings = {ending for sample in samples.values() for ending in sample.images}
    several = next((sample for sample in samples.values() if len(sample.images) > 1), None)
    if column is None and several and len(endings) <= KINDS:
        listed = ", ".join(map(printable, sorted(endings)))
        raise UsageError(f"{printable(shard.name)} holds several images a sample: say which of {listed} with --column")
    rows, names = list[tuple[int, ...]](), list[bytes]()
    letters = 0
    for sample in samples.values():
        (cls, cls_size), (told, told_size) = (sample.told.get(ending, (0, 0)) for ending in TOLD)
        for ending, (name, offset, size) in sample.images.items():
            if column not in (None, ending):
                left.note(name, OTHER)
            else:
                called = os.fsencode(name)
                rows.append((offset, cls, told, letters, size, cls_size, told_size, len(called)))
                names.append(called)
                letters += len(called)
    return Part(np.array(rows, ROW), b"".join(names), left.told())


class _Left:
    """What no sample has a use for, counted by its kinds."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[Any]] = {}

    def note(self, name: str, reason: str) -> None:
        kind = reason, Path(name).suffix.lower() if reason == NO_IMAGE else ""
        if kind not in self._found and len(self._found) >= KINDS:
            kind = reason, ""
        self._found.setdefault(kind, [0, name])[0] += 1

    def told(self) -> list[Passed]:
        named = ((kind, count, spelled(name)[:LONGEST]) for kind, (count, name) in self._found.items())
        return [
            Passed(reason=reason, ending=spelled(ending)[:LONGEST], count=count, example=name)
            for (reason, ending), count, name in named
        ]


def _samples(shard: Shard) -> tuple[dict[str, _Sample], _Left]:
    """What belongs together, in the order in which it is met, and the rest; of two with one name the later counts."""
    samples: dict[str, _Sample] = {}
    left = _Left()
    for name, offset, size, fault in _members(shard):
        folder, _, last = name.rpartition("/")
        stem, _, ending = last.partition(".")
        if fault := fault or _fault(name, ending, size):
            left.note(name, fault)
            continue
        sample = samples.setdefault(f"{folder}/{stem}", _Sample())
        if ending in (sample.told if ending in TOLD else sample.images):
            left.note(name, REPLACED)
        if ending in TOLD:
            sample.told[ending] = offset, size
        else:
            sample.images[ending] = name, offset, size
    for name in (name for name, sample in samples.items() if not sample.images):
        left.note(f"{name.removeprefix('/')}.{next(iter(samples[name].told))}", LONE)
    return samples, left


def _fault(name: str, ending: str, size: int) -> str | None:
    """Why a member is neither an image nor what tells a label; None where it is."""
    label = ending in TOLD
    reason = passed_over(f"{name}{SUFFIXES[0]}" if label else name)
    return reason or (LARGE if size > (LARGEST_LABEL if label else MAX_BYTES) else None)


def _members(shard: Shard) -> Iterator[tuple[str, int, int, str | None]]:
    """Name, offset and size of each file of a tar, and why it is no plain one."""
    with shard.stream() as stream:
        for info in members_of(stream, shard.name):
            fault = LINK if info.issym() or info.islnk() else None if info.isreg() and not info.issparse() else NO_FILE
            if not info.isdir():
                yield info.name.removeprefix("./"), info.offset_data, info.size, fault


def expanded(pattern: str) -> list[str]:
    """The names that a pattern with braces stands for: {0000..0099} are numbers, {a,b} alternatives; else none."""
    if not (found := re.search(r"\{([^{}]*)\}", pattern)):
        return []
    names = []
    for inside in _alternatives(found[1]):
        name = pattern[: found.start()] + inside + pattern[found.end() :]
        names += expanded(name) or [name]
    return names


def _alternatives(inside: str) -> list[str]:
    if not (ends := re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})", inside)):
        return inside.split(",") if "," in inside else []
    width = len(ends[1]) if ends[1].startswith("0") else 0
    if int(ends[2]) - int(ends[1]) >= MOST:
        raise UsageError(f"{{{inside}}} stands for more than {MOST:,} files")
    return [str(number).zfill(width) for number in range(int(ends[1]), int(ends[2]) + 1)]
