"""Judging a run: labels meet the frozen features for the first time, beside honest baselines."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from torch import nn

from selftaught.contracts import modality
from selftaught.contracts.samples import Preparation
from selftaught.judging import dense
from selftaught.judging import probe as probes
from selftaught.judging.accuracy import Answers, measured, voters
from selftaught.judging.beside import Beside, beside
from selftaught.judging.finetune import Tuning
from selftaught.judging.idle import refuse_alone, refuse_unread
from selftaught.judging.labelled import Labelled, splits
from selftaught.judging.masked import is_dense, open_masked
from selftaught.judging.measures import (
    details_of,
    measure_of,
    other_than_accuracy,
    refuse_others,
    refuse_unmeasured,
    shares,
    values,
)
from selftaught.judging.memo import Memo
from selftaught.judging.opening import open_labelled
from selftaught.judging.probe import Exam, Probe
from selftaught.judging.result import Chosen, Evaluation, Row, doubts, verdicts
from selftaught.judging.shown import parse_features
from selftaught.judging.sources import Sources, by_part, sources
from selftaught.judging.subsets import parse_labels
from selftaught.judging.told import leaks_of
from selftaught.run.digests import WATCHED, among, read_digests
from selftaught.run.evaluations import is_evaluation, kept
from selftaught.run.export import load_encoder, warn_of_cut
from selftaught.run.layout import NEWEST
from selftaught.run.recipes import Evaluate
from selftaught.run.records import Facts
from selftaught.system.allocator import keep_freed_memory
from selftaught.system.devices import several
from selftaught.system.interruption import poll, stopping
from selftaught.system.outputs import refuse_taken
from selftaught.system.progress import Progress
from selftaught.system.reading import json_object
from selftaught.system.saying import say
from selftaught.system.text import spelled
from selftaught.training.looking.features import Array, over

NEARLY = 0.99  # of a network that has learnt, and has not been asked yet
OF_TEST = ("test", "test_labels", "test_groups", "test_masks")


def evaluate(
    recipe: Evaluate,
    module: nn.Module | None = None,
    baselines: Sequence[Row] = (),
    measure: str | None = None,
    beyond_test: bool = False,
) -> Evaluation:
    """Carry out a recipe, write RUN/evaluation.json, or the file --out, and return what is in it.

    Where it cannot be written the result says why in `unkept`.

    `baselines` are rows of an earlier evaluation by the same recipe, of a run whose encoder was built alike from the
    same seed: all but those of this run's own features are taken from there. `measure`: what stands first, where it is
    not to be told by the labels. `beyond_test`: whether to judge on folds of what --test has nothing of, for what is
    to be chosen before that is judged on.
    """
    asked = {name: probes.named(name) for name in map(str.strip, recipe.probe.split(","))}
    counts, tuning = parse_labels(recipe.labels), Tuning.parse(recipe.finetune)
    named = parse_features(recipe.features)
    kinds = {"--out": {".json": is_evaluation(Evaluation.model_fields)}}
    refuse_taken({"--out": recipe.out}, recipe.overwrite, kinds, keeps=(NEWEST,))
    masked = is_dense(recipe, asked, counts)
    refuse_alone(recipe, "test", "test_labels", "test_masks")
    refuse_unread(recipe, asked)
    encoder = load_encoder(recipe.run, module=module)
    warn_of_cut(recipe.run)
    keep_freed_memory()
    memo = Memo(Path(recipe.run))
    with stopping(), over(several(recipe.devices)):
        data = open_masked(recipe, encoder.preparation) if masked else open_judged(recipe, encoder.preparation)
        if beyond_test:
            data, recipe = data.beyond_test(), recipe.model_copy(update=dict.fromkeys(OF_TEST))
        # Drawn before anything is made: labels that cannot be had are refused here, of whichever number they are.
        drawn = [(count, list(splits(data, count, recipe.repeats, recipe.seed))) for count in counts]
        measure = dense.MEASURE if masked else measure or measure_of(data)
        others = Beside({}, {}) if baselines else beside(recipe, encoder, data, module)
        takes = {probe.takes for probe in asked.values()}
        shown = {"trained": data} | others.shown
        found = sources({"trained": encoder} | others.encoders, shown, recipe.seed, takes, named)
        result = _unjudged(recipe, data, others, modality.named(encoder.preparation.modality).THINGS)
        if result.seen:
            say(f"note: {result.seen}; that is allowed, as labels had no part in it, and is named beside the result")
        if result.onlooking:
            say(f"note: {result.onlooking}; if a run or a step was chosen by what they showed, judge on others")
        for count, parts in drawn:
            for name, probe in asked.items():
                # With all labels there is nothing left to draw: most probes would say the same again.
                once = data.test is not None and count.everything and not probe.by_chance
                exams = [Exam(data=data, split=split, seed=recipe.seed, tuning=tuning) for split in parts]
                exams = exams[:1] if once else exams
                answers, chosen = _answers(probe, found[probe.takes], exams, shown, memo)
                if masked:
                    dense.add(result, name, str(count), answers, _contents(exams), chosen)
                else:
                    _add(result, data, name, str(count), answers, _contents(exams), chosen, measure)
                known = (r for r in baselines if (r.probe, r.labels) == (name, str(count)))
                result.rows += [r for r in known if r.features != "trained"]
    for line in doubts(result):
        say(f"warning: {line}")
    result.verdicts = verdicts(result.rows, result.things, result.gains, result.remark)
    first = max(asked, key=lambda name: asked[name].priority)
    # With several numbers of labels the first that was named has the word.
    result.verdict = next(line for line in result.verdicts if line.startswith(f"{first}, "))
    result.unkept = kept(Path(recipe.run), result.model_dump(mode="json"), recipe.out, recipe.overwrite)
    if result.unkept is None:
        memo.forget()
    return result


def open_judged(recipe: Evaluate, preparation: Preparation) -> Labelled:
    """The labelled samples, where the probes and numbers of labels that are asked for suit them. Raises UsageError."""
    data = open_labelled(recipe, preparation)
    named = map(str.strip, recipe.probe.split(","))
    refuse_others(
        data.task,
        {name: probes.named(name).tasks for name in named},
        [count.text for count in parse_labels(recipe.labels) if count.per_class],
    )
    refuse_unmeasured(data)
    return data


def _answers(
    probe: Probe, sources: Sources, exams: Sequence[Exam], shown: Mapping[str, Labelled], memo: Memo
) -> tuple[dict[str, Answers], dict[str, Chosen]]:
    """What a probe says of the tested samples and what is so, for each kind of what it takes; and what it chose."""
    fits = len(sources) * len(exams)
    probe.announce([exam.split for exam in exams], exams[0].tuning, fits)
    answers: dict[str, dict[int, list[tuple[Array, Array]]]] = {}
    chosen: dict[str, Chosen] = {}
    unit = "networks" if probe.takes == "encoder" else "fits"
    with Progress(probe.work, fits, unit) as bar:
        done = 0

        def report(share: float) -> None:
            bar.update(done + min(share, NEARLY))

        for kind, source in sources.items():
            called = probe.untrained if kind == "untrained" else kind
            rounds, chosen[called] = answers.setdefault(called, {}), []
            held = by_part(source)  # what was fitted goes with it
            for exam in exams:
                poll()
                own = replace(exam, kind=kind, chosen=chosen[called], data=shown.get(kind, exam.data), report=report)
                said = memo.said(probe, held(exam.data.part(exam.split.test)), own)
                rounds.setdefault(exam.split.repeat, []).append((said, exam.data.truth[exam.split.test]))
                done += 1
                bar.update(done)
    return {kind: list(rounds.values()) for kind, rounds in answers.items()}, chosen


def _contents(exams: Sequence[Exam]) -> list[list[Array]]:
    """Of each repeat, of each of its folds: the groups of what is asked (N,)."""
    rounds: dict[int, list[Array]] = {}
    for exam in exams:
        rounds.setdefault(exam.split.repeat, []).append(exam.data.group[exam.split.test])
    return list(rounds.values())


def _in_pretraining(recipe: Evaluate, data: Labelled, things: str) -> int | None:
    """How many test samples the run has seen, without their labels; None where that is not known."""
    seen = read_digests(Path(recipe.run))
    if data.test is None:
        return None
    if seen is None:
        if _looked_at_some(Path(recipe.run)):
            told = f"note: whether the run has learnt from {things} of --test is not known"
            say(f"{told}: it looked at a sample of its data before it began (--first-pass)")
        return None
    with Progress("hashing", data.test.count, things) as bar:
        held = data.test.digests(bar.polled(poll))
    if held is None:
        return None
    return int(among(held, seen).sum())


def _looked_at_some(run: Path) -> bool:
    """Whether a run began before all its samples were looked at."""
    with suppress(OSError, ValueError):
        return "looked at" in json_object(run / "data.json", Facts)
    return False


def _watched(recipe: Evaluate, data: Labelled) -> int | None:
    """How many judged samples have watched the run's pre-training; None where none has, or that is not known."""
    watchers, judged = read_digests(Path(recipe.run), WATCHED), data.test or data.train
    if watchers is None or (held := judged.digests()) is None:
        return None
    return int(among(held, watchers).sum())


