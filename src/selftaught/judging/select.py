"""Which samples to label first, by their features: no two that look just alike, and none that is labelled already."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from selftaught.contracts.modality import Samples
from selftaught.judging.choosing import strategy
from selftaught.judging.choosing.pool import Pool, Rows, look_alike
from selftaught.judging.choosing.strategy import Pick, Strategy, Wanted
from selftaught.judging.copies import contents
from selftaught.judging.featured import Featured, encoder_of, featured, opened
from selftaught.judging.predict import predict
from selftaught.run.recipes import Select
from selftaught.system.errors import DataError, UsageError
from selftaught.system.progress import Progress
from selftaught.system.saying import quietly, say
from selftaught.system.showing import Shown
from selftaught.system.text import printable

CLASSES = 10  # there are thought to be so many where nobody says, and nothing is labelled


@dataclass(frozen=True)
class Selection(Shown):
    """The samples to label first, the most wanted before the others."""

    data: Featured
    picks: list[Pick]
    by: Strategy
    labelled: int  # samples that were known to be labelled
    like_labelled: int  # others that look just like these, and so are not chosen

    @property
    def keys(self) -> list[str]:
        """What the chosen samples are called."""
        return [self.data.samples.keys[pick.row] for pick in self.picks]

    @property
    def columns(self) -> list[str]:
        """What is known of each, besides its name."""
        clustered = any(pick.cluster is not None for pick in self.picks)
        return ["rank", *["cluster"] * clustered, *([self.by.measure] if self.by.measure else [])]

    def facts(self) -> list[dict[str, Any]]:
        """Each as plain data: its path, and its value of each column; None where a strategy had none."""
        known = [
            {"rank": rank, "cluster": pick.cluster, self.by.measure or "": _rounded(pick.worth)}
            for rank, pick in enumerate(self.picks, 1)
        ]
        own = zip(self.keys, known, strict=True)
        return [{"path": key, **{name: one[name] for name in self.columns}} for key, one in own]


def _rounded(worth: float | None) -> float | None:
    return None if worth is None else float(f"{worth:.6g}")


def select(recipe: Select, module: nn.Module | None = None) -> Selection:
    """What a recipe asks for. Raises UsageError and DataError."""
    by = strategy.named(recipe.by)
    if by.needs_classifier and not recipe.classifier:
        raise UsageError(
            f"--by {recipe.by} needs a classifier: name one that `selftaught finetune` made by --classifier"
        )
    if recipe.classifier and not by.needs_classifier:
        raise UsageError(f"--classifier is for --by uncertainty and --by margin, and not for {recipe.by}")
    encoder = encoder_of(recipe.run, module)
    listed = Path(recipe.labelled) if recipe.labelled and recipe.labelled.lower().endswith(".csv") else None
    how: dict[str, Any] = {"labels": listed, "label_column": recipe.label_column} if listed else {}
    samples = opened(encoder.preparation, recipe.run, recipe.data, column=recipe.column, **how)
    data = featured(encoder, samples)
    sources, features, known, classes = [samples], data.features, np.zeros(0, np.int64), CLASSES
    if listed:
        known, classes = _listed(listed, data)
    elif recipe.labelled:
        others = opened(encoder.preparation, recipe.run, recipe.labelled)
        features = np.concatenate([features, featured(encoder, others).features])
        known, sources = np.arange(samples.count, len(features)), _comparable(recipe, samples, others)
    likely = _probabilities(recipe, samples, len(features)) if recipe.classifier else None
    _, content = contents(sources, data.kind.LOOKS)
    pool = Pool(features, content, look_alike(features))
    pool.take(known)
    ready = int(pool.open.sum())
    if not ready:
        raise DataError(f"nothing is left to choose: all of {printable(samples.name)} is labelled, or looks like it")
    picks = _chosen(by, pool, recipe, known, likely, classes)
    if (got := len(picks)) < recipe.count:
        there = f"there are {samples.count:,} {data.kind.THINGS}, {len(known):,} labelled"
        say(f"note: {got:,} are chosen and not {recipe.count:,}: {there}, and all others look just like these")
    return Selection(data, picks, by, len(known), samples.count - ready - int((known < samples.count).sum()))


def _comparable(recipe: Select, samples: Samples, others: Samples) -> list[Samples]:
    """The samples and the labelled ones, held alike, or copies would look unlike each other."""
    if samples.batch(np.arange(1))[0].shape == others.batch(np.arange(1))[0].shape:
        return [samples, others]
    named = ((recipe.data, recipe.column), (str(recipe.labelled), None))
    with quietly():  # all that is to be told of them has been
        return [opened(samples.preparation, recipe.run, data, column=column, native=False) for data, column in named]


def _chosen(
    by: Strategy, pool: Pool, recipe: Select, known: Rows, likely: NDArray[Any] | None, classes: int
) -> list[Pick]:
    with Progress("choosing", recipe.count, "samples") as bar:
        wanted = Wanted(
            count=recipe.count,
            labelled=known,
            classes=recipe.classes or classes,
            seed=recipe.seed,
            probabilities=likely,
            progress=lambda done, total: bar.update(0, f"{100 * done // max(1, total)} % compared"),
        )
        picks = []
        for pick in islice(by.choose(pool, wanted), recipe.count):
            picks.append(pick)
            bar.update(len(picks))
    return picks


def _listed(file: Path, data: Featured) -> tuple[Rows, int]:
    """The rows that a CSV knows the label of, and of how many classes these are."""
    labels = data.samples.told_labels() or []
    rows = np.flatnonzero([bool(label) for label in labels])
    if not len(rows):
        say(f"note: {printable(file)} has a label for none of the {data.kind.THINGS} yet")
        return rows, CLASSES
    return rows, max(2, len({*labels} - {""}))


def _probabilities(recipe: Select, samples: Samples, count: int) -> NDArray[Any]:
    """Of each class by the classifier (N, classes), and of the rows behind those of DATA what is even."""
    with quietly():
        said = predict(str(recipe.classifier), recipe.data, column=recipe.column)
    if said.meaning.task != "classes":
        held = "numbers" if said.meaning.task == "number" else "several labels a sample"
        raise UsageError(
            f"--by {recipe.by} needs a classifier of classes, and {printable(recipe.classifier)} says {held}"
        )
    likely: Mapping[str, Any] = dict(zip(said.keys, said.probabilities))
    even = np.full(len(said.classes), 1 / len(said.classes))
    return np.stack([*(likely.get(key, even) for key in samples.keys), *[even] * (count - samples.count)])
