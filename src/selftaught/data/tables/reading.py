"""Rows as they read, for people."""

from torch import Tensor

from selftaught.data.tables.preparation import Column, Preparation
from selftaught.system.text import printable

MOST = 40  # columns that are read out
NOTHING = "–"  # of a cell that says nothing, or, which looks the same to a network, a number that is just the mean


def snippets(rows: Tensor, preparation: Preparation) -> list[str]:
    """Rows (B, channels, columns) as text: age 41, job nurse."""
    columns = preparation.columns[:MOST]
    left = f", and {more:,} more" if (more := len(preparation.columns) - MOST) > 0 else ""
    cells = rows[:, :, : len(columns)].transpose(1, 2).tolist()
    named = [printable(column.name) for column in columns]
    return [", ".join(f"{name} {_read(*one)}" for name, *one in zip(named, columns, row)) + left for row in cells]


def _read(column: Column, cell: list[float]) -> str:
    if column.kind == "number":
        return f"{column.mean + column.std * cell[0]:.4g}" if cell[0] else NOTHING
    likeliest = max(range(len(column.values)), key=cell.__getitem__, default=0)
    return printable(column.values[likeliest]) if cell[likeliest] else NOTHING
