"""What is odd among samples: far from all others, just like another, or labelled as what it is not."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from torch import nn

from selftaught.contracts.modality import parts_among
from selftaught.judging.choosing.pool import look_alike
from selftaught.judging.featured import Featured, encoder_of, featured, opened
from selftaught.judging.groups import groups_of, together
from selftaught.judging.mislabelled import Suspects, Telling, out_of_fold, suspects, telling
from selftaught.judging.outlying import Array, Rows, Surroundings, oddness, surroundings
from selftaught.judging.targets import BETWEEN, looks
from selftaught.run.recipes import Odd
from selftaught.system.errors import DataError
from selftaught.system.progress import Progress
from selftaught.system.saying import say
from selftaught.system.showing import Shown
from selftaught.system.text import printable

FEWEST = 5  # samples of a class, no two alike or of one recording: with fewer nobody can tell which label is wrong
NO_LABELS = "none"  # of --labels


@dataclass(frozen=True)
class Labels:
    """What labels say, and which are likely wrong."""

    rows: Rows  # of the samples that were judged
    names: list[str]  # of their classes
    classes: Rows
    suspects: Suspects
    telling: Telling

    @property
    def doubt(self) -> str:
        """Why nothing can be said of these labels; nothing where something can."""
        if self.telling.clearly:
            return ""
        return (
            f"a probe tells {self.telling.right:.0%} of the labels right, which is not clearly more than the "
            f"{self.telling.commonest:.0%} that have the commonest: it cannot tell which are wrong; "
            "--labels none leaves them out"
        )

    def told(self) -> list[tuple[int, str, str, float]]:
        """Of each that is likely wrong its row, the label, what is likelier and by how much; the surest first."""
        found = zip(self.suspects.rows.tolist(), self.suspects.likely.tolist(), self.suspects.worth.tolist())
        return [
            (int(self.rows[row]), self.names[self.classes[row]], self.names[likely], worth)
            for row, likely, worth in found
        ]


@dataclass(frozen=True)
class Oddities(Shown):
    """What is odd about samples."""

    data: Featured
    scores: Array  # (N,) how far each is from its neighbours
    outliers: Rows  # of those far enough, the farthest first
    around: Surroundings
    labels: Labels | None = None
    given: list[str] = field(default_factory=list)  # the label of every sample; "" for none
    recordings: Rows | None = None  # (N,) of which samples are parts, where neighbours are those of others alone

    @cached_property
    def alike(self) -> list[list[int]]:
        """Groups of rows that look just alike, the largest first."""
        groups = self.around.groups
        order = np.argsort(groups, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
        return sorted((part.tolist() for part in parts if len(part) > 1), key=lambda part: (-len(part), part[0]))

    @cached_property
    def facts(self) -> list[dict[str, Any]]:
        """A line for each thing that is odd: path, odd (outlier, alike or label), score, of, label and likely."""
        keys, label, z = self.data.samples.keys, dict(enumerate(self.given)), self.data.features
        return [
            *(self._fact(row, "outlier", self.scores[row], "", label.get(row, "")) for row in self.outliers.tolist()),
            *(
                self._fact(row, "alike", z[of] @ z[row], keys[of], label.get(row, ""))
                for part in self.alike
                for row, of in self._likenesses(part)
            ),
            *(
                self._fact(row, "label", worth, "", given, likely)
                for row, given, likely, worth in (self.labels.told() if self.labels else ())
            ),
        ]

    def _likenesses(self, part: list[int]) -> list[tuple[int, int]]:
        """The rows of a group but the first, each with what it is said to be like: that, or another recording's."""
        first, *others = part
        if self.recordings is None:
            return [(row, first) for row in others]
        own = self.recordings[part]
        stranger = part[int((own != own[0]).argmax())]
        return [(row, stranger if self.recordings[row] == own[0] else first) for row in others]

    def _fact(self, row: int, odd: str, score: float, of: str, label: str, likely: str = "") -> dict[str, Any]:
        about = {"path": self.data.samples.keys[row], "odd": odd, "score": float(f"{score:.6g}")}
        return {**about, "of": of, "label": label, "likely": likely}

    def counts(self) -> dict[str, int]:
        """How many samples are odd in each way."""
        many = Counter(fact["odd"] for fact in self.facts)
        return {name: many[name] for name in ("outlier", "alike", "label")}

    def of_labels(self) -> dict[str, Any]:
        """How far labels can be told at all: the share that a probe tells right, that of the commonest, and whether."""
        if self.labels is None:
            return {}
        told = self.labels.telling
        return {"told_right": told.right, "commonest_label": told.commonest, "labels_can_be_told": told.clearly}