def _unjudged(recipe: Evaluate, data: Labelled, others: Beside, things: str) -> Evaluation:
    """What is known of a judgement before it is made."""
    return Evaluation(
        **recipe.model_dump(include={"train", "test", "seed", "finetune", "features"}),
        run=str(Path(recipe.run)),
        **others.facts(),
        things=things,
        task=data.task,
        classes=[] if data.task == "number" else [spelled(name) for name in (data.masks or data).names],
        train_samples=data.train.count,
        test_samples=data.test.count if data.test else 0,
        distinct_test_samples=data.distinct,
        independent_test_samples=data.tested,
        copies=data.copies,
        near_copies=data.near_copies,
        test_in_pretraining=_in_pretraining(recipe, data, things),
        watched=_watched(recipe, data),
        leaks=leaks_of(recipe.run, data, recipe.label_column),
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
    chosen: dict[str, Chosen],
    measure: str,
) -> None:
    """Measure the answers for each kind, and by how much the trained one's are better."""
    right = {kind: shares(measure, own, contents) for kind, own in answers.items()}
    voting = [[voters(content) for content in asked] for asked in contents]
    folded = data.test is None
    by = other_than_accuracy(measure, answers, contents, voting if folded else None)
    rows, gains = measured(right, probe, labels, data.tested, folded, voting, by)
    for row in rows:
        row.measures = values(data.task, answers[row.features], contents)
    result.rows += rows
    result.gains += gains
    for kind, own in answers.items():
        known = details_of(data.task, kind, probe, labels, own, contents, len(data.names))
        result.details.append(known.model_copy(update={"chosen": chosen[kind]}))
