"""Labelled samples, opened as an encoder takes them, and which of them are learnt from and which judged on.

No copy is on both sides. Subsets are stratified, and so are the folds where there is no test set.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.contracts import modality
from selftaught.contracts.samples import Preparation, Samples
from selftaught.judging.copies import contents
from selftaught.judging.folders import is_deeper, refuse_parts
from selftaught.judging.groups import groups_named, together
from selftaught.judging.masks import Masks
from selftaught.judging.subsets import LabelCount, Rows, folds, held_out, label_subset, merged
from selftaught.judging.targets import BETWEEN, Targets, Task, targets_of
from selftaught.run.recipes import Evaluate, Finetune
from selftaught.system.errors import DataError, UsageError
from selftaught.system.interruption import poll
from selftaught.system.progress import Progress
from selftaught.system.quarantine import warn_of
from selftaught.system.saying import quietly, say
from selftaught.system.text import printable


@dataclass(frozen=True)
class Split:
    """Which samples a probe may learn from and which it is judged on."""

    repeat: int
    train: Rows
    test: Rows


_OF_EACH = ("classes", "content", "exact", "named")  # of the fields below those that have a number for each sample


@dataclass
class Labelled:
    """Labelled samples: those to learn from, those of a test set if there is one, and all their classes."""

    train: Samples
    test: Samples | None
    classes: NDArray[np.int64]  # of the training samples followed by the test samples; else the strata of `targets`
    names: list[str]  # of the classes, as the disk has them
    content: Rows  # of each of them a number, the same for the same content, and for what looks just alike
    exact: Rows  # likewise, only for the same content
    named: Rows | None = None  # likewise, for those of which the user says that they belong together
    targets: Targets | None = None  # the truth, where it may be another one than `classes`
    masks: Masks | None = None  # the class of each pixel, where that is what is learnt; `classes` are one stratum then

    @property
    def task(self) -> Task:
        """What labels are: one class of each sample, several, or a number."""
        return self.targets.task if self.targets else "classes"

    @property
    def truth(self) -> NDArray[Any]:
        """What is so of all samples: classes (N,), labels (N, L) as bool, or numbers (N,)."""
        return self.targets.values if self.targets else self.classes

    @property
    def strata(self) -> list[str]:
        """What `classes` are called, where they are no classes, too."""
        return self.names if self.task == "classes" else [f"part {i + 1}" for i in range(int(self.classes.max()) + 1)]

    @cached_property
    def group(self) -> Rows:
        """A number for each sample (N,), the same for what is no independent evidence: copies, and what a group has."""
        return self.content if self.named is None else together(self.named, self.content)

    @property
    def sources(self) -> list[Samples]:
        """Training samples, then test samples."""
        return [self.train, self.test] if self.test else [self.train]

    @property
    def tested(self) -> int:
        """How many samples an accuracy is measured on; copies of one are one, and so is a group."""
        return len(np.unique(self.group[self.test_rows if self.test else slice(None)]))

    @property
    def distinct(self) -> int:
        """How many of those are no copies."""
        return len(np.unique(self.content[self.test_rows if self.test else slice(None)]))

    def subset(self, rows: Rows) -> Samples:
        """Samples by row; all of one source."""
        if self.test and rows[0] >= self.train.count:
            return self.test.subset(rows - self.train.count)
        return self.train.subset(rows)

    def apart(self, train: Rows, test: Rows) -> Rows:
        """Those of the `train` rows of whose group none is among the `test` rows: a copy there would be no test."""
        return train[~np.isin(self.group[train], self.group[test])]

    @property
    def test_rows(self) -> Rows:
        """Those of the test set; none where there is none."""
        return np.arange(self.train.count, len(self.classes))

    @property
    def not_tested(self) -> Rows:
        """The training rows that may be learnt from: those without a copy, or one of their group, in the test set."""
        return self.part(self.test_rows)

    def part(self, test: Rows) -> Rows:
        """The training rows, labels known or not, without copies of what is judged on, or others of its groups."""
        return self.apart(np.arange(self.train.count), test)

    def beyond_test(self) -> "Labelled":
        """The training samples that the test set has nothing of, neither a copy nor one of their group, by themselves.

        In folds of these something can be chosen before the test set is asked.
        """
        rows = self.not_tested
        held = {name: own[rows] for name in _OF_EACH if (own := getattr(self, name)) is not None}
        if targets := self.targets:
            held["targets"] = replace(targets, values=targets.values[rows], strata=targets.strata[rows])
        if masks := self.masks:
            held["masks"] = replace(masks, truth=masks.truth[rows])
        train = self.train if len(rows) == self.train.count else self.train.subset(rows)
        return _evened(replace(self, train=train, test=None, **held))

    @property
    def copies(self) -> int:
        """How many training samples have a copy among what is judged: in the test set or, in folds, anywhere."""
        return self._repeated(self.content)

    @property
    def near_copies(self) -> int:
        """How many of them only look like one there, as the same picture does that was compressed or scaled again."""
        return self.copies - self._repeated(self.exact)

    def _repeated(self, content: Rows) -> int:
        if self.test:
            return int(np.isin(content[: self.train.count], content[self.test_rows]).sum())
        return int((np.bincount(content)[content] > 1).sum())


def open_labelled(recipe: Evaluate | Finetune, preparation: Preparation) -> Labelled:
    """The labelled samples that a recipe names, to learn from and perhaps to test on, as `preparation` says.

    Copies on both sides are told aloud. Raises UsageError where the encoder takes other data, and DataError where they
    cannot be judged on.
    """
    sources = opened(recipe, preparation)
    targets = _targets(recipe, sources)
    return joined(recipe, preparation, sources, classes=targets.strata, names=targets.names, targets=targets)


def opened(recipe: Evaluate | Finetune, preparation: Preparation, **how: Any) -> list[Samples]:
    """The samples to learn from, and those of a test set if there is one; `how` as `open_samples` takes it."""
    named = named_in(recipe)
    sources = [_opened(recipe, preparation, *source, **how) for source in named]
    if len({samples.batch(np.arange(1))[0].shape for samples in sources}) > 1:  # copies would look unlike each other
        with quietly():  # all that is to be told of them has been
            sources = [_opened(recipe, preparation, *source, native=False, **how) for source in named]
    return sources


def joined(recipe: Evaluate | Finetune, preparation: Preparation, sources: list[Samples], **held: Any) -> Labelled:
    """What has been opened as one, copies and groups known, which are told aloud; `held` as of `Labelled`."""
    kind = modality.named(preparation.modality)
    exact, content = contents(sources, kind.LOOKS)
    groups = groups_named(recipe, sources)
    test = sources[1] if recipe.test else None
    data = _evened(Labelled(sources[0], test, content=content, exact=exact, named=groups, **held))
    _warn_of_copies(data, kind.THINGS)
    return data


def _evened(data: Labelled) -> Labelled:
    """With strata, where these are of our own making, none of which has too few training groups for folds.

    Samples of the test set have no say: each goes with the training samples of its stratum.
    """
    if data.task != "classes":
        learnt, known = slice(data.train.count), np.zeros(1 + int(data.classes.max()), dtype=np.int64)
        known[data.classes[learnt]] = merged(data.classes[learnt], data.group[learnt])
        data.classes = known[data.classes]
    return data


def shown_to(preparation: Preparation, recipe: Evaluate, data: Labelled) -> Labelled:
    """The same samples, as another encoder takes them. Raises DataError where they have changed meanwhile."""
    if data.masks:
        _refuse_another_part(preparation, data.masks)
    with quietly():  # all that is to be told of them has been
        sources = [_opened(recipe, preparation, *source, labelled=not data.masks) for source in named_in(recipe)]
    train, *test = (_only(samples, own.keys) for samples, own in zip(sources, data.sources))
    if [list(own.keys) for own in (train, *test)] != [list(own.keys) for own in data.sources]:
        raise DataError(f"{data.train.name} has changed while it was judged: say the same again")
    return replace(data, train=train, test=test[0] if test else None)


def _refuse_another_part(preparation: Preparation, masks: Masks) -> None:
    """Raise UsageError for an encoder that sees another part of images than what the masks were cut to."""
    (height, width), (tall, wide) = masks.view, preparation.size
    if height * wide != width * tall:
        raise UsageError(
            f"the pre-trained encoder takes {tall} x {wide} px, which is another part of the images than {height} x "
            f"{width}: say --pretrained-size {height}x{width}, or --pretrained none"
        )


def _only(samples: Samples, keys: Sequence[str]) -> Samples:
    known = set(keys)
    rows = np.flatnonzero([key in known for key in samples.keys])
    return samples if len(rows) == samples.count else samples.subset(rows)


def named_in(recipe: Evaluate | Finetune) -> list[tuple[str, Path | None]]:
    """The data to learn from and, where there is one, the test set, each with its labels."""
    learnt = (recipe.train, recipe.train_labels) if isinstance(recipe, Evaluate) else (recipe.labelled, recipe.labels)
    return [learnt, *([(recipe.test, recipe.test_labels)] if recipe.test else [])]


def _opened(
    recipe: Evaluate | Finetune, preparation: Preparation, data: str, labels: Path | None, **how: Any
) -> Samples:
    kind, given = modality.named(preparation.modality), modality.of(data)
    if given is not kind:
        takes = f"the encoder of {printable(recipe.run)} takes {kind.THINGS}"
        raise UsageError(f"{takes}, and {printable(data)} holds {given.THINGS}")
    how = {
        "labelled": True,
        **how,
        **recipe.model_dump(include={"label_column", "column", "limit", "seed", "tolerance"}),
    }
    with Progress("reading", 0, kind.THINGS) as bar:
        samples: Samples = kind.open_samples(data, like=preparation, labels=labels, progress=bar.polled(poll), **how)
    warn_of(samples.quarantined, data)
    for note in samples.notes:
        say(note)
    if labels is None and how["labelled"]:
        refuse_parts(recipe, samples, data)
    return _with_some(samples, kind.THINGS) if samples.labels and recipe.task != "several" else samples


def _with_some(samples: Samples, things: str) -> Samples:
    """Those of the samples that have any label: to have none of several is an answer only where several are asked."""
    rows = np.flatnonzero([label != BETWEEN for label in samples.labels or []])
    if none := samples.count - len(rows):
        shown = f"{none:,} {things} of {printable(samples.name)} have none of the labels"
        if not len(rows):
            raise DataError(f"{shown}: say --task several if that is meant")
        say(f"note: {shown} and are left out; --task several takes them, too")
        return samples.subset(rows)
    return samples


def _targets(recipe: Evaluate | Finetune, sources: Sequence[Samples]) -> Targets:
    """What the labels of all sources say. Raises DataError where there is nothing to tell apart."""
    labels = [samples.labels or [] for samples in sources]
    names = sorted(set(labels[0]))
    if len(names) < 2:
        held = f"only one class, '{printable(names[0])}'" if names else "no labels"
        deeper = f"; or is each folder in '{printable(names[0])}' a class?" if names and is_deeper(sources[0]) else ""
        raise DataError(f"{sources[0].name} has {held}: there is nothing to tell apart{deeper}")
    return targets_of(labels, recipe.task, sources[0].name)


def spare(data: Labelled, rows: Rows, share: float, seed: int) -> tuple[Rows, Rows]:
    """Of training `rows` those to learn from, and the share that is held out; no group is on both sides."""
    learnt, held = held_out(data.classes[rows], data.group[rows], share, seed)
    return without_losing(data, rows, data.apart(rows[learnt], rows[held])), rows[held]


def without_losing(data: Labelled, rows: Rows, left: Rows) -> Rows:
    """Those `left` of training `rows`. Raises DataError where a class has lost all of its samples."""
    if data.task == "classes":
        _refuse_lost(data, np.setdiff1d(data.classes[rows], data.classes[left]))
    return left


def _refuse_lost(data: Labelled, lost: Rows) -> None:
    if len(lost):
        names = ", ".join(printable(data.names[number]) for number in lost[:5].tolist())
        alike = "copies" if data.named is None else "copies, or others of their group,"
        raise DataError(f"all samples of {names} have {alike} among what is judged: nothing is left to learn from")


def _warn_of_copies(data: Labelled, things: str) -> None:
    if data.test is None:
        if told := _told(data, "have a copy among the others", "look like others"):
            say(f"warning: {told.format(things)}; no fold learns what it is judged on")
        return
    if told := _told(data, "of --train are in --test as well", "of --train look like some there"):
        say(f"warning: {told.format(things)}; they are not learnt from")
    if others := data.train.count - len(data.not_tested) - data.copies:
        say(f"warning: {others:,} {things} of --train are of groups that --test has as well; they are not learnt from")
    without_losing(data, np.arange(data.train.count), data.not_tested)
    if data.task == "several":
        had, have = data.truth[: data.train.count].any(axis=0), data.truth[data.not_tested].any(axis=0)
        _refuse_lost(data, np.flatnonzero(had & ~have))
    if not len(data.not_tested):
        raise DataError("all samples of --train have copies in --test: nothing is left to learn from")
    if (different := data.distinct) < data.test.count:
        say(f"warning: --test holds {different:,} different {things} in {data.test.count:,}; copies count once")


def _told(data: Labelled, copied: str, alike: str) -> str:
    """How many samples have copies or are alike, with a place for what they are called; nothing where none has."""
    counts = [(data.copies - data.near_copies, copied), (data.near_copies, alike)]
    return " and ".join(f"{count:,} {{0}} {what}" for count, what in counts if count)


def splits(data: Labelled, count: LabelCount, repeats: int, seed: int) -> Iterator[Split]:
    """Every split that a number of labels is judged on; all probes and all kinds of features see the same."""

    def drawn(known: Rows, number: int) -> Rows:
        return known[label_subset(data.classes[known], data.strata, count, seed + number)]

    known = data.not_tested
    if data.test:
        for repeat in range(repeats):
            yield Split(repeat, drawn(known, repeat), data.test_rows)
        return
    for number, (repeat, train, test) in enumerate(folds(data.classes, data.group, data.strata, repeats, seed)):
        yield Split(repeat, drawn(without_losing(data, known, data.apart(train, test)), number), test)
