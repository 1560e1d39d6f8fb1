"""How labelled samples are opened: as an encoder takes them, with what is known of copies and groups."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from selftaught.contracts import modality
from selftaught.contracts.samples import Preparation, Samples
from selftaught.data.opening import refuse_other_kind, tell_notes
from selftaught.judging.copies import contents
from selftaught.judging.folders import is_deeper, refuse_parts
from selftaught.judging.groups import groups_named
from selftaught.judging.labelled import Labelled, evened, refuse_lost, without_losing
from selftaught.judging.masks import Masks
from selftaught.judging.targets import BETWEEN, Targets, targets_of
from selftaught.run.recipes import Evaluate, Finetune
from selftaught.run.ways import begun
from selftaught.system.errors import DataError, UsageError
from selftaught.system.interruption import poll
from selftaught.system.progress import Progress
from selftaught.system.quarantine import warn_of
from selftaught.system.saying import quietly, say
from selftaught.system.text import printable


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
    data = evened(Labelled(sources[0], test, content=content, exact=exact, named=groups, **held))
    _warn_of_copies(data, kind.THINGS, recipe)
    return data


def shown_to(preparation: Preparation, recipe: Evaluate, data: Labelled) -> Labelled:
    """The same samples, as another encoder takes them. Raises DataError where they have changed meanwhile."""
    if data.masks:
        _refuse_another_part(preparation, data.masks)
    with quietly():  # all that is to be told of them has been
        sources = opened(recipe, preparation, labelled=not data.masks)
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
    kind = modality.named(preparation.modality)
    refuse_other_kind(f"the encoder of {printable(recipe.run)}", kind, data)
    how = {
        "labelled": True,
        **how,
        **recipe.model_dump(include={"label_column", "column", "limit", "seed", "tolerance"}),
        **begun(recipe, kind),
    }
    with Progress("reading", 0, kind.THINGS) as bar:
        samples: Samples = kind.open_samples(data, like=preparation, labels=labels, progress=bar.polled(poll), **how)
    warn_of(samples.quarantined, data)
    tell_notes(samples.notes, data)
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
    return targets_of(labels, recipe.task, sources[0].name, _learnt_from(recipe), recipe.label_column)


def _learnt_from(recipe: Evaluate | Finetune) -> str:
    """What the command calls the data that is learnt from."""
    return "--train" if isinstance(recipe, Evaluate) else "LABELLED"


def _warn_of_copies(data: Labelled, things: str, recipe: Evaluate | Finetune) -> None:
    source = _learnt_from(recipe)
    if data.test is None:
        if told := _told(data, "have a copy among the others", "look like others"):
            folds = isinstance(recipe, Evaluate)
            apart = (
                "no fold learns what it is judged on"
                if folds
                else "what is held out has no copy in what is learnt from"
            )
            say(f"warning: {told.format(things)}; {apart}")
        return
    if told := _told(data, f"of {source} are in --test as well", f"of {source} look like some there"):
        say(f"warning: {told.format(things)}; they are not learnt from")
    if others := data.train.count - len(data.not_tested) - data.copies:
        say(f"warning: {others:,} {things} of {source} are of groups that --test has as well; they are not learnt from")
    without_losing(data, np.arange(data.train.count), data.not_tested)
    if data.task == "several":
        had, have = data.truth[: data.train.count].any(axis=0), data.truth[data.not_tested].any(axis=0)
        refuse_lost(data, np.flatnonzero(had & ~have))
    if not len(data.not_tested):
        raise DataError(f"all samples of {source} have copies in --test: nothing is left to learn from")
    if (different := data.distinct) < data.test.count:
        say(f"warning: --test holds {different:,} different {things} in {data.test.count:,}; copies count once")


def _told(data: Labelled, copied: str, alike: str) -> str:
    """How many samples have copies or are alike, with a place for what they are called; nothing where none has."""
    counts = [(data.copies - data.near_copies, copied), (data.near_copies, alike)]
    return " and ".join(f"{count:,} {{0}} {what}" for count, what in counts if count)
