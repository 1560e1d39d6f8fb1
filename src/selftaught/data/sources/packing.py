"""Writing a packed set: tars of a bounded size, each final once it is written, so that a killed work goes on after it.

A line of the journal says of each shard what it holds and which sample comes next. It stands there, on the disk, before
the shard has its name; so a name that is not in the journal is somebody else's, and the last one may be still missing.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from selftaught.data.sources.folder import BESIDE
from selftaught.data.sources.holding import Holding, Left
from selftaught.data.sources.manifest import (
    JOURNAL,
    LARGEST,
    MANIFEST,
    Asked,
    LeftOut,
    Manifest,
    Packed,
    beside,
    digest_of,
    manifest_of,
    refuse_lacking,
)
from selftaught.data.sources.writing import Members, Tar
from selftaught.system.errors import DataError, UsageError
from selftaught.system.files import (
    TEMPORARY,
    append_line,
    flush_folder,
    left_behind,
    write_atomically,
    write_json,
)
from selftaught.system.lock import LOCK, only_writer
from selftaught.system.ownership import is_ours
from selftaught.system.reading import parsed
from selftaught.system.regular import regular_bytes
from selftaught.system.text import printable, spelled

OURS = re.compile(rf"train-\d+\.tar|{re.escape(MANIFEST)}|{re.escape(JOURNAL)}")
OTHER = {**dict.fromkeys(("fingerprint", "count", "contents"), "of other data"), "labels": "with other labels"}

Dropped = list[tuple[int, str]]  # samples that are not packed by what was known before, and why


class Head(BaseModel):
    """The first line of a journal."""

    model_config = ConfigDict(extra="forbid")

    asked: Asked
    made_with: dict[str, str]
    dropped: Dropped


class Step(BaseModel):
    """A line of a journal: a shard, and what was met on the way to it."""

    model_config = ConfigDict(extra="forbid")

    shard: Packed
    following: int  # the number of the sample that comes next
    left_out: list[LeftOut]
    remarks: dict[str, int]
    contents: str | None = None  # a digest of what the samples since the last line hold; None of lines of before


class Pack:
    """A packed set in the making."""

    def __init__(self, folder: Path, head: Head, steps: list[Step], held: Holding) -> None:
        self.folder, self.head, self._held = folder, head, held
        self.shards = [step.shard for step in steps]
        self.left_out = [(one.key, one.reason) for step in steps for one in step.left_out]
        self.remarks = Counter[str]()
        for step in steps:
            self.remarks.update(step.remarks)
        self.following = self._first = steps[-1].following if steps else 0
        self._tar: Tar | None = None
        self._before, self._new = len(self.left_out), Counter[str]()  # of what is since the last shard

    def put(self, row: int, members: Members) -> None:
        """Add a sample, to a new shard where it would make this one larger than it may be."""
        asked = self.head.asked
        if self._tar and self._tar.is_full(members, asked.shard_size, asked.shard_samples):
            self._close(row)
        if not self._tar:
            self._tar = Tar(self.folder / f"train-{len(self.shards):06d}.tar")
        self._tar.add(f"{row:09d}", members)

    def leave_out(self, key: str, reason: str) -> None:
        """Note a sample that is not packed."""
        self.left_out.append((spelled(key), reason))

    def remark(self, remarks: Sequence[str]) -> None:
        """Note what of the last sample's file is not used."""
        self._new.update(remarks)

    def _close(self, following: int) -> None:
        if self._tar:
            shard, new = self._tar.closed(), _listed(self.left_out[self._before :])
            contents = self._held.digest(self._first, following, self.left_out[self._before :])
            step = Step(shard=shard, following=following, left_out=new, remarks=dict(self._new), contents=contents)
            append_line(self.folder / JOURNAL, step.model_dump_json())
            flush_folder(self.folder / JOURNAL)
            self._tar.appear()
            self.shards.append(shard)
            self.remarks.update(self._new)
            self._tar, self._before, self._new, self._first = None, len(self.left_out), Counter(), following

    def finish(self, made_by: str, data: str, duplicates: Left, notes: Sequence[str]) -> Manifest:
        """Write the manifest, which makes the set whole."""
        self._close(self.head.asked.count)
        lost = [f"{count:,} images {remark}" for remark, count in sorted(self.remarks.items())]
        made = Manifest(
            made_by=made_by,
            made_with=self.head.made_with,
            data=data,
            asked=self.head.asked,
            samples=sum(one.samples for one in self.shards),
            bytes=sum(one.bytes for one in self.shards),
            sha256=digest_of(self.shards),
            contents=self._held.digest(0, self.head.asked.count, self.left_out),
            duplicates=len(duplicates),
            notes=[*notes, *lost],
            shards=self.shards,
            left_out=_listed([*self.left_out, *duplicates]),
        )
        write_json(self.folder / MANIFEST, made.model_dump(mode="json"))
        (self.folder / JOURNAL).unlink()
        return made

    def drop(self) -> None:
        """Remove what is half written."""
        if self._tar:
            self._tar.drop()


def _listed(left: Left) -> list[LeftOut]:
    return [LeftOut(key=spelled(key), reason=reason) for key, reason in left]


