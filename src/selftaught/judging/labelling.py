"""Labelling by a person: which sample comes next, which look like it, and what was answered, which is kept at once."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from selftaught.judging.answering import Said, answers_of, task_of
from selftaught.judging.choice import Choice, choice_of, classifier_of
from selftaught.judging.choosing.pool import Rows
from selftaught.judging.choosing.strategy import Pick
from selftaught.judging.label_file import LabelFile
from selftaught.judging.targets import Task
from selftaught.run.classifier import meaning_of
from selftaught.run.recipes import Label
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import printable

ALIKE = 12  # samples that are shown beside the one that is asked about


class Stroke(NamedTuple):
    """What was done in one go, and can be taken back."""

    rows: tuple[int, ...]
    label: str  # as the file has it; "" where they were passed over
    asked: Pick | None  # what was asked about then


class Labelling:
    """A sitting. Rows are those of the samples; what is refused raises UsageError or DataError, and changes nothing."""

    def __init__(
        self, choice: Choice, file: LabelFile, classes: Sequence[str], at_a_time: int, task: Task = "classes"
    ) -> None:
        """classes: those that are offered before those that the file and a classifier know; task: what is answered."""
        self.choice, self.file, self.at_a_time = choice, file, at_a_time
        self.answers = answers_of(task)
        self.samples = choice.data.samples
        told = file.labels(self.samples.keys, choice.data.kind.THINGS)
        self.labels = {row: label for row, label in enumerate(told) if label}
        thought = choice.likely.classes if choice.likely and not classes else []
        known = sorted({name for label in {*self.labels.values()} for name in self.answers.named(label)})
        for name in dict.fromkeys(map(str.strip, classes)):
            self.add_class(name)
        self._take("the classifier", thought)
        self._take(file.shown, known)
        self._passed: list[int] = []
        self._strokes: list[Stroke] = []
        self._queue: deque[Pick] = deque()
        self._closed = {*choice.labelled.tolist()}

    def _take(self, where: str, names: Sequence[str]) -> None:
        """Classes that are known there. Raises DataError for one that no answer may be."""
        for name in map(str.strip, names):
            try:
                if name not in self.classes:
                    self.add_class(name)
            except UsageError as error:
                raise DataError(f"{where} has a class that cannot be answered: {error}") from None

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

    def thought(self, row: int) -> list[tuple[str, float]] | None:
        """What the classifier says of a sample, as `Likely.says`; None where none is asked."""
        return self.choice.likely.says(row) if self.choice.likely else None

    def answer(self, rows: Sequence[int], said: Said) -> None:
        """Say of samples what they are, and keep it."""
        label = self.answers.text(said)
        self._refuse_done(rows)
        if len(rows) > 1 and not self.answers.in_one_stroke:
            raise UsageError("a number is that of one sample: what looks alike may differ in it")
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
        self.answers.add_class(name)

    @property
    def classes(self) -> list[str]:
        return self.answers.classes

    def counts(self) -> dict[str, int]:
        """How many samples of each class have an answer."""
        return self.answers.counts(self.labels.values())

    def summary(self) -> str:
        """What the answers are, for people: the counts, or between which numbers they lie."""
        return self.answers.summary([*self.labels.values()])

    @property
    def can_take_back(self) -> bool:
        return bool(self._strokes)

    def _is_done(self, row: int) -> bool:
        return row in self.labels or row in self._passed or row in self._closed

    def _refuse_done(self, rows: Sequence[int]) -> None:
        if not rows or len({*rows}) < len(rows) or not all(0 <= row < self.samples.count for row in rows):
            raise UsageError(f"{[*rows]!r} are no samples of these {self.samples.count:,}")
        for row in rows:
            if row in self.labels or row in self._closed:
                raise UsageError(f"{printable(self.samples.keys[row])} has a label already")


def begun(recipe: Label) -> Labelling:
    """The sitting that a recipe asks for, after what its file holds. Raises UsageError and DataError."""
    wanted = [name for part in (recipe.classes or "").split(",") if (name := part.strip())]
    file, classifier = LabelFile(Path(recipe.out)), classifier_of(recipe)
    says = meaning_of(classifier).task if classifier else None
    task = task_of(recipe.task, wanted, file.held(), says, file.shown)
    choice = choice_of(recipe, classes=len(wanted) or None, task=task)
    sitting = Labelling(choice, file, wanted, recipe.count, task)
    file.begin()
    return sitting
