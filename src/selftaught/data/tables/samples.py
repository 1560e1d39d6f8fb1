"""Rows held in memory, as numbers."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selftaught.data.tables.columns import open_table
from selftaught.data.tables.preparation import Preparation
from selftaught.data.tables.views import Views
from selftaught.system import randomness
from selftaught.system.errors import DataError

Rows = NDArray[np.int64]


class TableRows:
    """Rows of a table by number, with keys and labels."""

    def __init__(
        self,
        name: str,
        values: NDArray[np.float32],
        keys: Sequence[str],
        labels: list[str] | None,
        preparation: Preparation,
        fingerprint: str,
    ) -> None:
        self.name, self.values, self.keys, self.labels = name, values, keys, labels
        self.preparation, self.fingerprint = preparation, fingerprint
        self.quarantined: list[tuple[str, str]] = []
        self.count = len(values)

    def batch(self, rows: Rows) -> tuple[Tensor, ...]:
        """Rows (B, channels, columns)."""
        return (torch.from_numpy(self.values[rows]),)

    def prefetch(self, rows: Rows) -> None:
        """They are here already."""

    def subset(self, rows: Rows) -> "TableRows":
        """The same table, only these rows."""
        keys = [self.keys[row] for row in rows]
        labels = [self.labels[row] for row in rows] if self.labels else None
        return TableRows(self.name, self.values[rows], keys, labels, self.preparation, self.fingerprint)

    def views(self, names: Sequence[str], *, options: Any = None, **how: Any) -> Views:
        """What makes these views of rows; what of `how` concerns images is of no concern here."""
        return Views(names, self.preparation, torch.from_numpy(self.values), options=options)


def open_samples(
    data: str | Path | NDArray[Any],
    *,
    like: Preparation | None = None,
    labels: Path | None = None,
    labelled: bool = False,
    limit: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **how: Any,
) -> TableRows:
    """Read the rows of `data`.

    like: the preparation of an existing encoder, used unchanged; labels: a CSV of key,label; labelled: whether
    labels are wanted (then rows without one are left out); limit: a random subset of this many. Raises DataError.
    """
    table = open_table(data, labels)
    if labelled and table.labels is None:
        raise DataError(
            f"{table.name} has no labels: name a column 'label', name a CSV of key,label, or add 'y' to the .npz"
        )
    told = table.labels if labelled else None
    rows = np.array([i for i in range(len(table)) if told is None or told[i]], dtype=np.int64)
    if told and not len(rows):
        raise DataError(f"{table.name} has labels for none of its rows")
    chosen = randomness.subset(rows, told, limit, seed)
    preparation = like or Preparation.measured(table)
    values = preparation.encoded(table)[chosen]
    progress(len(chosen), len(chosen))
    keys = [table.keys[row] for row in chosen]
    kept = [told[row] for row in chosen] if told else None
    fingerprint = hashlib.blake2b(f"{table.fingerprint()}{limit}{seed if limit else ''}".encode(), digest_size=16)
    return TableRows(table.name, values, keys, kept, preparation, fingerprint.hexdigest())
