"""Columns that give away what nobody should learn from them: the label under another name, or which row it is."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.data.tables.columns import Table
from selftaught.system import randomness
from selftaught.system.text import printable

ROWS, COLUMNS = 5000, 1000  # at most that are looked at for what tells the label: it takes a few seconds then
BINS, FILLED = 64, 5  # that numbers are sorted into at most, and the rows that each of them has at least
TELLS = 0.95  # of the mistakes of always naming the commonest class, the share that a column alone avoids
FEWEST = 20  # rows from which an order or different values are no chance
DIFFER = 0.9  # share of rows with a value of their own


def warnings_of(table: Table, labels: Sequence[str], columns: Collection[str] = ()) -> list[str]:
    """What to know of the columns that are learnt from, or of those that an encoder takes; labels (N,), "" for none."""
    used = [name for name in table.columns if not columns or name in columns]
    return [*_telling(table, labels, used), *_identifying(table, used)]


def _telling(table: Table, labels: Sequence[str], used: Sequence[str]) -> list[str]:
    rows = np.array([row for row, label in enumerate(labels) if label], np.int64)
    if len(rows) < FEWEST:
        return []
    rows = randomness.subset(rows, None, ROWS if len(rows) > ROWS else None, 0)
    _, classes = np.unique([labels[row] for row in rows], return_inverse=True)
    commonest = float(np.bincount(classes).max() / len(classes))
    found = []
    for name in used[:COLUMNS] if commonest < 1 else ():
        right = told_by(table.columns[name][rows], classes)
        if right - commonest >= TELLS * (1 - commonest):
            found.append(
                f"column '{printable(name)}' alone tells the label of {right:.1%} of the rows "
                f"({commonest:.1%} without it): is it the label by another name, or made from it?"
            )
    return found


def told_by(cells: NDArray[Any], classes: NDArray[np.int64]) -> float:
    """The share of rows whose class (N,) is the commonest of the others with such a cell (N,)."""
    _, places = np.unique(_binned(cells), return_inverse=True)
    counts = np.zeros((places.max() + 1, classes.max() + 1))
    np.add.at(counts, (places, classes), 1)
    others = counts[places]
    others[np.arange(len(classes)), classes] -= 1
    return float(((others.argmax(axis=1) == classes) & (others.max(axis=1) > 0)).mean())


def _binned(cells: NDArray[Any]) -> NDArray[Any]:
    """Categories, and numbers of few values, as they are; other numbers by bins that are filled alike."""
    if cells.dtype.kind != "f" or len(np.unique(cells)) <= BINS:
        return cells
    known = cells[np.isfinite(cells)]
    edges = np.quantile(known, np.linspace(0, 1, min(BINS, max(2, len(known) // FILLED)) + 1)[1:-1])
    return np.where(np.isfinite(cells), np.searchsorted(edges, cells, side="right"), -1)


def _identifying(table: Table, used: Sequence[str]) -> list[str]:
    said = ((name, _who(table.columns[name])) for name in used)
    way = "not a feature? " + ("Call it 'id' to leave it out" if table.key is None else "Leave the column out")
    return [f"column '{printable(name)}' {what}, {way}" for name, what in said if what]


def _who(cells: NDArray[Any]) -> str:
    """What makes a column say which row it is; "" where nothing does."""
    differ = len(set(cells.tolist())) >= DIFFER * len(cells)
    if cells.dtype.kind != "f":
        return "differs in nearly every row: a name or a date" * (differ and len(cells) > 2)
    if not differ or len(cells) < FEWEST or not np.isfinite(cells).all():
        return ""
    steps = np.diff(cells)
    if (steps >= 0).all() or (steps <= 0).all():
        return "rises or falls from row to row: a running number or a time"
    whole = bool((cells == np.round(cells)).all())
    return "has another whole number in nearly every row: the number of a thing" * whole
