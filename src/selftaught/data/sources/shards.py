"""Many files as one source: tars of samples by a pattern, train-{0000..0099}.tar, and likewise parquet files."""

import json
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate, takewhile
from pathlib import Path
from typing import Any

import numpy as np

from selftaught.data.sources.contents import NUMBERS, Contents, Stamps
from selftaught.data.sources.distant import Distant
from selftaught.data.sources.encoded import Encoded, Ignored, Labels, Passed
from selftaught.data.sources.files import Files, folders_of, outside_folders
from selftaught.data.sources.folder import BESIDE
from selftaught.data.sources.index import Index, Keys, Part, Tag, file_for, known_in, written
from selftaught.data.sources.labels import (
    NO_LABEL,
    known_labels,
    label_cells,
    label_text,
    labels_among,
    plain_numbers,
)
from selftaught.data.sources.parquet import RowGroups, open_parquet
from selftaught.data.sources.source import Beside, digest, reading
from selftaught.data.sources.webdataset import LocalShard, Shard, part_of
from selftaught.system.errors import DataError
from selftaught.system.interruption import poll
from selftaught.system.saying import say
from selftaught.system.text import printable, spelled

TAR, PARQUET = ".tar", ".parquet"
NAMED = 4  # kinds of what is passed over, in one line
PACKED = re.compile(r"[0-9]{9,}\.[^.]+")  # a sample's name in what `pack` has written
PLAIN = "cls"  # what --label-column calls the label that a .cls file holds


def open_shards(
    paths: Sequence[str],
    shown: str,
    label_column: str | None = None,
    column: str | None = None,
    name: str = "",
    ignored: Ignored = (),
) -> Encoded:
    """The samples of all files, in their order, each file's as they lie there. Raises DataError and UsageError.

    name: of the source, where that of the first file does not tell it; ignored: what lies beside tars, and why that is
    passed over.
    """
    if missing := next((path for path in paths if not Path(path).is_file()), None):
        raise DataError(f"{printable(missing)} does not exist; it is one of the {len(paths):,} files of {shown}")
    return of_files([Path(path) for path in paths], shown, label_column, column, name, ignored)


def of_files(
    files: Sequence[Path | Distant],
    shown: str,
    label_column: str | None = None,
    column: str | None = None,
    name: str = "",
    ignored: Ignored = (),
) -> Encoded:
    """The samples of files that are there; otherwise as `open_shards`."""
    endings = {file.suffix.lower() for file in files}
    name = name or re.sub(r"[-_.]?\d.*$", "", files[0].stem) or "shards"  # what that of a file says before its numbers
    if endings == {PARQUET}:
        return Joined(name, files, label_column, column)
    if endings != {TAR}:
        listed = ", ".join(sorted(map(printable, endings)))
        raise DataError(f"{shown} names files of {listed}: shards are {TAR} files, uncompressed, or {PARQUET} files")
    names = [file.name for file in files]
    called = names if len(set(names)) == len(names) else [str(file) for file in files]
    shards = [_shard(file, own) for file, own in zip(files, called)]
    return Shards(name, shards, label_column, column, ignored)


def _shard(file: Path | Distant, name: str) -> Shard:
    if isinstance(file, Distant):
        file.name = name
        return file
    return LocalShard(file, name)


