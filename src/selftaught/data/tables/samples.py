"""Rows held in memory, as numbers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from selftaught.data.opening import Opened, Rows, chosen
from selftaught.data.tables.columns import open_table
from selftaught.data.tables.preparation import Preparation
from selftaught.data.tables.views import Views

REMEDY = "name a column 'label', name a CSV of key,label, or add 'y' to the .npz"


class TableRows(Opened):
    """Rows of a table by number; `values` are theirs (N, channels, columns)."""

    values: NDArray[Any]

    def keep(self, rows: Rows) -> None:
        self.values = self.values[rows]

    def batch(self, rows: Rows) -> tuple[Tensor, ...]:
        """Rows (B, channels, columns)."""
        return (torch.from_numpy(self.values[rows]),)

    def views(self, names: Sequence[str], *, options: Any = None, **how: Any) -> Views:
        """What makes these views of rows; what of `how` concerns images is of no concern here."""
        views = Views(names, self.preparation, options)
        views.everything = torch.from_numpy(self.values)
        return views


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

    like: the preparation of an existing encoder, used unchanged; the rest: see `chosen`. Raises DataError.
    """
    table = open_table(data)
    wanted = chosen(table, "rows", REMEDY, labels=labels, labelled=labelled, limit=limit, seed=seed)
    samples = TableRows(wanted, like or Preparation.of(table))
    samples.values = samples.preparation.encoded(table)[wanted.rows]
    progress(samples.count, samples.count)
    return samples