def odd(recipe: Odd, module: nn.Module | None = None) -> Oddities:
    """What a recipe asks for. Raises UsageError and DataError."""
    encoder = encoder_of(recipe.run, module)
    wanted = str(recipe.labels) != NO_LABELS
    how = {"labels": recipe.labels if wanted else None, "label_column": recipe.label_column, "column": recipe.column}
    data = featured(encoder, opened(encoder.preparation, recipe.run, recipe.data, **how))
    count, things = data.samples.count, data.kind.THINGS
    if count < 3:
        raise DataError(f"{printable(data.samples.name)} has {count} {things}: among so few nothing is odd")
    recordings = _recordings(data)
    with Progress("neighbours", count, things) as bar:
        near = look_alike(data.features, recordings)
        around = surroundings(data.features, recipe.neighbours, near, lambda done, total: bar.update(done), recordings)
    scores = oddness(around.reach)
    outliers = np.flatnonzero(scores >= recipe.outlier)
    outliers = outliers[np.argsort(-scores[outliers], kind="stable")]
    given = (data.samples.told_labels() or []) if wanted else []
    return Oddities(data, scores, outliers, around, _labels(recipe, data, around, given), given, recordings)


def _recordings(data: Featured) -> Rows | None:
    """Of each sample the number of what it is a part of; None where that is nothing, or, which is said, one for all."""
    recordings, things = groups_of([data.samples]), data.kind.THINGS
    if recordings is None or recordings.max() > 0:
        return recordings
    say(
        f"note: all {things} are of one group, so the neighbours of each are of its own: what is odd in as many of "
        "them looks usual"
    )
    return None


def _labels(recipe: Odd, data: Featured, around: Surroundings, given: list[str]) -> Labels | None:
    """What is to be said of labels; None, and said why, where that is nothing."""
    known = [row for row, label in enumerate(given) if label and label != BETWEEN]
    if not known or not _are_classes(recipe, data, given, known):
        return None
    recordings = groups_of([data.samples])
    group = around.groups if recordings is None else together(recordings, around.groups)
    names, rows = _enough(data, group, given, known)
    if len(names) < 2:
        return None
    number = {name: place for place, name in enumerate(names)}
    classes = np.array([number[given[row]] for row in rows.tolist()], dtype=np.int64)
    with Progress("labels", 0, "folds") as bar:
        likely = out_of_fold(
            data.features[rows],
            classes,
            group[rows],
            recipe.seed,
            lambda done, total: bar.update(done, total=total),
        )
    return Labels(rows, names, classes, suspects(likely, classes), telling(likely, classes, group[rows]))


def _are_classes(recipe: Odd, data: Featured, given: list[str], known: list[int]) -> bool:
    """Whether labels are one class of each sample; said where they are not."""
    held = [given[row] for row in known]
    if not recipe.labels and (parts := parts_among(held, [data.samples.keys[row] for row in known])):
        say(f"note: the folders {', '.join(map(printable, parts))} are parts of a split and taken for no labels")
        return False
    task = looks(held)
    if task != "classes":
        say("note: only labels that are one class of each sample can be told to be wrong: these are not looked at")
    return task == "classes"


def _enough(data: Featured, group: Rows, given: list[str], known: list[int]) -> tuple[list[str], Rows]:
    """Classes with samples enough to tell by, and the rows of these; the others are said."""
    held: dict[str, list[int]] = {}
    for row in known:
        held.setdefault(given[row], []).append(row)
    enough = sorted(name for name, rows in held.items() if len(np.unique(group[rows])) >= FEWEST)
    if left := sorted(held.keys() - {*enough}):
        named = ", ".join(map(printable, left[:5])) + (" ..." if len(left) > 5 else "")
        those = data.kind.THINGS if data.samples.groups is None else f"groups of {data.kind.THINGS}"
        say(f"note: nothing is said of the labels of {named}: with fewer than {FEWEST} {those} of a class")
    return enough, np.array(sorted(row for name in enough for row in held[name]), dtype=np.int64)
