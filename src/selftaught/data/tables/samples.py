"""Rows held in memory, as numbers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selftaught.data.opening import Opened, Rows, chosen, refuse_column
from selftaught.data.tables.columns import open_table
from selftaught.data.tables.preparation import Preparation
from selftaught.data.tables.telling import warnings_of
from selftaught.data.tables.views import Views
from selftaught.system.text import some_of

REMEDY = "say which column with --label-column, name a CSV of key,label, or add 'y' to the .npz"


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
    label_column: str | None = None,
    labelled: bool = False,
    limit: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **others: Any,
) -> TableRows:
    """Read the rows of `data`.

    like: the preparation of an existing encoder, used unchanged; label_column: the column of labels, of the table or,
    where `labels` names one, of that file; the rest: see `chosen`. Where labels are wanted, it is said which columns
    tell them, or who a row is. Raises DataError and UsageError.
    """
    refuse_column(others.get("column"), data, "rows")
    table = open_table(data, label_column if labels is None else None, like.taken if like else None)
    how: dict[str, Any] = {"labels": labels, "label_column": label_column, "labelled": labelled}
    wanted = chosen(table, "rows", REMEDY, limit=limit, seed=seed, named=data, **how)
    if wanted.labels:
        for line in warnings_of(table, wanted.labels, like.taken.columns if like else ()):
            table.note(f"warning: {line}")
    known = {column.name for column in like.columns} if like else {*table.columns}
    if left := [name for name in table.columns if name not in known]:
        table.note(f"of its columns {some_of(left)} are not looked at: the encoder has learnt from others")
    for line in like.notes_of(table, np.asarray(wanted.rows)) if like else ():
        table.note(line)
    samples = TableRows(wanted, like or Preparation.of(table))
    samples.values = samples.preparation.encoded(table)[wanted.rows]
    progress(samples.count, samples.count)
    return samples
