"""Samples to choose from for labelling: their features, what is labelled already, what a classifier says of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from selftaught.contracts.encoder import Encoder
from selftaught.contracts.samples import Samples
from selftaught.judging.choosing import strategy
from selftaught.judging.choosing.pool import Array, Pool, Rows, look_alike
from selftaught.judging.choosing.strategy import Pick, Strategy, Wanted
from selftaught.judging.copies import contents
from selftaught.judging.featured import Featured, encoder_of, featured, opened
from selftaught.judging.metrics import EVEN
from selftaught.judging.predict import Predictions, predict
from selftaught.judging.targets import HELD, Task, looks, names_in
from selftaught.run.classifier import load_classifier, meaning_of
from selftaught.run.layout import is_classifier
from selftaught.run.meaning import Meaning
from selftaught.run.recipes import Label, Select
from selftaught.system.devices import device_of
from selftaught.system.errors import UsageError
from selftaught.system.progress import Progress
from selftaught.system.saying import quietly, say
from selftaught.system.text import printable

CLASSES = 10  # there are thought to be so many where nobody says, and nothing is labelled
GLANCE = (4, 3)  # digits of a number that is read beside a sample, and places after those of the deviation
NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Likely:
    """What a classifier says."""

    classes: list[str]  # or labels; none where it says numbers
    probabilities: NDArray[Any]  # of each (N, classes)
    meaning: Meaning = field(default_factory=Meaning)
    values: NDArray[Any] | None = None  # numbers (N,), where it says these; NaN where it could not

    @property
    def doubts(self) -> NDArray[Any] | None:
        """Probabilities of what excludes each other (N, 2 or more), by which strategies choose; None of numbers.

        Of several labels it is that of the one that is least sure, and that of its absence: the sample with the least
        sure decision comes first (Brinker, 2006, https://doi.org/10.1007/3-540-31314-1_24).
        """
        if self.meaning.task == "classes":
            return self.probabilities
        if self.meaning.task == "number":
            return None
        least = np.abs(self.probabilities - EVEN).argmin(axis=1)
        sure = np.take_along_axis(self.probabilities, least[:, None], axis=1)
        return np.concatenate([sure, 1 - sure], axis=1)

    def says(self, row: int) -> list[tuple[str, float]]:
        """The likeliest class of a sample, or its likely labels, with how likely each is; of numbers that, and how far
        off 95 % of them are at most, 0 where that is unknown.
        """
        if self.values is not None:
            value = float(self.values[row])
            return [] if np.isnan(value) else [(self.meaning.written(value, *GLANCE), self.meaning.margin or 0.0)]
        likely = self.probabilities[row]
        (said,) = Predictions([""], self.classes, likely[None], [], meaning=self.meaning).said
        return [(self.classes[number], float(likely[number])) for number in said]


@dataclass(frozen=True)
class Choice:
    """Samples, and behind them those of other data that are labelled already, N in all."""

    data: Featured
    by: Strategy
    features: Array  # (N, D) of length one
    content: Rows  # (N,) the same for copies
    near: float  # how far apart look-alikes are at most
    labelled: Rows
    classes: int
    seed: int
    likely: Likely | None  # where a classifier is asked

    def pool(self, closed: Rows = NONE) -> Pool:
        """Those that may still be chosen: not labelled, nor `closed`, nor look-alikes of any of these."""
        pool = Pool(self.features, self.content, self.near)
        pool.take(np.concatenate([self.labelled, closed]))
        return pool

    def picks(self, count: int, pool: Pool, more: Rows = NONE) -> list[Pick]:
        """The most wanted of the pool, `count` at most; `more`: what has been labelled since."""
        with Progress("choosing", count, "samples") as bar:
            wanted = Wanted(
                count=count,
                labelled=np.concatenate([self.labelled, more]),
                classes=self.classes,
                seed=self.seed,
                probabilities=self.likely.doubts if self.likely else None,
                progress=lambda done, total: bar.update(0, f"{100 * done // max(1, total)} % compared"),
            )
            picks = []
            for pick in islice(self.by.choose(pool, wanted), count):
                picks.append(pick)
                bar.update(len(picks))
        return picks


def choice_of(
    recipe: Select | Label, module: nn.Module | None = None, classes: int | None = None, task: Task | None = None
) -> Choice:
    """What a recipe asks to choose from. Raises UsageError and DataError.

    classes: how many there will be; task: what is to be answered of what is chosen, where that is known.
    """
    by, classifier = _way(recipe, task)
    encoder = _encoder(recipe.run, module)
    listed = Path(recipe.labelled) if recipe.labelled and recipe.labelled.lower().endswith(".csv") else None
    how: dict[str, Any] = {"labels": listed, "label_column": recipe.label_column} if listed else {}
    samples = opened(encoder.preparation, recipe.run, recipe.data, column=recipe.column, **how)
    data = featured(encoder, samples)
    sources, features, known, there = [samples], data.features, NONE, CLASSES
    if listed:
        known, there = _listed(listed, data)
    elif recipe.labelled:
        others = opened(encoder.preparation, recipe.run, recipe.labelled)
        features = np.concatenate([features, featured(encoder, others).features])
        known, sources = np.arange(samples.count, len(features)), _comparable(recipe, samples, others)
    likely = _likely(classifier, recipe, samples, len(features)) if classifier else None
    _, content = contents(sources, data.kind.LOOKS)
    near = look_alike(features)
    return Choice(data, strategy.named(by), features, content, near, known, classes or there, recipe.seed, likely)


def classifier_of(recipe: Select | Label) -> str | None:
    """The classifier that may be asked, if there is one."""
    return recipe.classifier or (recipe.run if is_classifier(Path(recipe.run)) else None)


def _way(recipe: Select | Label, task: Task | None) -> tuple[str, str | None]:
    """The strategy by name, and the classifier that is asked."""
    classifier = classifier_of(recipe)
    name = recipe.by or (_usual(recipe, classifier, task) if classifier else "typiclust")
    if strategy.named(name).needs_classifier:
        if not classifier:
            raise UsageError(
                f"--by {name} needs a classifier: name one that `selftaught finetune` made by --classifier"
            )
        _refuse_unfit(name, classifier, task)
        return name, classifier
    if task == "number" and classifier and meaning_of(classifier).task == "number":
        return name, classifier  # nothing is chosen by what it says, and somebody may want to know it
    if recipe.classifier:
        raise UsageError(f"--classifier is for --by uncertainty and --by margin, and not for {name}")
    return name, None


def _usual(recipe: Select | Label, classifier: str, task: Task | None) -> str:
    """The strategy where nobody names one, and there is a classifier; said aloud where that cannot be asked."""
    says = meaning_of(classifier).task
    if says == task != "number":
        return "margin"
    if recipe.classifier and says != task:
        _refuse_unfit("margin", classifier, task)
    useless = "says numbers, and not how sure it is of each" if says == "number" else f"says {HELD[says]}"
    say(f"note: {printable(classifier)} {useless}: what comes first is chosen by its features, --by typiclust")
    return "typiclust"


def _refuse_unfit(name: str, classifier: str, task: Task | None) -> None:
    """Raise UsageError where a classifier tells nothing of which answer is in doubt."""
    if task == "number":
        raise UsageError(f"--by {name} goes by how sure a classifier is, which none is of numbers: leave it out")
    if (says := meaning_of(classifier).task) == "number" or says != (task or says):
        wanted = {"classes": "classes", "several": "several labels"}.get(task or "", "classes or of several labels")
        held = "numbers" if says == "number" else HELD[says]
        raise UsageError(f"--by {name} needs a classifier of {wanted}, and {printable(classifier)} says {held}")


def _encoder(run: str, module: nn.Module | None) -> Encoder:
    if is_classifier(Path(run)):
        return load_classifier(run, module).encoder.to(device_of("auto"))
    return encoder_of(run, module)


def _comparable(recipe: Select | Label, samples: Samples, others: Samples) -> list[Samples]:
    """The samples and the labelled ones, held alike, or copies would look unlike each other."""
    if samples.batch(np.arange(1))[0].shape == others.batch(np.arange(1))[0].shape:
        return [samples, others]
    named = ((recipe.data, recipe.column), (str(recipe.labelled), None))
    with quietly():  # all that is to be told of them has been
        return [opened(samples.preparation, recipe.run, data, column=column, native=False) for data, column in named]


def _listed(file: Path, data: Featured) -> tuple[Rows, int]:
    """The rows that a CSV knows the label of, and of how many classes these are."""
    labels = data.samples.told_labels() or []
    rows = np.flatnonzero([bool(label) for label in labels])
    if not len(rows):
        say(f"note: {printable(file)} has a label for none of the {data.kind.THINGS} yet")
        return rows, CLASSES
    known = [label for label in labels if label]
    task = looks(known)
    names = {*known} if task == "classes" else {name for label in known for name in names_in(label)}
    return rows, CLASSES if task == "number" else max(2, len(names))


def _likely(classifier: str, recipe: Select | Label, samples: Samples, count: int) -> Likely:
    """What the classifier says of each sample, and of the rows behind those of DATA what is even."""
    with quietly():
        said = predict(classifier, recipe.data, column=recipe.column)
    if said.values is not None:
        values: Mapping[str, float] = dict(zip(said.keys, said.values))
        known = [*(values.get(key, np.nan) for key in samples.keys), *[np.nan] * (count - samples.count)]
        return Likely([], np.empty((count, 0)), said.meaning, np.array(known))
    likely: Mapping[str, Any] = dict(zip(said.keys, said.probabilities))
    even = np.full(len(said.classes), EVEN if said.meaning.task == "several" else 1 / len(said.classes))
    rows = [*(likely.get(key, even) for key in samples.keys), *[even] * (count - samples.count)]
    return Likely(said.classes, np.stack(rows), said.meaning)
