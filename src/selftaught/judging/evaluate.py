"""Judging a run: labels meet the frozen features for the first time, beside honest baselines."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder
from selftaught.judging.accuracy import Answers, Right, Row, detail, gain_over, row
from selftaught.judging.baselines import Pixels, standardised, untrained
from selftaught.judging.finetune import Tuning, finetune, scores_of
from selftaught.judging.labelled import Labelled, open_labelled, spare, without_losing
from selftaught.judging.pretrained import load_pretrained
from selftaught.judging.probes.knn import knn_predict
from selftaught.judging.probes.linear import linear_predict
from selftaught.judging.result import Evaluation, primary, verdicts
from selftaught.judging.splits import LabelCount, Rows, folds, label_subset, parse_labels
from selftaught.run.export import load_encoder
from selftaught.run.recipes import Evaluate
from selftaught.system.allocator import keep_freed_memory
from selftaught.system.components import Part, hint
from selftaught.system.errors import UsageError
from selftaught.system.files import write_json
from selftaught.system.interruption import Stop, stopping
from selftaught.system.progress import Progress
from selftaught.system.saying import say
from selftaught.training.looking.features import features

PROBES = ("knn", "linear", "finetune")

Known = dict[str, NDArray[Any]]  # features of all samples, as each probe takes them


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
    counts, tuning = parse_labels(recipe.labels), Tuning.parse(recipe.finetune)
    encoder = load_encoder(folder, module=module)
    keep_freed_memory()
    preparation, part = encoder.preparation, encoder.part
    assert isinstance(part, Part)
    with stopping() as stop:
        train, test = (recipe.train, recipe.train_labels), (recipe.test, recipe.test_labels)
        data = open_labelled(recipe.run, preparation, train, test, recipe.limit, recipe.seed, stop, recipe.tolerance)
        known = {"trained": encoder}
        if not baselines:
            known["untrained"] = untrained(part, preparation, recipe.seed, data.train, module)
            if recipe.pretrained:
                known["pretrained"] = _pretrained(recipe.pretrained, encoder)
        found = _features(known, data, recipe.seed, stop) if {"knn", "linear"} & set(probes) else {}
        rows, details, gains = [], [], []
        for count in counts:
            for probe in probes:
                splits = list(_splits(recipe, data, count, probe))
                if probe == "finetune":
                    judged = _judge_finetune(known, data, splits, recipe.seed, stop, tuning)
                else:
                    judged = _judge_features(probe, found, data, splits, stop)
                folded, rights = data.test is None, {kind: _right(answers) for kind, answers in judged.items()}
                for kind, answers in judged.items():
                    right = rights[kind]
                    rows.append(row(kind, probe, str(count), right, data.tested, folded))
                    if kind != "trained":
                        gains.append(gain_over(rights["trained"], right, probe, str(count), kind, folded))
                    details.append(detail(kind, probe, str(count), answers, len(data.names)))
                rows += [r for r in baselines if (r.probe, r.labels) == (probe, str(count)) and r.features != "trained"]
    things = modality.named(preparation.modality).THINGS
    lines = verdicts(rows, things, gains)
    evaluation = Evaluation(
        run=str(folder),
        train=recipe.train,
        test=recipe.test,
        things=things,
        classes=data.names,
        train_samples=data.train.count,
        test_samples=data.test.count if data.test else 0,
        seed=recipe.seed,
        copies=data.copies,
        pretrained=recipe.pretrained,
        finetune=recipe.finetune,
        rows=rows,
        gains=gains,
        details=details,
        verdict=next(line for line in lines if line.startswith(primary(rows))),  # the first number of labels named
        verdicts=lines,
    )
    write_json(folder / "evaluation.json", evaluation.model_dump(mode="json"))
    return evaluation


def _known_probe(name: str) -> str:
    if name not in PROBES:
        raise UsageError(f"no probe named {name!r}; {hint(name, PROBES)}")
    return name


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


def _splits(recipe: Evaluate, data: Labelled, count: LabelCount, probe: str) -> Iterator[Split]:
    """Every split that a number of labels is judged on; all kinds of features see the same."""

    def drawn(known: Rows, seed: int) -> Rows:
        return known[label_subset(data.classes[known], data.names, count, recipe.seed + seed)]

    if data.test:
        known, tested = data.told_apart, np.arange(data.train.count, len(data.classes))
        # With all labels there is nothing left to draw: a probe would say the same again, a network would not.
        for repeat in range(1 if count.everything and probe != "finetune" else recipe.repeats):
            yield Split(repeat, drawn(known, repeat), tested)
        return
    everyone = np.arange(data.train.count)
    rounds = folds(data.classes, data.content, data.names, recipe.repeats, recipe.seed)
    for number, (repeat, train, test) in enumerate(rounds):
        yield Split(repeat, drawn(without_losing(data, everyone, data.apart(train, test)), number), test)


def _judge_features(
    probe: str, found: dict[str, Known], data: Labelled, splits: list[Split], stop: Stop
) -> dict[str, Answers]:
    """What a probe says on each kind of features."""
    judged = {}
    with Progress(f"{probe} probe", len(found) * len(splits), "fits") as bar:
        for kind, known in found.items():

            def said(split: Split, known: NDArray[Any] = known[probe]) -> NDArray[Any]:
                stop.poll()
                bar.update(bar.done + 1)
                train, labels = known[split.train], data.classes[split.train]
                if probe == "knn":
                    return knn_predict(train, labels, known[split.test], len(data.names))
                return linear_predict(train, labels, known[split.test], split.repeat, data.content[split.train])[0]

            judged[kind] = _answers(said, data, splits)
    return judged


def _judge_finetune(
    encoders: dict[str, Encoder], data: Labelled, splits: list[Split], seed: int, stop: Stop, tuning: Tuning
) -> dict[str, Answers]:
    """What fine-tuned networks say: the trained encoder's and, as the same labels teach it, one from scratch."""
    judged = {}
    tuning.tell_few(max(len(split.train) for split in splits))
    with Progress("fine-tuning", len(encoders) * len(splits), "networks") as bar:
        for start, encoder in encoders.items():
            # What has learnt nothing yet has no layers to spare, and a head on it nothing to begin with.
            how = replace(tuning, layer_decay=1.0, frozen=0.0) if start == "untrained" else tuning

            def said(split: Split, encoder: Encoder = encoder, how: Tuning = how) -> NDArray[Any]:
                rows, held = spare(data, split.train, how.spared(len(split.train)), seed + split.repeat)
                model = finetune(
                    encoder,
                    data.train,
                    rows,
                    held,
                    data.classes,
                    len(data.names),
                    seed + split.repeat,
                    stop,
                    how,
                )
                bar.update(bar.done + 1)
                return scores_of(model, data.subset(split.test)).argmax(dim=1).numpy()

            judged["scratch" if start == "untrained" else start] = _answers(said, data, splits)
    return judged


def _answers(said: Callable[[Split], NDArray[Any]], data: Labelled, splits: list[Split]) -> Answers:
    """What was said and what is so, in each fold of each repeat."""
    found: dict[int, list[tuple[NDArray[Any], NDArray[Any]]]] = {}
    for split in splits:
        found.setdefault(split.repeat, []).append((said(split), data.classes[split.test]))
    return list(found.values())


def _right(answers: Answers) -> Right:
    """Which answers are right."""
    return [[said == truth for said, truth in folds] for folds in answers]


def _pretrained(source: str, encoder: Encoder) -> Encoder:
    """The encoder that the user names to stand beside."""
    kind = modality.named(encoder.preparation.modality)
    if kind.THINGS != "images":
        raise UsageError(f"--pretrained is for images: no pre-trained encoders of {kind.THINGS} are known")
    found, told = load_pretrained(source, encoder.part, encoder.preparation)
    say(f"pre-trained: {told}")
    return found
