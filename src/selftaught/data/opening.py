"""How data of every kind is opened: which samples of a source are wanted, and how they are then at hand.

A kind of data opens a source, asks `chosen` for the rows, decodes them, and holds them in a class below `Opened`.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from selftaught.contracts import modality
from selftaught.contracts.modality import Modality
from selftaught.contracts.samples import Looked, Samples
from selftaught.data.first_pass import Every, Sampled
from selftaught.data.sources.contents import Digests
from selftaught.data.sources.labels import Line, agreeing, labels_for, labels_in_file
from selftaught.data.sources.metadata import Column, columns_beside, one_column, refuse_unnamed
from selftaught.data.sources.parts import whole_of
from selftaught.data.sources.source import Progress, Source, digest
from selftaught.data.sources.taken import without_own
from selftaught.system import randomness
from selftaught.system.context import IN_PYTHON
from selftaught.system.errors import BrokenData, DataError, UsageError
from selftaught.system.saying import say
from selftaught.system.text import printable

Rows = NDArray[np.int64]
WARNING = "warning: "  # in front of a note, which stays in front
NAMED = 3  # of the broken samples, in an error


@dataclass(frozen=True)
class Chosen:
    """The rows of a source that are wanted."""

    source: Source
    rows: Rows | Every
    labels: list[str] | None  # of all rows of the source, where labels are wanted
    former_fingerprint: str


def chosen(
    source: Source,
    things: str,
    remedy: str,
    *,
    labels: Path | None = None,
    label_column: str | None = None,
    labelled: bool = False,
    limit: int | None = None,
    seed: int = 0,
    unheld: bool = False,
    named: object = None,
) -> Chosen:
    """The rows of `source` that are wanted.

    things: what samples are called; remedy: how to give labels to data without any; labels: a CSV of path,label in
    place of the source's own; label_column: which of its columns, where it has one of that name; labelled: whether
    labels are wanted (then `limit` is stratified, and samples without one are left out); limit: a random subset of
    this many; unheld: whether the numbers of all samples are to take no memory; named: the data as somebody
    named them, for what is said. Raises DataError.
    """
    shown = as_named(source, named)
    if labels is not None:
        source.notes = without_own(source.notes)
        source.labels = labels_for(labels, source.keys, things, label_column, source.note)
    if labelled and source.labels is None:
        raise DataError(f"{shown} has no labels: {'; '.join(filter(None, (source.lacking(), remedy)))}")
    wanted = source.labels if labelled else None
    rows: Rows | Every = Every(len(source))
    if not unheld or wanted is not None or limit is not None:
        rows = np.arange(len(source)) if wanted is None else np.flatnonzero([bool(label) for label in wanted])
    if not len(rows):
        raise DataError(f"{shown} has labels for none of its {things}")
    parts = source.fingerprint(), str(limit), str(seed) if limit else ""
    former = digest(*parts, between=source.between)
    return Chosen(
        source, rows if isinstance(rows, Every) else randomness.subset(rows, wanted, limit, seed), wanted, former
    )


def as_named(source: Source, named: object) -> str:
    """Data for people: by the path that they gave, of which the last part may be that of many, or as their source."""
    is_path = isinstance(named, str | Path) and not str(named).startswith(IN_PYTHON)
    return printable(named if is_path else source.name)


def tell_notes(notes: Sequence[str], data: str) -> None:
    """Say how data were read, each line with their name: a command may read several."""
    for note in notes:
        told = note.removeprefix(WARNING)
        say(f"{WARNING * (told != note)}{printable(data.removeprefix(IN_PYTHON))}: {told}")


def refuse_column(column: str | None, data: object, things: str) -> None:
    """Raise UsageError where a column of images is named, and `data` holds other things."""
    if column is not None:
        raise UsageError(f"--column {printable(column)} is for images, and {printable(str(data))} holds {things}")


def refuse_other_kind(taker: str, kind: Modality, data: str) -> None:
    """Raise UsageError where `data` is not of the kind that `taker`, such as an encoder, takes."""
    if modality.of(data) is not kind:
        raise UsageError(f"{taker} takes {kind.THINGS}, and {held_in(data)}{naming(kind, data)}")


def held_in(data: str) -> str:
    """What data holds by its name, for people, or is taken for as nothing is known of it: folders hold anything."""
    given = modality.of(data)
    holds = "is taken for" if given is modality.named(modality.DEFAULT) else "holds"
    return f"{printable(data)} {holds} {given.THINGS}"


def naming(kind: Modality, data: str) -> str:
    """How to name data that may well be of a kind, behind what it is taken for instead; "" where no name would help."""
    name = modality.name_as(kind, data)
    return f"; if it holds {kind.THINGS}, name it {printable(name)}" if name else ""


def refuse_broken(name: str, things: str, whole: int, broken: Sequence[tuple[str, str]], tolerance: float) -> None:
    """Raise BrokenData where more than this share of the samples, those that are `whole` among them, are `broken`."""
    count = whole + len(broken)
    if len(broken) > tolerance * count:
        first = "; then ".join(f"{printable(key)} {reason}" for key, reason in broken[:NAMED])
        said = f"{len(broken)} of {count} {things} in {printable(name)} cannot be used, more than"
        raise BrokenData(f"{said} {100 * tolerance:g}%; the first: {first}", name, list(broken))


class Picked(Sequence[str]):
    """Some of the keys that are read only when somebody asks for them."""

    def __init__(self, keys: Sequence[str], rows: Rows) -> None:
        self._keys, self._rows = keys, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self._keys[row] for row in self._rows[place].tolist()]
        return self._keys[int(self._rows[place])]


def picked(keys: Sequence[str], rows: Rows | Every) -> Sequence[str]:
    """The keys of these rows: a list of a list, and else as they are read."""
    if isinstance(rows, Every):
        return keys
    if isinstance(keys, list):
        return [keys[row] for row in rows]
    return keys if np.array_equal(rows, np.arange(len(keys))) else Picked(keys, rows)


class Opened(Samples):
    """Samples by row number, with keys and labels; a kind of data says what they are made of."""

    def __init__(
        self,
        wanted: Chosen,
        preparation: Any,
        kept: Rows | slice = slice(None),
        quarantined: Sequence[tuple[str, str]] = (),
        sampled: Sampled | None = None,
    ) -> None:
        """kept: which of the wanted rows are whole; quarantined: keys of the others, with the reason; sampled: what
        was looked at, where not all was."""
        rows, labels = wanted.rows if sampled else wanted.rows[kept], wanted.labels
        self.name, self.former_fingerprint = wanted.source.name, wanted.former_fingerprint
        self.notes = list(wanted.source.notes)
        self.preparation, self.quarantined = preparation, list(quarantined)
        self.keys = picked(wanted.source.keys, rows)
        self.labels = [labels[row] for row in rows] if labels else None
        self.count = len(rows)
        if sampled:
            self.notes.append(_told(len(sampled.rows), len(rows)))
        self.sampled: Looked | None = sampled
        self._digests, self._hash = (None, None) if isinstance(rows, Every) or sampled else _hashed(wanted.source, rows)
        self._source: tuple[Source, Any] | None = wanted.source, rows

    def metadata(self, names: Sequence[str], file: str | None = None, labels: str | None = None) -> list[Column]:
        """The columns of these names, of a file or a table in Python, or beside the samples in their source.

        labels: what --label-column says. Raises DataError and UsageError: for labels, too, which are no metadata.
        """
        assert self._source, "the source has been let go"
        source, rows = self._source
        before, shown = len(source.notes), printable(source.name)
        beside = columns_beside(source, file, modality.named(self.preparation.modality).THINGS)
        columns = [one_column(name, beside, rows, lambda: source.labels, labels, shown) for name in names]
        self.notes = [*self.notes, *source.notes[before:]]
        return columns

    def refuse_columns(self, names: Sequence[str], file: str | None = None, labels: str | None = None) -> None:
        """As `metadata`, of their names alone, which a few samples tell as well as all."""
        assert self._source, "the source has been let go"
        source, _ = self._source
        beside = columns_beside(source, file, modality.named(self.preparation.modality).THINGS)
        for name in names:
            refuse_unnamed(name, beside, labels, printable(source.name))

    def told_labels(self) -> list[str] | None:
        """The label that the source has of each sample, "" for none; None where it has none at all."""
        assert self._source, "the source has been let go"
        source, rows = self._source
        labels = source.labels
        return None if labels is None else [labels[row] for row in rows]

    def let_source_go(self) -> None:
        """Keep of the source no more than what samples are made of: its cells may take more memory than these."""
        self._source = None

    def digests(self, progress: Progress = lambda done, total: None) -> Digests | None:
        """Of the content of each sample (N, 16), where its source can tell; what nobody has read yet is read."""
        if self._hash:
            self._digests, self._hash = self._hash(progress), None
        return self._digests

    @property
    def fingerprint(self) -> str:
        """A hash of what all samples hold in their order, whatever they are called; or, where not all were read, of the
        names and sizes of all and what some hold."""
        if self.sampled:
            return self.sampled.fingerprint
        held = self.digests()
        return self.former_fingerprint if held is None else digest(held.tobytes())

    def subset(self, rows: Rows) -> Self:
        """The same samples, only those of `rows`."""
        part = copy(self)
        part.keys = picked(self.keys, rows)
        part.labels = [self.labels[row] for row in rows] if self.labels else None
        part.count, part.sampled = len(rows), None
        hashed = self.digests  # not kept: the part would have to know what of the source it is
        part.guidance, part._source = None, self._source and (self._source[0], self._source[1][rows])
        part._digests, part._hash = None, lambda progress: _part(hashed(progress), rows)
        part.keep(rows)
        return part

    @abstractmethod
    def keep(self, rows: Rows) -> None:
        """Hold only those of `rows` from now on."""

    def prefetch(self, rows: Rows) -> None:
        """Nothing to do where all are at hand."""

    def know_broken(self, broken: Mapping[int, str]) -> None:
        """Nothing to do where all were looked at."""


def _told(looked_at: int, count: int) -> str:
    return (
        f"{looked_at:,} of {count:,} were looked at before the first step; what is broken of the others is replaced by "
        "another, and listed, when it is met (--first-pass all looks at all, and keeps what it decodes)"
    )


def _hashed(source: Source, rows: Rows) -> tuple[Digests | None, Callable[[Progress], Digests | None] | None]:
    """The digests of samples where they are at hand, else how to get them; who has them needs the source no more."""
    if source.contents and source.contents.known[rows].all():
        return source.contents.digests[rows], None
    return None, lambda progress: source.digests(rows, progress)


def _part(digests: Digests | None, rows: Rows) -> Digests | None:
    return None if digests is None else digests[rows]


def labels_by_key(open_source: Callable[[str], Source], labelled: str) -> dict[str, str]:
    """Labels of samples by their keys, from labelled data or a CSV of path,label. Raises DataError."""
    if labelled.lower().endswith(".csv"):
        return labels_in_file(Path(labelled))
    return labels_in(open_source(labelled), labelled)


def labels_in(source: Source, named: str | None = None) -> dict[str, str]:
    """The labels of a source by key, and by whole where all parts have one, as older maps name them.

    Raises DataError where it has none.
    """
    if source.labels is None:
        raise DataError(": ".join(filter(None, (f"{as_named(source, named)} has no labels", source.lacking()))))
    lines = (Line(row, *said) for row, said in enumerate(zip(source.keys, source.labels), 1))
    told, wholes = agreeing(lines, printable(source.name)), dict[str, set[str]]()
    for key, label in told.items():
        wholes.setdefault(whole_of(key), set()).add(label)
    return {whole: labels.pop() for whole, labels in wholes.items() if len(labels) == 1} | told
