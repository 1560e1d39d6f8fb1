"""Whether labels that judge a run have had a part in it: by the metadata that it used of samples that are judged."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selftaught.data.sources.labels import parted
from selftaught.judging.labelled import Labelled
from selftaught.run.codes import read_codes
from selftaught.run.digests import read_digests
from selftaught.run.folder import RunFolder
from selftaught.system.saying import say
from selftaught.system.text import printable

FEWEST = 10  # samples of which both are known, below which anything may be by chance
TOLD = 0.99  # of the samples: so much of a column follows from labels, or is as ordered as they are
PLAIN = 0.95  # the share of the most frequent value from which on a column says next to nothing

Codes = NDArray[np.int64]


def leaks_of(run: str, data: Labelled, label_column: str | None) -> list[str]:
    """The columns of metadata that the run has used and the labels tell, by name or by what they say; also aloud.

    Such a run has learnt from its labels, and what it is judged by says nothing of learning without any. None of what
    earlier versions wrote, or of samples that the run has not seen.
    """
    folder = Path(run)
    if (codes := read_codes(folder)) is None or data.masks:
        return []
    columns = RunFolder(folder).recipe.columns
    known = _codes_of(folder, codes, data)
    labels = [label for samples in data.sources for label in samples.labels or []]
    named = () if label_column is None else (label_column, *parted(columns, label_column))
    found = [name for name, own in zip(columns, known) if name in named or tells(labels, own)]
    for name in found:
        say(
            f"warning: a leak: the run has learnt from column '{printable(name)}' of its metadata, and the labels that "
            "judge it tell that column: this is no measure of learning without labels"
        )
    return [printable(name) for name in found]


def _codes_of(folder: Path, codes: NDArray[np.int32], data: Labelled) -> Codes:
    """Of each judged sample what was known of it in pre-training (columns, N), -1 where it was not there."""
    seen, found = read_digests(folder), np.full((len(codes), len(data.classes)), -1, np.int64)
    held = [samples.digests() for samples in data.sources]
    if seen is None or len(seen) != codes.shape[1] or any(own is None for own in held):
        return found
    places = {bytes(digest): place for place, digest in enumerate(seen)}
    for row, digest in enumerate(digest for own in held if own is not None for digest in own):
        if (place := places.get(bytes(digest))) is not None:
            found[:, row] = codes[:, place]
    return found


def tells(labels: Sequence[str], codes: Codes) -> bool:
    """Whether a column's codes (N,), -1 for nothing, follow from labels, or rise and fall with labels that are numbers.

    Labels that a single sample has tell nothing of others.
    """
    rows = np.flatnonzero(codes >= 0)
    if len(rows) < FEWEST or np.unique(codes[rows], return_counts=True)[1].max() > PLAIN * len(rows):
        return False
    own, codes = np.array(labels, dtype=object).astype(str)[rows], codes[rows]
    return _follows(own, codes) or _ordered_alike(own, codes)


def _follows(labels: NDArray[np.str_], codes: Codes) -> bool:
    names, which, counts = np.unique(labels, return_inverse=True, return_counts=True)
    shared = counts[which] > 1
    if 2 * shared.sum() < len(labels):
        return False
    _, values = np.unique(codes, return_inverse=True)
    pairs, often = np.unique(which[shared] * (values.max() + 1) + values[shared], return_counts=True)
    most = np.zeros(len(names), np.int64)
    np.maximum.at(most, pairs // (values.max() + 1), often)  # of each label, samples that have its most frequent value
    return bool(most.sum() >= TOLD * shared.sum())


def _ordered_alike(labels: NDArray[np.str_], codes: Codes) -> bool:
    try:
        numbers = labels.astype(np.float64)
    except ValueError:
        return False
    if len(np.unique(numbers)) < FEWEST or len(np.unique(codes)) < FEWEST:
        return False
    ranks = np.unique(numbers, return_inverse=True)[1].astype(np.float64)
    return bool(abs(np.corrcoef(ranks, codes)[0, 1]) > TOLD)
