"""How a row becomes network input: numbers standardised, categories one of so many, column by column."""

from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from selftaught.data.sources.numbers import once_read
from selftaught.data.sources.taken import Taken
from selftaught.data.tables.columns import Table
from selftaught.system.errors import DataError
from selftaught.system.text import printable

CONSTANT = 1e-9  # deviation of a column beside its mean, below which all of it is rounding
MOST_CATEGORIES = 64  # the rarer ones of a column share one place


class Column(BaseModel):
    """One column: a number with its mean and deviation, or a category with its known values."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    kind: Literal["number", "category"]
    mean: float = 0.0
    std: Annotated[float, Field(gt=0)] = 1.0
    values: tuple[str, ...] = ()  # of a category, the commonest first; any other value is in none of them


class Preparation(BaseModel):
    """The columns of the rows an encoder takes, in their order."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    modality: ClassVar[str] = "tables"

    columns: Annotated[tuple[Column, ...], Field(min_length=1, max_length=1_000_000)]
    label: str | None = None  # the column that was left out of learning as the label

    @classmethod
    def of(cls, table: Table) -> Self:
        """From all rows of a table."""
        columns = tuple(_column(name, cells) for name, cells in table.columns.items())
        return cls(columns=columns, label=table.label)

    @property
    def taken(self) -> Taken:
        """What was taken from a table, and is to be found in others."""
        return Taken(tuple(column.name for column in self.columns), self.label)

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

    @property
    def followed(self) -> bool:
        """Whether a run that goes on takes columns as it did when it began: see `read_as_learnt`."""
        return any(column.kind == "number" for column in self.columns)

    def read_as_learnt(self, table: Table) -> None:
        """Read columns of codes such as 1_2 as the numbers that an earlier version took them for, where they are."""
        for column in self.columns:
            cells = table.columns.get(column.name)
            if column.kind != "number" or cells is None or cells.dtype.kind == "f":
                continue
            if (numbers := once_read(cells.tolist())) is not None:
                table.columns[column.name] = numbers
                shown = printable(column.name)
                table.note(f"column {shown!r}: cells such as 1_2 are read as 12, as the encoder has learnt them")

    def encoded(self, table: Table) -> NDArray[np.float32]:
        """Rows (N, channels, columns): what is missing is zero, a number's mean or no category."""
        made = np.zeros((len(table), *self.shape), dtype=np.float32)
        for place, column in enumerate(self.columns):
            if column.name not in table.columns:
                raise DataError(f"{table.name} has no column {printable(column.name)!r}, which the encoder takes")
            cells = table.columns[column.name]
            if column.kind == "number":
                if cells.dtype.kind != "f":
                    raise DataError(f"{table.name}: column {printable(column.name)!r} holds text where numbers were")
                with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and then nothing is known
                    unit = ((cells - column.mean) / column.std).astype(np.float32)
                made[:, 0, place] = np.nan_to_num(unit, nan=0.0, posinf=0.0, neginf=0.0)
            else:
                text = table.text(column.name)
                for number, value in enumerate(column.values):
                    made[text == value, number, place] = 1.0
        return made


def _column(name: str, cells: NDArray[Any]) -> Column:
    if cells.dtype.kind == "f":
        whole = cells[np.isfinite(cells)]
        if not len(whole):
            return Column(name=name, kind="number")
        with np.errstate(over="ignore", invalid="ignore"):
            mean, std = float(whole.mean()), float(whole.std())
        if not np.isfinite([mean, std]).all():
            raise DataError(
                f"column {printable(name)!r} holds numbers too large to be standardised, such as {whole.max():g}"
            )
        constant = std <= CONSTANT * abs(mean)
        return Column(name=name, kind="number", mean=mean, std=1.0 if constant else std)
    values, counts = np.unique(cells[cells != "nan"], return_counts=True)
    commonest = values[np.argsort(-counts, kind="stable")][:MOST_CATEGORIES]
    return Column(name=name, kind="category", values=tuple(map(str, commonest)))