def packed_already(folder: Path, asked: Asked, held: Holding) -> Manifest | None:
    """The manifest of a set that is whole and that was asked for so.

    Raises UsageError where it is another, and DataError where a tar of it is gone or was changed.
    """
    made = manifest_of(folder) if folder.is_dir() else None
    if made:
        _refuse_other(folder, made.asked, asked)
        _refuse_changed(folder, made.contents, 0, asked.count, made.left_out, held)
        refuse_lacking(folder, made)
        _tidy(folder)
    elif os.path.lexists(folder / MANIFEST):
        raise UsageError(f"{printable(folder / MANIFEST)} was not written by pack: choose another --out")
    return made


def _tidy(folder: Path) -> None:
    """Remove what a process leaves that is killed when all is written."""
    if any(os.path.lexists(folder / name) for name in (JOURNAL, LOCK)):
        with only_writer(folder):
            _sweep(folder)
            (folder / JOURNAL).unlink(missing_ok=True)


@contextmanager
def packing(
    folder: Path, asked: Asked, made_with: dict[str, str], dropped: Callable[[], Dropped], held: Holding
) -> Iterator[Pack]:
    """A set to be packed into a folder, after what is there of it; `dropped` is asked where nothing is.

    Raises UsageError where the folder holds another set, or something that is in the way.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with only_writer(folder):
        _sweep(folder)
        known = _journal(folder)
        if known:
            _refuse_other(folder, known[0].asked, asked)
            _refuse_other(folder, known[0].made_with, made_with)
        head, steps = known or _begun(folder, Head(asked=asked, made_with=made_with, dropped=dropped()))
        steps = _standing(folder, head, steps)
        firsts = [0, *(step.following for step in steps)]
        for first, step in zip(firsts, steps):
            _refuse_changed(folder, step.contents, first, step.following, step.left_out, held)
        pack = Pack(folder, head, steps, held)
        try:
            yield pack
        except DataError:
            if not pack.shards:  # what mends the data makes it other data, of which nothing is packed yet
                (folder / JOURNAL).unlink(missing_ok=True)
            raise
        finally:
            pack.drop()


def _begun(folder: Path, head: Head) -> tuple[Head, list[Step]]:
    if taken := next(iter(sorted(folder.glob("train-*.tar"))), None):
        raise UsageError(f"{printable(taken)} was not written by pack: move it away, or choose another --out")
    if is_ours(folder):
        raise UsageError(
            f"--out {printable(folder)} holds other work of selftaught: name a folder that is empty or not there"
        )
    if other := next((name for name, reason in beside(folder, ()) if reason == BESIDE), None):
        lost = f"holds {printable(other)}, which would be passed over beside a packed set"
        raise UsageError(f"--out {printable(folder)} {lost}: name a folder that is empty or not there")
    write_atomically(folder / JOURNAL, head.model_dump_json() + "\n")
    return head, []


def _journal(folder: Path) -> tuple[Head, list[Step]] | None:
    """What a journal says; a line that a crash has cut was of no shard. Raises UsageError where it is none of ours."""
    try:
        first, *others = regular_bytes(folder / JOURNAL, LARGEST).split(b"\n")[:-1]
        return Head.model_validate(parsed(first)), [Step.model_validate(parsed(line)) for line in others]
    except FileNotFoundError:
        return None
    except (ValueError, ValidationError):
        shown = printable(folder / JOURNAL)
        raise UsageError(f"{shown} is damaged, or was not written by pack: choose another --out") from None


def _standing(folder: Path, head: Head, steps: list[Step]) -> list[Step]:
    """The shards that are there as they were written; of the last the name may be missing, and then it is left out."""
    if steps and not os.path.lexists(folder / steps[-1].shard.name):
        steps = steps[:-1]
    lines = [head.model_dump_json(), *(step.model_dump_json() for step in steps)]
    write_atomically(folder / JOURNAL, "".join(f"{line}\n" for line in lines))  # without a line that was cut
    for step in steps:
        file = folder / step.shard.name
        if not file.is_file() or file.stat().st_size != step.shard.bytes:
            way = "put it back, or choose another --out"
            raise UsageError(f"{printable(file)} is no more what pack has written there: {way}")
    return steps


def _refuse_other(folder: Path, held: Asked | dict[str, str], asked: Asked | dict[str, str]) -> None:
    """Raise UsageError where a folder holds a set of other data, or by other settings."""
    before, now = dict(held), dict(asked)
    if other := next((name for name in before | now if before.get(name) != now.get(name)), None):
        flag = f"--{other.replace('_', '-')}" if isinstance(asked, Asked) else other
        raise _other(folder, OTHER.get(other, f"with {flag} {before.get(other)}, not {now.get(other)}"))


def _refuse_changed(
    folder: Path, contents: str | None, first: int, following: int, left_out: Sequence[LeftOut], held: Holding
) -> None:
    """Raise UsageError where a sample that is packed holds something else by now, under a name and size as before."""
    left = [(one.key, one.reason) for one in left_out]
    if contents is not None and not held.is_same(contents, first, following, left):
        raise _other(folder, OTHER["contents"])


def _other(folder: Path, told: str) -> UsageError:
    return UsageError(f"{printable(folder)} holds what was packed {told}: choose another --out")


def _sweep(folder: Path) -> None:
    """Remove what a killed process had half written."""
    for path in left_behind(folder):
        match = TEMPORARY.fullmatch(path.name)
        if match and OURS.fullmatch(match["of"]):
            path.unlink(missing_ok=True)
