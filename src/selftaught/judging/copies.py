"""Which samples are copies of each other: of the same decoded values, or one picture that is stored in two ways."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selftaught.contracts.modality import Looks
from selftaught.contracts.samples import Samples
from selftaught.system.errors import DataError
from selftaught.system.interruption import poll
from selftaught.system.text import printable

HASHED = 250  # samples at a time: the decoded values of a whole source would not fit memory

Rows = NDArray[np.int64]


def contents(sources: Sequence[Samples], looks: Looks | None) -> tuple[Rows, Rows]:
    """A number for each sample, over all sources: the same for the same decoded values, and for what looks just alike.

    Raises DataError for values that no network could learn from.
    """
    exact, sketches = _read(sources, looks)
    return exact, _alike(sources, looks, exact, sketches) if looks else exact


def _read(sources: Sequence[Samples], looks: Looks | None) -> tuple[Rows, NDArray[np.uint8]]:
    """A number for each sample, the same for the same decoded values, over all sources; and their sketches."""
    numbers: dict[bytes, int] = {}
    contents, sketches = [], []
    for samples in sources:
        for start in range(0, samples.count, HASHED):
            poll()
            batch = samples.batch(np.arange(start, min(start + HASHED, samples.count)))
            stored = [part.numpy() for part in batch]
            _refuse_infinite(samples, start, stored)
            sketches.append(looks.sketches(batch, samples.preparation) if looks else np.zeros(0, np.uint8))
            for row in range(len(stored[0])):
                digest = hashlib.blake2b(digest_size=16)
                for part in stored:
                    digest.update(f"{part.shape[1:]}{part.dtype}".encode() + part[row].tobytes())
                contents.append(numbers.setdefault(digest.digest(), len(numbers)))
    return np.array(contents, dtype=np.int64), np.concatenate(sketches)


def _alike(sources: Sequence[Samples], looks: Looks, exact: Rows, sketches: NDArray[np.uint8]) -> Rows:
    """The numbers of contents, made one where samples look just alike."""
    _, single = np.unique(exact, return_index=True)

    def confirm(pairs: Rows) -> NDArray[np.bool_]:
        said = [np.zeros(0, np.bool_)]
        for start in range(0, pairs.shape[1], HASHED):
            poll()
            one, other = (_stored(sources, single[places]) for places in pairs[:, start : start + HASHED])
            said.append(looks.closely_alike(one, other, sources[0].preparation))
        return np.concatenate(said)

    number = np.arange(len(single))
    for group in looks.same_look(sketches[single], confirm):
        number[group] = group[0]
    return number[exact]


def _stored(sources: Sequence[Samples], rows: Rows) -> list[Tensor]:
    """What batches of all sources hold of these rows, in their order."""
    order, starts = np.argsort(rows, kind="stable"), np.cumsum([0, *(samples.count for samples in sources)])
    parts = []
    for samples, start, end in zip(sources, starts, starts[1:]):
        own = rows[order][(rows[order] >= start) & (rows[order] < end)]
        if len(own):
            parts.append(samples.batch(own - start))
    back = torch.from_numpy(np.argsort(order, kind="stable"))
    return [torch.cat(columns)[back] for columns in zip(*parts)]


def _refuse_infinite(samples: Samples, start: int, stored: Sequence[NDArray[Any]]) -> None:
    """Raise DataError for a sample, of those from row `start` on, that holds what no network could learn from."""
    for part in stored:
        if part.dtype.kind == "f" and not (fine := np.isfinite(part.reshape(len(part), -1)).all(axis=1)).all():
            key = printable(samples.keys[start + int(fine.argmin())])
            raise DataError(f"{printable(samples.name)}: {key} holds a value that is not finite (NaN or infinite)")
