"""Judging a run: labels meet the frozen features for the first time, beside honest baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder
from selftaught.judging import probe as probes
from selftaught.judging.accuracy import Answers, detail, gain_over, row, votes
from selftaught.judging.baselines import Pixels, standardised
from selftaught.judging.beside import Beside, beside
from selftaught.judging.finetune import Tuning
from selftaught.judging.labelled import Labelled, open_labelled, parse_labels, splits
from selftaught.judging.probe import Exam, Probe
from selftaught.judging.result import Evaluation, Row, verdicts
from selftaught.run.digests import among, read_digests
from selftaught.run.evaluations import kept
from selftaught.run.export import load_encoder
from selftaught.run.recipes import Evaluate
from selftaught.system.allocator import keep_freed_memory
from selftaught.system.errors import UsageError
from selftaught.system.interruption import poll, stopping
from selftaught.system.progress import Progress
from selftaught.system.saying import say
from selftaught.system.text import printable, spelled
from selftaught.training.looking.features import Array, features

Sources = dict[str, Any]  # by kind (trained, untrained ...) what a probe takes: an encoder, or features (N, D)


def evaluate(recipe: Evaluate, module: nn.Module | None = None, baselines: Sequence[Row] = ()) -> Evaluation:
    """Carry out a recipe, write RUN/evaluation.json, or the file --out, and return what is in it.

    Where it cannot be written the result says why in `unkept`.

    `baselines` are rows of an earlier evaluation by the same recipe, of a run whose encoder was built alike from the
    same seed: all but those of this run's own features are taken from there.
    """
    asked = {name: probes.named(name) for name in map(str.strip, recipe.probe.split(","))}
    counts, tuning = parse_labels(recipe.labels), Tuning.parse(recipe.finetune)
    if recipe.out and not recipe.out.lower().endswith(".json"):
        raise UsageError(f"--out {printable(recipe.out)} must end in .json")
    encoder = load_encoder(recipe.run, module=module)
    keep_freed_memory()
    with stopping():
        data = open_labelled(recipe, encoder.preparation)
        others = Beside({}, {}) if baselines else beside(recipe, encoder, data, module)
        sources = _sources(
            {"trained": encoder} | others.encoders,
            data,
            others.shown,
            recipe.seed,
            {probe.takes for probe in asked.values()},
        )
        result = _unjudged(recipe, data, others, modality.named(encoder.preparation.modality).THINGS)
        for count in counts:
            drawn = list(splits(data, count, recipe.repeats, recipe.seed))
            for name, probe in asked.items():
                # With all labels there is nothing left to draw: most probes would say the same again.
                once = data.test is not None and count.everything and not probe.by_chance
                exams = [Exam(data=data, split=split, seed=recipe.seed, tuning=tuning) for split in drawn]
                exams = exams[:1] if once else exams
                answers = _answers(probe, sources[probe.takes], exams, others.shown)
                _add(result, data, name, str(count), answers, _contents(exams))
                known = (r for r in baselines if (r.probe, r.labels) == (name, str(count)))
                result.rows += [r for r in known if r.features != "trained"]
    result.verdicts = verdicts(result.rows, result.things, result.gains)
    first = max(asked, key=lambda name: asked[name].priority)
    # With several numbers of labels the first that was named has the word.
    result.verdict = next(line for line in result.verdicts if line.startswith(f"{first}, "))
    result.unkept = kept(Path(recipe.run), result.model_dump(mode="json"), recipe.out)
    return result


def _sources(
    encoders: dict[str, Encoder], data: Labelled, shown: Mapping[str, Labelled], seed: int, wanted: set[str]
) -> dict[str, Sources]:
    """What probes that take these things are shown; whatever is fitted is fitted on the training samples alone."""
    sources: dict[str, Sources] = {"encoder": encoders}
    if wanted == {"encoder"}:  # nobody asks for features, which take long of many samples
        return sources
    raw = {kind: _features(kind, encoder, shown.get(kind, data)) for kind, encoder in encoders.items()}
    scaled = {kind: standardised(own, data.train.count) for kind, own in raw.items() if "standardised" in wanted}
    if "untrained" in encoders:
        pixels = Pixels(data.train, seed)
        # Scaled alike for every probe: their components keep variances of their own, see `Pixels`.
        raw["pixels"] = scaled["pixels"] = np.concatenate([pixels(samples) for samples in data.sources])
    return sources | {"features": raw, "standardised": scaled}


def _features(kind: str, encoder: Encoder, data: Labelled) -> Array:
    """What an encoder makes of all samples (N, D)."""
    made: list[Array] = []
    with Progress(f"{kind} features", len(data.classes), "samples") as bar:
        for samples in data.sources:
            made.append(features(encoder, samples, lambda done, total: bar.update(sum(map(len, made)) + done)))
    return np.concatenate(made)


def _answers(
    probe: Probe, sources: Sources, exams: Sequence[Exam], shown: Mapping[str, Labelled]
) -> dict[str, Answers]:
    """What a probe says of the tested samples and what is so, for each kind of what it takes."""
    probe.announce([exam.split for exam in exams], exams[0].tuning)
    answers: dict[str, dict[int, list[tuple[Array, Array]]]] = {}
    unit = "networks" if probe.takes == "encoder" else "fits"
    with Progress(probe.work, len(sources) * len(exams), unit) as bar:
        for kind, source in sources.items():
            rounds = answers[probe.untrained if kind == "untrained" else kind] = {}
            for exam in exams:
                poll()
                said = probe.predict(source, replace(exam, kind=kind, data=shown.get(kind, exam.data)))
                rounds.setdefault(exam.split.repeat, []).append((said, exam.data.classes[exam.split.test]))
                bar.update(bar.done + 1)
    return {kind: list(rounds.values()) for kind, rounds in answers.items()}


def _contents(exams: Sequence[Exam]) -> list[list[Array]]:
    """Of each repeat, of each of its folds: the content of what is asked (N,)."""
    rounds: dict[int, list[Array]] = {}
    for exam in exams:
        rounds.setdefault(exam.split.repeat, []).append(exam.data.content[exam.split.test])
    return list(rounds.values())


def _in_pretraining(recipe: Evaluate, data: Labelled, things: str) -> int | None:
    """How many test samples the run has seen, without their labels; None where that is not known."""
    seen = read_digests(Path(recipe.run))
    if data.test is None or seen is None:
        return None
    with Progress("hashing", data.test.count, things) as bar:
        held = data.test.digests(bar.polled(poll))
    if held is None:
        return None
    if count := int(among(held, seen).sum()):
        say(f"note: {count:,} of the {data.test.count:,} {things} of --test were in pre-training, without their labels")
    return count


def _unjudged(recipe: Evaluate, data: Labelled, others: Beside, things: str) -> Evaluation:
    """What is known of a judgement before it is made."""
    return Evaluation(
        **recipe.model_dump(include={"train", "test", "seed", "finetune"}),
        run=str(Path(recipe.run)),
        **others.facts(),
        things=things,
        classes=[spelled(name) for name in data.names],
        train_samples=data.train.count,
        test_samples=data.test.count if data.test else 0,
        distinct_test_samples=data.tested,
        copies=data.copies,
        near_copies=data.near_copies,
        test_in_pretraining=_in_pretraining(recipe, data, things),
        rows=[],
        verdict="",
        verdicts=[],
    )


def _add(
    result: Evaluation,
    data: Labelled,
    probe: str,
    labels: str,
    answers: dict[str, Answers],
    contents: Sequence[Sequence[Array]],
) -> None:
    """Count how many of the answers for each kind are right, and how many more of the trained one's."""
    folded = data.test is None
    right = {
        kind: [
            [votes(said == truth, content) for (said, truth), content in zip(folds, asked, strict=True)]
            for folds, asked in zip(own, contents, strict=True)
        ]
        for kind, own in answers.items()
    }
    for kind, own in answers.items():
        result.rows.append(row(kind, probe, labels, right[kind], data.tested, folded))
        if kind != "trained":
            result.gains.append(gain_over(right["trained"], right[kind], probe, labels, kind, folded))
        result.details.append(detail(kind, probe, labels, own, len(data.names)))
