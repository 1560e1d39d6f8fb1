"""How a row becomes network input: numbers standardised, categories one of so many, column by column."""

from collections import Counter
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from selftaught.data.sources.numbers import SHOWN, cells_such_as, cleaned, noted
from selftaught.data.sources.taken import Taken
from selftaught.data.tables.columns import Table
from selftaught.system.components import nearest
from selftaught.system.errors import DataError
from selftaught.system.gained import Gained
from selftaught.system.text import printable

CONSTANT = 1e-9  # deviation of a column beside its mean, below which all of it is rounding
MOST_CATEGORIES = 64  # the rarer ones of a column share one place


class Column(Gained):
    """One column: a number with its mean and deviation, or a category with its known values."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    GAINED: ClassVar[tuple[str, ...]] = ("missing",)

    name: str
    kind: Literal["number", "category"]
    mean: float = 0.0
    std: Annotated[float, Field(gt=0)] = 1.0
    values: tuple[str, ...] = ()  # of a category, the commonest first; any other value is in none of them
    missing: tuple[str, ...] = ()  # of a number, the commonest cells that hold none, which are missing anywhere


class Preparation(BaseModel):
    """The columns of the rows an encoder takes, in their order."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    modality: ClassVar[str] = "tables"
    followed: ClassVar[bool] = True  # a run that goes on takes the columns that it took when it began, and as it did

    columns: Annotated[tuple[Column, ...], Field(min_length=1, max_length=1_000_000)]
    label: str | None = None  # the column that was left out of learning as the label

    @classmethod
    def of(cls, table: Table) -> Self:
        """From all rows of a table."""
        columns = tuple(_column(name, cells, table.odd.get(name, ())) for name, cells in table.columns.items())
        return cls(columns=columns, label=table.label)

    @property
    def taken(self) -> Taken:
        """What was taken from a table, and is to be found in others."""
        numbers = {column.name: column.missing for column in self.columns if column.kind == "number"}
        return Taken(tuple(column.name for column in self.columns), self.label, numbers=numbers)

    @property
    def channels(self) -> int:
        """Numbers behind one column: one, or one for each value of the widest category."""
        return max(1, *(len(column.values) for column in self.columns))

    @property
    def size(self) -> tuple[int]:
        return (len(self.columns),)

    @property
    def shape(self) -> tuple[int, int]:
        return (self.channels, len(self.columns))

    # Rows are standardised already, and zero is what says nothing of a column.
    @property
    def mean(self) -> tuple[float, ...]:
        return (0.0,) * self.channels

    @property
    def std(self) -> tuple[float, ...]:
        return (1.0,) * self.channels

    def recipe(self) -> str:
        """What to do to a row, for people."""
        return (
            f"Takes rows {self.in_words()} as {self.shape}: numbers less their mean and divided "
            "by their deviation, categories as ones and zeros; `config.json` lists both under `selftaught`."
        )

    def in_words(self) -> str:
        """For people."""
        numbers = sum(column.kind == "number" for column in self.columns)
        return f"of {len(self.columns)} columns ({numbers} of numbers, {len(self.columns) - numbers} of categories)"

    def notes_of(self, table: Table, rows: NDArray[np.int64]) -> list[str]:
        """What to say of these rows: categories that the encoder does not know, be they only written otherwise.

        Where it knows as many as it can, others are what was rare when it learnt, and nothing is said of them.
        """
        open_to = [column for column in self.columns if column.kind == "category" and column.name in table.columns]
        open_to = [column for column in open_to if len(column.values) < MOST_CATEGORIES]
        said = [line for column in open_to if (line := _unknown(column, table.text(column.name)[rows]))]
        return noted(sorted(said, key=lambda line: not line.startswith("warning")))

    def _lacks(self, table: Table, name: str) -> str:
        """What to say of a table without a column that the encoder takes; it may be called a little otherwise there."""
        known = {column.name for column in self.columns}
        close = nearest(name, (other for other in table.columns if other not in known))
        way = f"; if that is its '{printable(close)}', give it the name" if close else ""
        return f"{table.shown or table.name} has no column '{printable(name)}', which the encoder takes{way}"

    def encoded(self, table: Table) -> NDArray[np.float32]:
        """Rows (N, channels, columns): what is missing is zero, a number's mean or no category."""
        made = np.zeros((len(table), *self.shape), dtype=np.float32)
        for place, column in enumerate(self.columns):
            if column.name not in table.columns:
                raise DataError(self._lacks(table, column.name))
            cells = table.columns[column.name]
            if column.kind == "number":
                with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and then nothing is known
                    unit = ((cells - column.mean) / column.std).astype(np.float32)
                made[:, 0, place] = np.nan_to_num(unit, nan=0.0, posinf=0.0, neginf=0.0)
            else:
                text = table.text(column.name)
                for number, value in enumerate(column.values):
                    made[text == value, number, place] = 1.0
        return made


def _unknown(column: Column, cells: NDArray[np.str_]) -> str:
    """What to say of cells (N,) that hold a value, and none that the encoder knows; "" where there are none."""
    held = Counter(cleaned(cells.tolist()))
    del held["nan"]
    strange = {cell: count for cell, count in held.most_common() if cell not in column.values}
    if not strange:
        return ""
    known = ", ".join(repr(printable(value)) for value in column.values[:SHOWN]) or "none"
    told = f"of no category that the encoder knows ({known}), and so taken for missing: {cells_such_as(strange)}"
    return f"{'warning: ' * (len(strange) == len(held))}column '{printable(column.name)}': {told}"


def _column(name: str, cells: NDArray[Any], odd: tuple[str, ...]) -> Column:
    if cells.dtype.kind == "f":
        whole = cells[np.isfinite(cells)]
        missing = odd[:MOST_CATEGORIES]
        if not len(whole):
            return Column(name=name, kind="number", missing=missing)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, std = float(whole.mean()), float(whole.std())
        if not np.isfinite([mean, std]).all():
            raise DataError(
                f"column '{printable(name)}' holds numbers too large to be standardised, such as {whole.max():g}"
            )
        constant = std <= CONSTANT * abs(mean)
        return Column(name=name, kind="number", mean=mean, std=1.0 if constant else std, missing=missing)
    values, counts = np.unique(cells[cells != "nan"], return_counts=True)
    commonest = values[np.argsort(-counts, kind="stable")][:MOST_CATEGORIES]
    return Column(name=name, kind="category", values=tuple(map(str, commonest)))