class Shards(Encoded):
    """Samples in tars that are read in place; where each is stands in an index that is made once."""

    def __init__(
        self,
        name: str,
        shards: Sequence[Shard],
        label_column: str | None = None,
        column: str | None = None,
        ignored: Ignored = (),
    ) -> None:
        self._shards, self._asked = shards, label_column
        self.index = indexed(name, shards, column)
        self.passed = _together(self.index)
        if not len(self.index):
            ending = f" with the ending {printable(column)}" if column else ""
            saw = f"; what they hold is {_in_words(self.passed)}" if self.passed else ""
            raise DataError(f"{printable(name)} holds no images{ending} in its {len(shards):,} shards{saw}")
        keys = Keys(self.index, [shard.name for shard in shards])
        contents = Contents(len(keys), "\0".join(shard.place for shard in shards), self._stamps)
        super().__init__(name, keys, lambda: [], self._bytes, ignored, contents, self._told)
        if self.passed:
            self.note(f"members of its tars that are passed over: {_in_words(self.passed)}")
        if left := [key for key, reason in ignored if reason == BESIDE]:
            told = f"such as {printable(left[0])}: name a folder of them alone to have those"
            self.note(f"{len(left):,} that lie beside its tars are passed over, {told}")

    def fingerprint(self) -> str:
        """Names, places and sizes of all members are told by the index."""
        head = self.index.head
        return digest(head.rows, head.names, *(f"{known.name}/{known.count}\n" for known in head.shards))

    def _bytes(self, row: int) -> bytes:
        known, shard = self.index.row(row), self._shards[self.index.shard_of(row)]
        data = shard.read(int(known["offset"]), int(known["size"]))
        if len(data) < known["size"]:
            raise OSError("its shard ends before it")
        return data

    def _stamps(self) -> Stamps:
        """Device, inode, size and times of its shard, and its place there, of each sample."""
        stamps = np.zeros((len(self.index), NUMBERS), np.int64)
        for number, known in enumerate(self.index.head.shards):
            start, stop = self.index.starts[number : number + 2].tolist()
            stamps[start:stop, : NUMBERS - 1] = (*known.tag, *[0] * NUMBERS)[: NUMBERS - 1]
            stamps[start:stop, -1] = self.index.rows(start, stop)["offset"]
        return stamps

    def _told(self) -> Labels:
        """Labels by .cls, by a field of .json, or by the folders that samples lie in, as the first sample has them."""
        asked, first, shown = self._asked, self.index.row(0), printable(self.name)
        if asked == NO_LABEL:
            return None
        if asked == PLAIN or (asked is None and first["cls_size"]):
            return known_labels([text.strip() for text in self._members("cls")], self.name, self.note)
        if not (fields := labels_among(self._fields(), asked, shown)):
            return folders_of(self._inside())
        objects = [_object(text) for text in self._members("json")]
        cells = [[_cell(one.get(name)) for one in objects] for name in fields]
        if self._is_packed():  # what is none is so already, and a folder called None was a class
            return label_cells(cells, fields, shown)
        return known_labels(label_cells(cells, fields, shown), ", ".join(fields), self.note)

    def lacking(self) -> str:
        return "" if self._asked == NO_LABEL else outside_folders(self._inside())

    def _inside(self) -> list[str]:
        """The names of samples in their tars."""
        return [key.partition("/")[2] for key in self.keys]

    def _is_packed(self) -> bool:
        """Whether `pack` has written the first sample, by its name and the fields that it gives to such with labels."""
        return PACKED.fullmatch(self.index.name(0)) is not None and self._fields() == ["key", "label"]

    def beside(self) -> Beside:
        """The fields of .json, as the first sample has them, but those of labels."""
        fields = self._fields()
        labels = [] if self._asked == PLAIN else labels_among(fields, self._asked, printable(self.name))
        return {field: partial(self._field, field) for field in fields if field not in labels}

    def _fields(self) -> list[str]:
        return list(_object(self._member(0, self.index.row(0), "json")))

    def _field(self, name: str) -> list[str]:
        """A field of the .json of each sample, as text."""
        return [_cell(_object(text).get(name)) for text in self._members("json")]

    def _members(self, ending: str) -> Iterator[str]:
        """What the .cls or .json of each sample holds, "" where there is none."""
        for shard in range(len(self._shards)):
            poll()
            start, stop = self.index.starts[shard : shard + 2].tolist()
            for known in self.index.rows(start, stop):
                yield self._member(shard, known, ending)

    def _member(self, shard: int, known: np.void, ending: str) -> str:
        size = int(known[f"{ending}_size"])
        return self._shards[shard].read(int(known[ending]), size).decode("utf-8", "surrogateescape") if size else ""


