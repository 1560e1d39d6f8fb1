"""Judging a run: labels meet the frozen features for the first time, beside honest baselines."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from .. import modality
from ..allocator import keep_freed_memory
from ..encoder import Encoder
from ..errors import DataError, UsageError
from ..export import load_encoder
from ..files import write_json
from ..modality import Preparation, Samples
from ..parts import Part, hint
from ..progress import Progress, plain
from ..recipes import Evaluate
from ..training.interruption import Stop, stopping
from .evaluation import Evaluation, Row, row, verdicts
from .features import Pixels, features, standardised, untrained
from .finetune import finetune, predict
from .knn import knn_predict
from .linear import linear_predict
from .splits import LabelCount, folds, label_subset, parse_labels

PROBES = ("knn", "linear", "finetune")
PRIMARY = ("linear", "finetune", "knn")  # whose verdict is the verdict

Rows = NDArray[np.int64]
Known = dict[str, NDArray[Any]]  # features of all samples, as each probe takes them


@dataclass
class Labelled:
    """Labelled samples: those to learn from, those of a test set if there is one, and all their classes."""

    train: Samples
    test: Samples | None
    classes: NDArray[np.int64]  # of the training samples followed by the test samples
    names: list[str]

    @property
    def sources(self) -> list[Samples]:
        """Training samples, then test samples."""
        return [self.train, self.test] if self.test else [self.train]

    @property
    def tested(self) -> int:
        """How many samples an accuracy is measured on."""
        return self.test.count if self.test else self.train.count

    def subset(self, rows: Rows) -> Samples:
        """Samples by row; all of one source."""
        if self.test and rows[0] >= self.train.count:
            return self.test.subset(rows - self.train.count)
        return self.train.subset(rows)


@dataclass
class Split:
    """Which samples a probe may learn from and which it is judged on."""

    repeat: int
    train: Rows
    test: Rows


def evaluate(recipe: Evaluate, module: nn.Module | None = None, baselines: Sequence[Row] = ()) -> Evaluation:
    """Carry out a recipe, write RUN/evaluation.json and return what is in it.

    `baselines` are rows of an earlier evaluation by the same recipe, of a run whose encoder was built alike from the
    same seed: all but those of this run's own features are taken from there.
    """
    folder = Path(recipe.run)
    probes = [_known_probe(name.strip()) for name in recipe.probe.split(",")]
    counts = parse_labels(recipe.labels)
    encoder = load_encoder(folder, module=module)
    keep_freed_memory()
    preparation, part = encoder.preparation, encoder.part
    assert isinstance(part, Part)
    with stopping() as stop:
        data = open_labelled(recipe, preparation, stop)
        known = {"trained": encoder}
        if not baselines:
            known["untrained"] = untrained(part, preparation, recipe.seed, data.train, module)
        found = _features(known, data, recipe.seed, stop) if {"knn", "linear"} & set(probes) else {}
        rows = []
        for count in counts:
            splits = list(_splits(recipe, data, count))
            for probe in probes:
                if probe == "finetune":
                    judged = _judge_finetune(known, data, splits, recipe.seed, stop)
                else:
                    judged = _judge_features(probe, found, data, splits, stop)
                rows += [row(kind, probe, str(count), right, data.tested) for kind, right in judged.items()]
                rows += [r for r in baselines if (r.probe, r.labels) == (probe, str(count)) and r.features != "trained"]
    things = modality.named(preparation.modality).THINGS
    lines = verdicts(rows, things)
    primary = next(probe for probe in PRIMARY if probe in probes)
    evaluation = Evaluation(
        run=str(folder),
        train=recipe.train,
        test=recipe.test,
        things=things,
        classes=data.names,
        train_samples=data.train.count,
        test_samples=data.test.count if data.test else 0,
        seed=recipe.seed,
        rows=rows,
        verdict=next(line for line in lines if line.startswith(primary)),  # the first number of labels named
        verdicts=lines,
    )
    write_json(folder / "evaluation.json", evaluation.model_dump(mode="json"))
    return evaluation


def _known_probe(name: str) -> str:
    if name not in PROBES:
        raise UsageError(f"no probe named {name!r}; {hint(name, PROBES)}")
    return name


def open_labelled(recipe: Evaluate, preparation: Preparation, stop: Stop) -> Labelled:
    """The labelled samples of --train and --test."""

    kind = modality.named(preparation.modality)

    def opened(data: str, labels: Path | None) -> Samples:
        if modality.of(data) is not kind:
            held = modality.of(data).THINGS
            raise UsageError(f"the encoder of {plain(recipe.run)} takes {kind.THINGS}, and {plain(data)} holds {held}")
        with Progress("reading", 0, kind.THINGS) as bar:

            def decoding(done: int, total: int) -> None:
                stop.poll()
                bar.update(done, total=total)

            return kind.open_samples(
                data,
                like=preparation,
                labels=labels,
                labelled=True,
                limit=recipe.limit,
                seed=recipe.seed,
                progress=decoding,
            )

    train = opened(recipe.train, recipe.train_labels)
    test = opened(recipe.test, recipe.test_labels) if recipe.test else None
    names = sorted(set(train.labels or []))
    if len(names) < 2:
        raise DataError(f"{train.name} has only one class, {plain(names[0])!r}: there is nothing to tell apart")
    told = [*(train.labels or []), *((test.labels or []) if test else [])]
    if unseen := sorted(set(told) - set(names)):
        raise DataError(f"--test has classes that --train has not: {', '.join(map(plain, unseen[:5]))}")
    number = {name: i for i, name in enumerate(names)}
    return Labelled(train, test, np.array([number[name] for name in told]), names)


def _features(encoders: dict[str, Encoder], data: Labelled, seed: int, stop: Stop) -> dict[str, Known]:
    """Features of all samples, by kind; whatever is fitted is fitted on the training images."""
    found: dict[str, Known] = {}
    total = sum(samples.count for samples in data.sources)
    for kind, encoder in encoders.items():
        with Progress(f"{kind} features", total, "samples") as bar:
            made = []
            for samples in data.sources:
                before = bar.done

                def seen(done: int, count: int, before: int = before, bar: Progress = bar) -> None:
                    stop.poll()
                    bar.update(before + done)

                made.append(features(encoder, samples, seen))
            joined = np.concatenate(made)
            found[kind] = {"knn": joined, "linear": standardised(joined, data.train.count)}
    if "untrained" not in encoders:
        return found
    pixels = Pixels(data.train, seed)
    joined = np.concatenate([pixels(samples) for samples in data.sources])
    return {**found, "pixels": {"knn": joined, "linear": joined}}


def _splits(recipe: Evaluate, data: Labelled, count: LabelCount) -> Iterator[Split]:
    """Every split that a number of labels is judged on; all kinds of features see the same."""
    if data.test:
        known = data.classes[: data.train.count]
        # With all labels there is nothing left to draw, and a second time would give the same.
        for repeat in range(1 if count.everything else recipe.repeats):
            chosen = label_subset(known, count, recipe.seed + repeat)
            yield Split(repeat, chosen, np.arange(data.train.count, len(data.classes)))
        return
    for number, (repeat, train, test) in enumerate(folds(data.classes, recipe.repeats, recipe.seed)):
        yield Split(repeat, train[label_subset(data.classes[train], count, recipe.seed + number)], test)


def _judge_features(
    probe: str, found: dict[str, Known], data: Labelled, splits: list[Split], stop: Stop
) -> dict[str, list[float]]:
    """Accuracies of a probe on each kind of features, one a repeat."""
    judged = {}
    with Progress(f"{probe} probe", len(found) * len(splits), "fits") as bar:
        for kind, known in found.items():

            def said(split: Split, known: NDArray[Any] = known[probe]) -> NDArray[Any]:
                stop.poll()
                bar.update(bar.done + 1)
                train, labels = known[split.train], data.classes[split.train]
                if probe == "knn":
                    return knn_predict(train, labels, known[split.test], len(data.names))
                return linear_predict(train, labels, known[split.test], split.repeat)[0]

            judged[kind] = _accuracies(said, data, splits)
    return judged


def _judge_finetune(
    encoders: dict[str, Encoder], data: Labelled, splits: list[Split], seed: int, stop: Stop
) -> dict[str, list[float]]:
    """Accuracies after fine-tuning the trained encoder and, the same way, one from scratch."""
    judged = {}
    with Progress("fine-tuning", len(encoders) * len(splits), "networks") as bar:
        for start, encoder in encoders.items():

            def said(split: Split, encoder: Encoder = encoder) -> NDArray[Any]:
                model = finetune(
                    encoder,
                    data.train,
                    split.train,
                    data.classes,
                    len(data.names),
                    seed + split.repeat,
                    stop,
                )
                bar.update(bar.done + 1)
                return predict(model, data.subset(split.test))

            judged["scratch" if start == "untrained" else start] = _accuracies(said, data, splits)
    return judged


def _accuracies(said: Callable[[Split], NDArray[Any]], data: Labelled, splits: list[Split]) -> list[float]:
    """The share of right answers in each repeat, over all its folds."""
    right: dict[int, list[Any]] = {}
    for split in splits:
        right.setdefault(split.repeat, []).append(said(split) == data.classes[split.test])
    return [float(np.concatenate(answers).mean()) for answers in right.values()]
