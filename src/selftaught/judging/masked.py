"""Samples with masks, opened as an encoder takes them, to be judged pixel by pixel."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from selftaught.contracts import modality
from selftaught.contracts.samples import Preparation, Samples
from selftaught.judging.coarse import finest
from selftaught.judging.idle import given
from selftaught.judging.labelled import Labelled
from selftaught.judging.masks import masks_of
from selftaught.judging.opening import joined, named_in, opened
from selftaught.judging.probe import Probe
from selftaught.judging.subsets import LabelCount
from selftaught.run.recipes import Evaluate
from selftaught.system.errors import DataError, UsageError
from selftaught.system.interruption import poll
from selftaught.system.progress import Progress
from selftaught.system.quarantine import warn_of
from selftaught.system.saying import say
from selftaught.system.text import printable

BYTES = 2  # of a pixel


def is_dense(recipe: Evaluate, asked: Mapping[str, Probe], counts: Sequence[LabelCount]) -> bool:
    """Whether masks are what is asked about. Raises UsageError where that does not go with the rest."""
    dense = [name for name, probe in asked.items() if probe.takes == "map"]
    if not dense:
        if recipe.masks or recipe.test_masks:
            raise UsageError("--masks and --test-masks are what --probe segment reads, which was not asked for")
        return False
    if others := [name for name in asked if name not in dense]:
        raise UsageError(f"--probe {dense[0]} learns from masks, and {others[0]} from labels: ask for each by itself")
    if odd := next((count.text for count in counts if count.per_class), None):
        raise UsageError(f"--labels {odd} is per class, and a mask has pixels of many: name a share of images, as 10%")
    for flag in given(recipe, ("train_labels", "test_labels", "label_column", "task")):
        raise UsageError(f"{flag} is about labels of images, and --probe {dense[0]} learns from --masks")
    return True


def open_masked(recipe: Evaluate, preparation: Preparation) -> Labelled:
    """The samples that a recipe names, and the class of each of their pixels, at the size of a plain view.

    Raises UsageError for samples that have no masks, and DataError where masks cannot be learnt from.
    """
    kind = modality.named(preparation.modality)
    if kind.MASKS is None:
        raise UsageError(f"--probe segment is about places in an image, and {kind.THINGS} have none")
    sources, numbers, folders = opened(recipe, preparation, labelled=False), [], []
    out = _held_at(preparation, sum(samples.count for samples in sources))
    for place, ((data, _), own) in enumerate(zip(named_in(recipe), (recipe.masks, recipe.test_masks))):
        folders.append(str(own) if own else kind.MASKS.beside(data))
        sources[place], read = _read(recipe, preparation, sources[place], data, folders[-1], out)
        numbers.append(read)
    masks = masks_of(numbers, folders, kind.MASKS.VOID, _side(preparation))
    one = np.zeros(sum(samples.count for samples in sources), dtype=np.int64)
    held = joined(recipe, preparation, sources, classes=one, names=["all images"], masks=masks)
    if not recipe.test and held.tested < 2:
        raise DataError(f"{printable(recipe.train)} has {held.tested} image of its own: folds need two, or name --test")
    return held


def _held_at(preparation: Preparation, count: int) -> tuple[int, int]:
    """The places of a mask (H, W): those of a plain view, or every other one and so on where they are too many."""
    height, width = _side(preparation)
    step = finest(range(1, min(height, width) + 1), lambda step: count * (height // step) * (width // step) * BYTES)
    if step > 1:
        say(f"note: the masks of {count:,} samples are held at every {step}. pixel of a view, to fit in memory")
    return height // step, width // step


def _read(
    recipe: Evaluate, preparation: Preparation, samples: Samples, data: str, folder: str, out: tuple[int, int]
) -> tuple[Samples, Any]:
    """The samples whose masks can be used, and the class numbers of these."""
    masks = modality.named(preparation.modality).MASKS
    assert masks
    say(f"masks of {printable(data)}: {printable(folder)}")
    with Progress("reading masks", samples.count, "masks") as bar:
        numbers, rows, failed = masks.read_masks(
            data, folder, samples.keys, _side(preparation), out, recipe.tolerance, bar.polled(poll)
        )
    warn_of(failed, data)
    return samples.subset(rows), numbers


def _side(preparation: Preparation) -> tuple[int, int]:
    height, width = preparation.size
    return height, width