def _together(index: Index) -> list[Passed]:
    """What was passed over in all shards, the most frequent kind first."""
    found: dict[tuple[str, str], Passed] = {}
    for shard in index.head.shards:
        for one in shard.passed:
            known = found.get((one.reason, one.ending))
            first = one.model_copy(update={"example": f"{spelled(shard.name)}/{one.example}"})
            found[one.reason, one.ending] = (
                known.model_copy(update={"count": known.count + one.count}) if known else first
            )
    return sorted(found.values(), key=lambda one: -one.count)


def _in_words(passed: Sequence[Passed]) -> str:
    told = [
        f"{one.count:,} {one.ending}{' ' * bool(one.ending)}{one.reason}, such as {one.example}"
        for one in passed[:NAMED]
    ]
    more = sum(one.count for one in passed[NAMED:])
    return "; ".join(told + [f"{more:,} more"] * bool(more))


def _object(text: str) -> dict[str, Any]:
    """The object that a .json holds; empty where it holds none."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _cell(value: Any) -> str:
    return "" if value is None else label_text(value)


def indexed(name: str, shards: Sequence[Shard], column: str | None = None) -> Index:
    """The index of all shards; only those are read that are new or were changed. Raises DataError."""
    tags = [_tag(shard) for shard in shards]
    file = file_for(*(shard.place for shard in shards), column or "")
    held = known_in(file)
    had = {(known.name, known.tag): place for place, known in enumerate(held.head.shards)} if held else {}
    told = [(shard.name, tag) for shard, tag in zip(shards, tags)]
    if held and [(known.name, known.tag) for known in held.head.shards] == told:
        return held
    new = [one for one in told if one not in had]
    say(f"indexing {len(new):,} of {len(shards):,} shards of {printable(name)}")
    parts = (
        (*one, held.part(had[one]) if held and one in had else _part(shard, column)) for one, shard in zip(told, shards)
    )
    written(file, parts)
    return Index(file)


def _tag(shard: Shard) -> Tag:
    with reading(shard.name):
        return shard.tag()


def _part(shard: Shard, column: str | None) -> Part:
    poll()
    with reading(shard.name, " as a tar"):
        return part_of(shard, column)


class Joined(Encoded):
    """The samples of several parquet files, whose keys begin with the name of their file."""

    def __init__(
        self, name: str, paths: Sequence[Path | Distant], label_column: str | None, column: str | None
    ) -> None:
        held = RowGroups()
        parts = [open_parquet(path, label_column, column, held) for path in paths]
        starts, self._parts = [0, *accumulate(map(len, parts))], parts

        def read(row: int) -> bytes:
            place = bisect_right(starts, row) - 1
            return parts[place].read(row - starts[place])

        keys = [f"{called}/{key}" for called, part in zip(_called(paths), parts) for key in part.keys]
        held_in = [part.contents for part in parts]
        contents = Contents.joined(held_in, "\0".join(part.name for part in held_in))
        super().__init__(name, keys, lambda: _sizes(parts), read, (), contents, self._told)
        common = [name for name in parts[0].extra if all(name in part.extra for part in parts)]
        self.extra = {name: partial(_columns, parts, name) for name in common}
        for note in parts[0].notes:
            self.note(note)

    def _told(self) -> Labels:
        told = [part.labels for part in self._parts]
        if any(labels is None for labels in told):
            return None
        return plain_numbers([label for labels in told for label in labels or []], self.name, self.note)


def _called(paths: Sequence[Path | Distant]) -> list[str]:
    """The names of files without their ending, and where two have the same with the folders that tell them apart."""
    names = [path.stem for path in paths]
    if len(set(names)) == len(names):
        return names
    folders = [str(path).replace(os.sep, "/").split("/")[:-1] for path in paths]
    common = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, zip(*folders)))
    return ["/".join([*folder[common:], name]) for folder, name in zip(folders, names)]


def _sizes(parts: Sequence[Files]) -> list[int]:
    return [size for part in parts for size in part.sizes()]


def _columns(parts: Sequence[Files], name: str) -> list[str]:
    return [cell for part in parts for cell in part.extra[name]()]
