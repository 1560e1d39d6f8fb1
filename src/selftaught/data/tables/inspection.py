"""Everything that can be known of a table before training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from selftaught.contracts.findings import ColumnFacts, Findings
from selftaught.data.facts import classes, notes_of_copies, same_content
from selftaught.data.sources.metadata import facts_of
from selftaught.data.tables.columns import open_table
from selftaught.data.tables.telling import warnings_of
from selftaught.system.text import printable, spelled

FEWEST = 2  # rows that can be told apart


def inspect(
    data: str | Path,
    *,
    label_column: str | None = None,
    metadata: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **how: Any,
) -> Findings:
    """Read the rows of `data`, all of them. Raises DataError."""
    table = open_table(data, label_column)
    columns = [_column(name, cells) for name, cells in table.columns.items()]
    known = facts_of(table, metadata, "rows")
    progress(len(table), len(table))
    rows = zip(*(cells.astype(str) for cells in table.columns.values()))
    same = same_content(map("\0".join, rows))
    problems = [] if len(table) >= FEWEST else [f"{len(table)} row is too few to learn from"]
    if all(column.distinct <= 1 for column in columns):
        problems.append("every column holds one value only, so there is nothing to learn")
    return Findings(
        data=printable(str(data)),
        things="rows",
        count=len(table),
        checked=len(table),
        usable=not problems,
        problems=problems,
        notes=[*table.notes, *notes_of_copies("rows", same), *_notes(columns), *warnings_of(table, table.labels or [])],
        duplicates=[[spelled(table.keys[row]) for row in group] for group in same],
        labels=classes(table),
        columns=columns,
        metadata=known,
    )


def _column(name: str, cells: NDArray[Any]) -> ColumnFacts:
    kind: Literal["number", "category"]
    ends: dict[str, float]
    if cells.dtype.kind != "f":
        kind, given, ends = "category", cells[cells != "nan"], {}
    else:
        kind, given = "number", cells[np.isfinite(cells)]
        ends = {"min": float(given.min()), "max": float(given.max())} if len(given) else {}
    missing = len(cells) - len(given)
    return ColumnFacts(name=printable(name), kind=kind, missing=missing, distinct=len(np.unique(given)), **ends)


def _notes(columns: list[ColumnFacts]) -> list[str]:
    constant = [column.name for column in columns if column.distinct <= 1]
    return [f"{len(constant)} columns hold one value only, such as {name}" for name in constant[:1]]
