"""Rows as they read, for people."""

from torch import Tensor

from selftaught.data.tables.preparation import Column, Preparation
from selftaught.system.text import printable

MOST = 40  # columns that are read out
# Of a cell that says nothing, or, which looks the same to a network, a number that is just the mean, as all are
# of a column in which they are the same.
NOTHING = "–"
ROUNDING = 1e-6  # of a column's mean and deviation: cells are held as 32 bits, so that what is less has been a zero


def snippets(rows: Tensor, preparation: Preparation) -> list[str]:
    """Rows (B, channels, columns) as text: age 41, job nurse."""
    columns = preparation.columns[:MOST]
    left = f", and {more:,} more" if (more := len(preparation.columns) - MOST) > 0 else ""
    cells = rows[:, :, : len(columns)].transpose(1, 2).tolist()
    named = [printable(column.name) for column in columns]
    return [", ".join(f"{name} {_read(*one)}" for name, *one in zip(named, columns, row)) + left for row in cells]


def _read(column: Column, cell: list[float]) -> str:
    if column.kind == "number":
        value = column.mean + column.std * cell[0]
        rounded = 0 if abs(value) < ROUNDING * (abs(column.mean) + column.std) else value
        return f"{rounded:.4g}" if cell[0] else NOTHING
    likeliest = max(range(len(column.values)), key=cell.__getitem__, default=0)
    return printable(column.values[likeliest]) if cell[likeliest] else NOTHING
