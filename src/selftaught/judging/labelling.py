"""Labelling by a person: which sample comes next, which look like it, and what was answered, which is kept at once."""

from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from selftaught.data.sources.cells import NO_VALUE
from selftaught.judging.choice import Choice, choice_of
from selftaught.judging.choosing.pool import Rows
from selftaught.judging.choosing.strategy import Pick
from selftaught.judging.label_file import LabelFile
from selftaught.judging.targets import BETWEEN
from selftaught.run.recipes import Label
from selftaught.system.errors import UsageError
from selftaught.system.text import printable

ALIKE = 12  # samples that are shown beside the one that is asked about
LONGEST = 100  # letters of a class


class Stroke(NamedTuple):
    """What was done in one go, and can be taken back."""

    rows: tuple[int, ...]
    label: str  # "" where they were passed over
    asked: Pick | None  # what was asked about then


class Labelling:
    """A sitting. Rows are those of the samples; what is refused raises UsageError or DataError, and changes nothing."""

    def __init__(self, choice: Choice, file: LabelFile, classes: Sequence[str], at_a_time: int) -> None:
        self.choice, self.file, self.at_a_time = choice, file, at_a_time
        self.samples = choice.data.samples
        told = file.labels(self.samples.keys, choice.data.kind.THINGS)
        self.labels = {row: label for row, label in enumerate(told) if label}
        self.classes: list[str] = []
        thought = choice.likely.classes if choice.likely and not classes else []
        for name in dict.fromkeys([*map(str.strip, classes), *thought, *sorted({*self.labels.values()})]):
            self.add_class(name)
        self._passed: list[int] = []
        self._strokes: list[Stroke] = []
        self._queue: deque[Pick] = deque()
        self._closed = {*choice.labelled.tolist()}

    def asked(self) -> Pick | None:
        """The sample that is asked about; None where all others look just like what has been answered."""
        while self._queue and self._is_done(self._queue[0].row):
            self._queue.popleft()
        if not self._queue:
            known = np.array([*self.labels], np.int64)
            pool = self.choice.pool(np.array([*self.labels, *self._passed], np.int64))
            if pool.open[: self.samples.count].any():
                self._queue.extend(self.choice.picks(self.at_a_time, pool, known))
        return self._queue[0] if self._queue else None

    def alike(self, row: int) -> list[int]:
        """The samples that are most like this one and have no answer yet, the nearest first."""
        likeness = self.choice.data.features @ self.choice.data.features[row]
        likeness[[row, *self.labels, *(one for one in self._closed if one < len(likeness))]] = -np.inf
        nearest: Rows = np.argsort(-likeness, kind="stable")[:ALIKE]
        return nearest[np.isfinite(likeness[nearest])].tolist()

    def thought(self, row: int) -> tuple[str, float] | None:
        """What the classifier takes a sample for, and how sure it is of that; None where none is asked."""
        if not (likely := self.choice.likely):
            return None
        best = int(likely.probabilities[row].argmax())
        return likely.classes[best], float(likely.probabilities[row, best])

    def answer(self, rows: Sequence[int], label: str) -> None:
        """Say of samples what they are, and keep it."""
        if label not in self.classes:
            raise UsageError(f"{printable(label)!r} is none of the classes: add it first")
        self._refuse_done(rows)
        asked = self._queue[0] if self._queue else None
        self.file.add([(self.samples.keys[row], label) for row in rows])
        self.labels.update(dict.fromkeys(rows, label))
        self._strokes.append(Stroke(tuple(rows), label, asked))

    def pass_over(self, row: int) -> None:
        """Ask about it no more in this sitting."""
        self._refuse_done([row])
        self._strokes.append(Stroke((row,), "", self._queue[0] if self._queue else None))
        self._passed.append(row)

    def take_back(self) -> None:
        """Undo the last stroke of this sitting, and ask about it again."""
        if not self._strokes:
            raise UsageError("there is nothing to take back: of earlier sittings, change the file itself")
        last = self._strokes[-1]
        if last.label:
            self.file.take_back()
            for row in last.rows:
                del self.labels[row]
        else:
            self._passed.remove(last.rows[0])
        self._strokes.pop()
        if last.asked and last.asked not in self._queue:
            self._queue.appendleft(last.asked)

    def add_class(self, name: str) -> None:
        """One more thing that samples can be."""
        name = name.strip()
        if name in self.classes:
            raise UsageError(f"{printable(name)!r} is one of the classes already")
        if not name or len(name) > LONGEST or not name.isprintable():
            raise UsageError(f"a class has a name of 1 to {LONGEST} letters, and {printable(name[:LONGEST])!r} is none")
        if BETWEEN in name or name.lower() in NO_VALUE:
            means = f"{BETWEEN!r} parts several labels" if BETWEEN in name else "files of labels have it for no label"
            raise UsageError(f"a class cannot be called {printable(name)!r}: {means}")
        self.classes.append(name)

    def counts(self) -> dict[str, int]:
        """How many samples of each class have an answer."""
        counts = Counter(self.labels.values())
        return {name: counts[name] for name in self.classes}

    @property
    def can_take_back(self) -> bool:
        return bool(self._strokes)

    def _is_done(self, row: int) -> bool:
        return row in self.labels or row in self._passed or row in self._closed

    def _refuse_done(self, rows: Sequence[int]) -> None:
        if not rows or len({*rows}) < len(rows) or not all(0 <= row < self.samples.count for row in rows):
            raise UsageError(f"{[*rows]!r} are no samples of these {self.samples.count:,}")
        if done := next((row for row in rows if row in self.labels or row in self._closed), None):
            raise UsageError(f"{printable(self.samples.keys[done])} has a label already")


def begun(recipe: Label) -> Labelling:
    """The sitting that a recipe asks for, after what its file holds. Raises UsageError and DataError."""
    wanted = [name for name in (recipe.classes or "").split(",") if name.strip()]
    file = LabelFile(Path(recipe.out))
    sitting = Labelling(choice_of(recipe, classes=len(wanted) or None), file, wanted, recipe.count)
    file.begin()
    return sitting
