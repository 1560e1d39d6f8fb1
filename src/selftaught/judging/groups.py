"""Groups: samples of one patient, place or recording, which tell of each other and so are no independent evidence."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_array, coo_array
from scipy.sparse.csgraph import connected_components

from selftaught.contracts.samples import Samples
from selftaught.data.sources.labels import NO_LABEL, labels_in_file
from selftaught.data.sources.parts import whole_of
from selftaught.run.recipes import Evaluate, Finetune
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import printable

COLUMN = "group"  # that a CSV of more columns has them in


def groups_named(recipe: Evaluate | Finetune, sources: Sequence[Samples]) -> NDArray[np.int64] | None:
    """The group of each sample by number (N,), over all sources: as the user says, else as the sources do, if any does.

    Raises DataError where a sample has no group, and UsageError where it cannot be known whose group is meant.
    """
    if not recipe.groups:
        if recipe.test_groups:
            raise UsageError("--test-groups needs --groups, those of the data to learn from")
        return groups_of(sources)
    if recipe.test_groups and not recipe.test:
        raise UsageError("--test-groups needs --test")
    if len(sources) > 1 and not recipe.test_groups and recipe.groups.exists():
        _refuse_twice(recipe.groups, *sources)
    first = "--groups", recipe.groups
    asked = first, ("--test-groups", recipe.test_groups) if recipe.test_groups else first
    named = [group for samples, one in zip(sources, asked) for group in _groups(samples, *one)]
    return np.unique(np.array(named, dtype=object).astype(str), return_inverse=True)[1].astype(np.int64)


def together(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each sample (N,), the same for what has the same in `one` or in `other`.

    What is the same as what is the same is the same: of two groups with a copy in both one is made.
    """
    size = 1 + max(int(one.max()), int(other.max()))
    joined = coo_array((np.ones(len(one)), (one, other)), shape=(size, size))
    # Rows of the table are numbers in `one`, columns those in `other`; those in one piece of it belong together.
    both = block_array([[None, joined], [joined.T, None]])
    return np.asarray(connected_components(both, directed=False)[1][one], dtype=np.int64)


def groups_of(sources: Sequence[Samples]) -> NDArray[np.int64] | None:
    """The groups that sources know of themselves; None where none does. What each calls so is another thing."""
    if all(samples.groups is None for samples in sources):
        return None
    named = [f"{number}/{key}" for number, own in enumerate(sources) for key in own.groups or own.keys]
    return np.unique(np.array(named, dtype=object).astype(str), return_inverse=True)[1].astype(np.int64)


def _refuse_twice(file: Path, train: Samples, test: Samples) -> None:
    if both := set(train.keys) & set(test.keys):
        path = printable(min(both))
        shown = printable(str(file))
        raise UsageError(
            f"{shown}: {path} is in both sets; name the groups of --test in a file of their own: --test-groups"
        )


def _groups(samples: Samples, flag: str, file: Path) -> list[str]:
    """The group of each sample, as a CSV of path,group has it; of a page or window, else that of its whole.

    Of a name that is no file's, as a column beside the samples has it.
    """
    known = labels_in_file(file, COLUMN) if file.exists() else _in_column(samples, flag, str(file))
    shown = printable(str(file))
    named = {key: known.get(key) or known.get(whole_of(key)) or "" for key in samples.keys}
    if missing := [key for key, group in named.items() if not group]:
        raise DataError(
            f"{shown} has no group for {len(missing):,} of the {samples.count:,} samples of {printable(samples.name)}, "
            f"such as {printable(missing[0])}; one that stands alone is a group of its own"
        )
    return [named[key] for key in samples.keys]


def _in_column(samples: Samples, flag: str, name: str) -> dict[str, str]:
    """The cells of a column by key. Raises DataError where there is none of the name, which then was to be a file's."""
    try:
        samples.refuse_columns([name], labels=NO_LABEL)
    except UsageError:
        told = f"{flag} {printable(name)}: no such file, a CSV of path,group"
        raise DataError(f"{told}, and no column of {printable(samples.name)} either") from None
    (column,) = samples.metadata([name], labels=NO_LABEL)
    return dict(zip(samples.keys, column.cells))
