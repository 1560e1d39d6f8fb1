"""What every file of series comes to: recordings one behind the other, with what is known of each."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from selftaught.data.sources.contents import BYTES, Digests, Rows, content_of
from selftaught.data.sources.labels import plain_numbers
from selftaught.data.sources.parts import told_apart, window_of
from selftaught.data.sources.source import Progress, Source, digest
from selftaught.system.errors import DataError
from selftaught.system.text import printable, some_of

THINGS = "series"
EMPTY = "is missing all of its values"
FEWEST_POINTS = 2  # of which a series has a course at all
Failures = list[tuple[str, str]]  # key and reason


class Recording(NamedTuple):
    """A series as it was read."""

    key: str
    values: NDArray[np.float32]  # (points, channels), NaN where nothing is known
    label: str | NDArray[Any] | None = None  # of all of it, or of each point (points,)
    group: str | None = None


class Tally(NamedTuple):
    """How many of a kind of thing can be used, and which cannot."""

    things: str
    whole: int
    broken: Failures


class Channels(NamedTuple):
    """What is known of the channels, and of time."""

    names: tuple[str, ...]  # "" of those that have none
    units: tuple[str, ...] = ()
    rate: float | None = None  # points in a unit of time, where they are evenly spaced


@dataclass
class Recordings(Source):
    """Series (points, channels) of any lengths; a series is a stretch of `values`, and stretches may overlap."""

    name: str
    values: NDArray[np.float32]  # (points of all, channels)
    starts: Rows  # (N,)
    lengths: Rows  # (N,)
    keys: list[str]
    channels: Channels
    labels: list[str] | None = None
    groups: list[str] | None = None  # of what belongs together
    names: list[str] | None = None  # of recordings, where several had one
    marks: NDArray[Any] | None = None  # the label of each point, where these have their own
    broken: Failures = field(default_factory=list)  # recordings
    empty: Failures = field(default_factory=list)  # windows
    origins: Rows | None = None  # of windows, the row of the recording that each is of (N,)
    ignored: Failures = field(default_factory=list)
    notes: Sequence[str] = ()
    label: str | None = None  # the column that labels come from, several by commas; "none" where none was to be

    @classmethod
    def of(
        cls, name: str, given: Iterable[Recording], channels: Channels | None = None, comma: bool = False, **known: Any
    ) -> Self:
        """All recordings that can be used; the others are `broken`. Raises DataError where there is none.

        comma: whether decimals of labels may follow commas.
        """
        whole: list[Recording] = []
        broken: Failures = list(known.pop("broken", []))
        given, notes = [*given], [*known.pop("notes", [])]
        names = [one.key for one in given]
        apart = told_apart(names, THINGS, notes.append)
        for one in (one._replace(key=key) for one, key in zip(given, apart)):
            reason = _fault(one.values, whole[0].values.shape[1] if whole else None)
            (broken.append((one.key, reason)) if reason else whole.append(one))
        _refuse_none(whole, name, THINGS, broken)
        lengths = np.array([len(one.values) for one in whole], np.int64)
        values, told = _finite(np.concatenate([one.values for one in whole]))
        channels, keys = channels or Channels(("",) * values.shape[1]), [one.key for one in whole]
        made = cls(name, values, np.cumsum(lengths) - lengths, lengths, keys, channels, broken=broken, **known)
        made.notes = [*notes, *told]
        if apart != names:
            called = dict(zip(apart, names))
            made.names = [called[key] for key in keys]
        if any(one.group is not None for one in whole):
            made.groups = [one.group or one.key for one in whole]
        made._label([one.label for one in whole], ";" if comma else "")
        return made

    def _label(self, given: Sequence[str | NDArray[Any] | None], parting: str) -> None:
        """Labels are read together, as one file of several may have no commas."""
        called = self.label or self.name
        if any(isinstance(label, np.ndarray) for label in given):
            each = zip(given, self.lengths.tolist())
            marks = np.concatenate(
                [label if isinstance(label, np.ndarray) else np.full(length, label or "") for label, length in each]
            )
            self.marks = np.array(plain_numbers(marks.tolist(), called, self.note, parting), np.str_)
            self._label_by_marks()
        elif any(label is not None for label in given):
            self.labels = plain_numbers([str(label or "") for label in given], called, self.note, parting)

    def _label_by_marks(self) -> None:
        """Give each stretch the label that all of its points have, and none where they differ."""
        assert self.marks is not None
        self.labels = []
        for start, length in zip(self.starts.tolist(), self.lengths.tolist()):
            own = self.marks[start : start + length]
            self.labels.append(str(own[0]) if (own == own[0]).all() else "")

    @property
    def missing(self) -> bool:
        """Whether nothing is known of some value."""
        return bool(np.isnan(self.values).any())

    @property
    def recordings(self) -> int:
        """That series are, or are windows of."""
        return len(self) if self.origins is None else len(np.unique(self.origins))

    @property
    def unused(self) -> Failures:
        """All that cannot be used, recordings first."""
        return [*self.broken, *self.empty]

    def tallies(self) -> list[Tally]:
        """Recordings, and the windows that they were cut into, each by themselves.

        Counted together, one recording that is lost would be little beside the many windows of others.
        """
        if self.origins is None:
            return [Tally(THINGS, len(self), self.broken)]
        return [Tally("recordings", self.recordings, self.broken), Tally("windows", len(self), self.empty)]

    def picked(self, rows: Rows) -> Self:
        """The series of these rows, which may come more than once."""
        each = (self.keys, self.labels, self.groups, self.names)
        keys, labels, groups, names = (own and [own[row] for row in rows] for own in each)
        starts, lengths = self.starts[rows], self.lengths[rows]
        told: dict[str, Any] = {"labels": labels, "groups": groups, "names": names}
        told["origins"] = None if self.origins is None else self.origins[rows]
        return replace(self, keys=keys or [], starts=starts, lengths=lengths, **told)

    def windows(self, window: int, stride: int) -> Self:
        """The same recordings in windows of so many points, which begin `stride` apart; each knows its recording.

        What is shorter than a window is `broken`; a window of which nothing is known is `empty`. Raises DataError.
        """
        counts = np.maximum(0, (self.lengths - window) // stride + 1)
        offsets = np.concatenate([np.arange(count, dtype=np.int64) * stride for count in counts.tolist()])
        which = np.repeat(np.arange(len(self)), counts)
        cut = self.picked(which)
        cut.groups = cut.groups or cut.names or cut.keys
        named = zip(cut.keys, offsets.tolist(), (cut.lengths == window).tolist())
        cut.keys = [key if whole else window_of(key, start, start + window) for key, start, whole in named]
        cut.starts, cut.lengths = cut.starts + offsets, np.full(len(which), window)
        if self.marks is not None:
            cut._label_by_marks()
        held = cut._any_known()
        cut.broken, cut.origins = [*self.broken, *self._shorter(window)], which
        cut.empty = [(cut.keys[row], EMPTY) for row in np.flatnonzero(~held)]
        cut.notes = [*self.notes, *self._left_over(counts, window, stride)]
        _refuse_none(np.flatnonzero(held), self.name, "windows", cut.unused)
        return cut.picked(np.flatnonzero(held))

    def _any_known(self) -> NDArray[np.bool_]:
        """Of which series anything is known (N,)."""
        known = np.concatenate([[0], np.cumsum((~np.isnan(self.values)).any(axis=1))])
        return np.asarray(known[self.starts + self.lengths] > known[self.starts])

    def _shorter(self, window: int) -> Failures:
        why = "has {:,} points, fewer than the window of {:,}"
        both = zip(self.keys, self.lengths.tolist())
        return [(key, why.format(length, window)) for key, length in both if length < window]

    def _left_over(self, counts: Rows, window: int, stride: int) -> list[str]:
        """What to say of points that lie in no window."""
        within = np.where(counts > 0, (counts - 1) * stride + window, self.lengths)
        points = int((self.lengths - within).sum())
        return [f"{points:,} points at the ends of recordings fill no window of {window:,}"] * bool(points)

    def stretch(self, row: int) -> NDArray[np.float32]:
        """A series (points, channels)."""
        return self.values[self.starts[row] : self.starts[row] + self.lengths[row]]

    def fingerprint(self) -> str:
        return digest(self.values.tobytes(), self.starts.tobytes(), self.lengths.tobytes())

    def digests(self, rows: Rows, progress: Progress = lambda done, total: None) -> Digests:
        found = np.empty((len(rows), BYTES), np.uint8)
        for place, row in enumerate(rows.tolist()):
            values = np.ascontiguousarray(self.stretch(row))
            found[place] = np.frombuffer(content_of(str(values.shape).encode(), values.tobytes()), np.uint8)
        progress(len(rows), len(rows))
        return found


def _refuse_none(held: Sequence[Any] | Rows, name: str, things: str, broken: Failures) -> None:
    if not len(held):
        why = f": {printable(broken[0][0])} {broken[0][1]}" if broken else ""
        why += f"; so it is with all {len(broken):,}" * (len(broken) > 1 and len({*map(_nameless, broken)}) == 1)
        raise DataError(f"{printable(name)} holds no {things} that can be used{why}")


def _nameless(failure: tuple[str, str]) -> str:
    """A reason without the name of the file, which errors of single files begin with."""
    return failure[1].replace(printable(failure[0].rpartition("/")[2]), "")


def others_of(names: Sequence[str], taken: Collection[str]) -> str:
    """What to say of channels that nobody takes where another is lacking, which may be it by another name."""
    left = [name for name in names if name not in taken]
    return f"; left over: {some_of(left)}" if left else ""


def _fault(values: NDArray[np.float32], channels: int | None) -> str | None:
    """Why a recording cannot be used, beside others of so many channels."""
    if channels is not None and values.shape[1] != channels:
        return f"has {values.shape[1]} channel(s), the first has {channels}"
    if len(values) < FEWEST_POINTS:
        return f"has {len(values)} point(s), too few for a course"
    return None if np.isfinite(values).any() else EMPTY


def _finite(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], list[str]]:
    """The same with what is infinite as missing, and what to say of it."""
    infinite = np.isinf(values)
    if not infinite.any():
        return values, []
    return np.where(infinite, np.float32(np.nan), values), [f"{infinite.sum():,} infinite values are taken for missing"]


def as_numbers(values: NDArray[Any], shown: str) -> NDArray[np.float32]:
    """An array as the values of series. Raises DataError."""
    if values.dtype.kind not in "fiub":
        raise DataError(f"{shown} holds {values.dtype}; series are numbers")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is counted
        return np.asarray(values, np.float32)
