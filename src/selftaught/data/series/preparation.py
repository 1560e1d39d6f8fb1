"""How a series becomes network input: channels standardised, what is missing zero, and told apart from what is zero."""

from typing import Annotated, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from selftaught.data.series.moments import EVEN
from selftaught.data.series.recordings import Recordings, others_of
from selftaught.data.sources.taken import Taken
from selftaught.system.errors import DataError
from selftaught.system.text import printable, some_of

CONSTANT = 1e-6  # deviation of a channel beside its mean, below which all of it is rounding
MOST = 1 << 16  # channels
LONGEST = 1 << 17  # points that a network takes at once
Positive = Annotated[float, Field(gt=0)]


class Preparation(BaseModel):
    """The channels of the series an encoder takes, in their order, and how many points of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    modality: ClassVar[str] = "series"

    names: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST)]  # of channels; "" where they have none
    length: Annotated[int, Field(gt=1, le=LONGEST)]  # points
    means: tuple[float, ...]
    deviations: tuple[Positive, ...]
    masked: bool = False  # whether each channel has a second one behind all of them: 1 where it was seen, else 0
    stride: Annotated[int, Field(gt=0)] | None = None  # points between the beginnings of windows; None of whole series
    rate: Positive | None = None  # points in a unit of time, where the training data say so
    units: tuple[str, ...] = ()  # of the channels, likewise
    label: str | None = None  # the column that was left out of learning as the label; "none" where none was to be

    @classmethod
    def of(cls, series: Recordings, stride: int | None = None) -> Self:
        """From all values of the series."""
        length, values = int(series.lengths.max()), series.values.astype(np.float64)
        if (count := values.shape[1]) > MOST:
            raise DataError(f"{printable(series.name)} has series of {count:,} channels, more than {MOST:,}")
        if length > LONGEST:
            way = "cut what is long into windows, such as by --window 256"
            raise DataError(f"{printable(series.name)} has series of {length:,} points: {way}")
        with np.errstate(invalid="ignore", divide="ignore"):
            known = np.maximum(1, np.isfinite(values).sum(axis=0))
            means = np.nansum(values, axis=0) / known
            deviations = np.sqrt(np.nansum((values - means) ** 2, axis=0) / known)
        constant = deviations <= CONSTANT * np.abs(means)
        return cls(
            names=series.channels.names,
            length=length,
            means=tuple(means.tolist()),
            deviations=tuple(np.where(constant, 1.0, deviations).tolist()),
            masked=series.missing or bool((series.lengths < length).any()),
            stride=stride,
            rate=series.channels.rate,
            units=series.channels.units,
            label=series.label,
        )

    @property
    def taken(self) -> Taken:
        """What was taken from tables, and is to be found in others."""
        return Taken(self.names, self.label, None if self.stride else self.length)

    @property
    def channels(self) -> int:
        """Of network input: those of the series and, where it is masked, as many that say what was seen."""
        return len(self.names) * (2 if self.masked else 1)

    @property
    def size(self) -> tuple[int]:
        return (self.length,)

    @property
    def shape(self) -> tuple[int, int]:
        return (self.channels, self.length)

    # Series are standardised already, and zero is what says nothing of a channel.
    @property
    def mean(self) -> tuple[float, ...]:
        return (0.0,) * self.channels

    @property
    def std(self) -> tuple[float, ...]:
        return (1.0,) * self.channels

    def in_words(self) -> str:
        """For people."""
        told = f"of {self.length:,} points, {len(self.names)} channel(s)"
        told += f", in windows {self.stride:,} apart" if self.stride else ""
        return told + (", with what was seen of each" if self.masked else "")

    def recipe(self) -> str:
        """What to do to a series, for people."""
        behind = " and is 0 in a channel of its own behind all others, which is 1 elsewhere" if self.masked else ""
        return (
            f"Takes series {self.in_words()}, as {self.shape}: each channel less its mean and divided by its "
            f"deviation, which `config.json` lists under `selftaught`; what is missing is 0{behind}."
        )

    def refuse_other(self, series: Recordings) -> Recordings:
        """The series with the channels that the encoder takes, in its order. Raises DataError."""
        names, shown = series.channels.names, printable(series.name)
        if any(self.names) and any(names) and names != self.names:
            for name in self.names:
                if name not in names:
                    lacks = f"{shown} has no channel '{printable(name)}', which the encoder takes"
                    raise DataError(f"{lacks}{others_of(names, self.names)}")
            series.values = series.values[:, [names.index(name) for name in self.names]]
        elif len(names) != len(self.names):
            raise DataError(f"{shown} has series of {len(names)} channel(s), and the encoder takes {len(self.names)}")
        return series

    def told(self, series: Recordings) -> list[str]:
        """What to say of series that are unlike those of training."""
        longer, missing = int((series.lengths > self.length).sum()), series.missing
        shorter = int((series.lengths < self.length).sum())
        notes = [*self._by_order(series.channels.names), *self._at_another_rate(series.channels.rate)]
        notes += [f"of {longer:,} series only the first {self.length:,} points are taken"] * bool(longer)
        if not self.masked and (missing or shorter):
            notes.append(
                "values are missing, of which the encoder has learnt nothing: it is given their channel's mean"
            )
        return notes

    def _at_another_rate(self, rate: float | None) -> list[str]:
        """What to say where points lie closer together, or farther apart, than those that were learnt from."""
        if not self.rate or not rate or abs(rate - self.rate) <= EVEN * self.rate:
            return []
        told = f"it has {rate:g} points in a unit of time, and the encoder learnt from {self.rate:g}"
        return [f"{told}: features of the two are not alike; resample it, or give times in the same unit"]

    def _by_order(self, names: tuple[str, ...]) -> list[str]:
        """What to say where names could not be compared, as either side has none."""
        if any(self.names) and not any(names):
            return [f"its channels have no names, and are taken for {some_of(self.names)} in this order"]
        if any(names) and not any(self.names):
            return [f"the encoder knows no names of channels: it is given {some_of(names)} in this order"]
        return []

    def encoded(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Series (B, points, channels), NaN where nothing is known, as network input (B, channels, points)."""
        means, deviations = (np.array(part, np.float64) for part in (self.means, self.deviations))
        made = ((values - means) / deviations).astype(np.float32).transpose(0, 2, 1)
        seen = np.isfinite(made)
        made = np.where(seen, made, np.float32(0))
        return np.concatenate([made, seen.astype(np.float32)], axis=1) if self.masked else np.ascontiguousarray(made)
