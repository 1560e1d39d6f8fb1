"""What a packed set says of itself: its shards with their digests, how it was made, and what was left out."""

import os
from collections.abc import Collection, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from selftaught.data.sources.folder import BESIDE, HIDDEN, SYSTEM, passed_over
from selftaught.data.sources.source import reading
from selftaught.system.errors import DataError
from selftaught.system.interruption import poll
from selftaught.system.lock import LOCK
from selftaught.system.reading import json_in
from selftaught.system.regular import opened
from selftaught.system.saying import say
from selftaught.system.text import printable

MANIFEST, JOURNAL = "manifest.json", "packing.jsonl"  # of a set that is whole, and of one in the making
MADE_BY = "selftaught"  # how what a manifest says of its maker begins
LARGEST = 1 << 30  # bytes of either; a million shards have a quarter of it
CHUNK = 1 << 22
TAR = ".tar"
NAMED = 3  # shards in an error

Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^train-[0-9]{6,12}\.tar$")]  # nothing that leads out of the folder
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Packed(_Part):
    """A shard that is written."""

    name: Name
    samples: Count
    bytes: Count
    sha256: Digest


class LeftOut(_Part):
    """A sample that is in no shard."""

    key: str
    reason: str


class Asked(_Part):
    """What of a packing decides its bytes, with the data; what differs in any of it is another set."""

    fingerprint: str  # of the data, as runs have it
    labels: str | None  # a digest of them
    count: Count
    short_side: int | None
    quality: int
    shard_size: int
    shard_samples: int
    drop_duplicates: bool


class Manifest(_Part):
    """All that is known of a packed set; its fields are the keys of manifest.json."""

    format: Literal[1] = 1
    made_by: str
    made_with: dict[str, str]  # versions that may change a bit
    data: str
    asked: Asked
    samples: Count
    bytes: Count
    sha256: Digest  # of the set: that of what `sha256sum train-*.tar` prints
    contents: str | None = None  # a digest of what all samples of the data hold; None of sets that were made before
    duplicates: Count  # that were dropped; they stand below as well
    notes: list[str]
    shards: list[Packed]
    left_out: list[LeftOut]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        sums = sum(one.samples for one in self.shards), sum(one.bytes for one in self.shards), digest_of(self.shards)
        if sums != (self.samples, self.bytes, self.sha256):
            raise ValueError("its shards are not those that it was written with")
        return self


def digest_of(shards: Sequence[Packed]) -> str:
    """The digest of a set, by those of its shards."""
    return sha256("".join(f"{one.sha256}  {one.name}\n" for one in shards).encode()).hexdigest()


def manifest_of(folder: Path) -> Manifest | None:
    """The manifest in a folder; None where there is none, or somebody else's. Raises DataError where it is damaged."""
    try:
        held: Any = json_in(folder / MANIFEST, limit=LARGEST, links=True)
    except (OSError, ValueError):
        return None
    if not str(held.get("made_by", "")).startswith(MADE_BY):
        return None
    try:
        return Manifest.model_validate(held)
    except ValueError:
        raise DataError(f"{printable(str(folder / MANIFEST))} is damaged: put back what was packed") from None


def shards_in(folder: Path) -> list[str]:
    """The tars that a folder stands for: those of its manifest, or all where it holds neither images nor folders.

    Raises DataError where a packed set is not whole: to learn from a part of it should be nobody's surprise.
    """
    if packed := manifest_of(folder):
        refuse_lacking(folder, packed)
        return [str(folder / one.name) for one in packed.shards]
    if (folder / JOURNAL).is_file():
        raise DataError(f"{printable(str(folder))} is not packed to its end: say the same `selftaught pack` again")
    return [str(folder / name) for name in sorted(_tars(folder))]


def _tars(folder: Path) -> list[str]:
    names = []
    with reading(str(folder)), os.scandir(folder) as entries:
        for entry in entries:
            fault = passed_over(entry.name)
            if fault in (HIDDEN, SYSTEM):
                continue
            if fault is None or (entry.is_dir() and not _is_packed(entry)):
                return []
            if entry.name.lower().endswith(TAR) and entry.is_file():
                names.append(entry.name)
    return names


def _is_packed(entry: os.DirEntry[str]) -> bool:
    """Whether a folder was packed from the tars beside it, and so is no reason to read these as anything else."""
    return any(Path(entry.path, name).is_file() for name in (MANIFEST, JOURNAL))


def beside(folder: Path, tars: Collection[str]) -> list[tuple[str, str]]:
    """What else lies in a folder that stands for these tars, by name, and why it is passed over.

    With BESIDE what would be samples by itself: images, other tars, and folders.
    """
    left = list[tuple[str, str]]()
    with reading(str(folder)), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            fault, is_folder = passed_over(entry.name), entry.is_dir()
            would_be_read = fault is None or is_folder or entry.name.lower().endswith(TAR)
            if entry.name not in {*tars, MANIFEST, JOURNAL, LOCK}:
                reason = BESIDE if would_be_read and fault not in (HIDDEN, SYSTEM) else fault or BESIDE
                left.append((entry.name + "/" * is_folder, reason))
    return left


def damaged(folder: Path) -> Iterator[str]:
    """A line on each shard of a packed set that is not what its manifest says; all of them are read for that."""
    packed = manifest_of(folder)
    if packed:
        say(f"comparing {len(packed.shards):,} tars with {MANIFEST}")
    for one in packed.shards if packed else ():
        if fault := _lacks(folder, one) or _differs(folder, one):
            yield fault


def _lacks(folder: Path, one: Packed) -> str:
    """What can be seen of a shard that is not there, or not all of it."""
    try:
        size = (folder / one.name).stat().st_size
    except OSError as error:
        return f"{one.name} cannot be read ({error.strerror})"
    return "" if size == one.bytes else f"{one.name} has {size:,} bytes in place of {one.bytes:,}"


def _differs(folder: Path, one: Packed) -> str:
    found = sha256()
    with os.fdopen(opened(folder / one.name, os.O_RDONLY, links=True), "rb") as stream:
        while chunk := stream.read(CHUNK):
            poll()
            found.update(chunk)
    return "" if found.hexdigest() == one.sha256 else f"{one.name} is damaged: its SHA-256 is not that of {MANIFEST}"


def refuse_lacking(folder: Path, packed: Manifest) -> None:
    """Raise DataError where a shard of a set is not there, or is of another size than it was written with."""
    if faults := [fault for one in packed.shards if (fault := _lacks(folder, one))]:
        more = f" and {len(faults) - NAMED:,} more" if len(faults) > NAMED else ""
        told = f"{printable(str(folder))} is not what was packed: {'; '.join(faults[:NAMED])}{more}"
        raise DataError(f"{told}; put it back, or pack into another folder")
