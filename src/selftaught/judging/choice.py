"""Samples to choose from for labelling: their features, what is labelled already, what a classifier says of them."""

from collections.abc import Mapping
from dataclasses import dataclass
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
from selftaught.judging.predict import predict
from selftaught.run.classifier import load_classifier
from selftaught.run.layout import is_classifier
from selftaught.run.recipes import Label, Select
from selftaught.system.devices import device_of
from selftaught.system.errors import UsageError
from selftaught.system.progress import Progress
from selftaught.system.saying import quietly, say
from selftaught.system.text import printable

CLASSES = 10  # there are thought to be so many where nobody says, and nothing is labelled
NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Likely:
    """What a classifier says."""

    classes: list[str]
    probabilities: NDArray[Any]  # of each (N, classes)


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
                probabilities=self.likely.probabilities if self.likely else None,
                progress=lambda done, total: bar.update(0, f"{100 * done // max(1, total)} % compared"),
            )
            picks = []
            for pick in islice(self.by.choose(pool, wanted), count):
                picks.append(pick)
                bar.update(len(picks))
        return picks


def choice_of(recipe: Select | Label, module: nn.Module | None = None, classes: int | None = None) -> Choice:
    """What a recipe asks to choose from; `classes`: how many there will be. Raises UsageError and DataError."""
    by, classifier = _way(recipe)
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


def _way(recipe: Select | Label) -> tuple[str, str | None]:
    """The strategy by name, and the classifier that it asks."""
    classifier = recipe.classifier or (recipe.run if is_classifier(Path(recipe.run)) else None)
    name = recipe.by or ("margin" if classifier else "typiclust")
    if strategy.named(name).needs_classifier:
        if not classifier:
            raise UsageError(
                f"--by {name} needs a classifier: name one that `selftaught finetune` made by --classifier"
            )
        return name, classifier
    if recipe.classifier:
        raise UsageError(f"--classifier is for --by uncertainty and --by margin, and not for {name}")
    return name, None


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
    return rows, max(2, len({*labels} - {""}))


def _likely(classifier: str, recipe: Select | Label, samples: Samples, count: int) -> Likely:
    """Of each class by the classifier, and of the rows behind those of DATA what is even."""
    with quietly():
        said = predict(classifier, recipe.data, column=recipe.column)
    if said.meaning.task != "classes":
        held = "numbers" if said.meaning.task == "number" else "several labels a sample"
        way = f"--by {recipe.by or 'margin'}"
        raise UsageError(f"{way} needs a classifier of classes, and {printable(classifier)} says {held}")
    likely: Mapping[str, Any] = dict(zip(said.keys, said.probabilities))
    even = np.full(len(said.classes), 1 / len(said.classes))
    rows = [*(likely.get(key, even) for key in samples.keys), *[even] * (count - samples.count)]
    return Likely(said.classes, np.stack(rows))
