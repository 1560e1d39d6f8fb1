"""What is known of somebody's data before training: plain facts, whose names are the keys of `check --json`."""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from selftaught.system.showing import Shown


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class File(_Part):
    """A file with a reason."""

    path: str
    reason: str


class Spread(_Part):
    """Least, middle and greatest of many numbers."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, values: NDArray[Any]) -> Self:
        """Of these, of which there is at least one."""
        return cls(min=float(values.min()), median=float(np.median(values)), max=float(values.max()))


class Bin(_Part):
    """How many images have a longer side of `start` to `end` pixels, both included."""

    start: int
    end: int
    count: int


class ChannelValues(_Part):
    """The values of a channel; `counts` are those of equal bins of the range."""

    min: float
    p1: float  # percentiles
    median: float
    p99: float
    max: float
    counts: list[int]


class Values(_Part):
    """What values images hold, from a sample of them."""

    images: int  # in the sample, of one type and number of channels
    type: str  # of a number
    range: tuple[float, float]  # that the histograms are drawn over
    inside: tuple[float, float]  # where 99.8 % of all values lie
    used: float  # by these, as a share of what the type of levels holds, or of least to greatest
    between: tuple[float, float] | None = None  # likewise of those that are neither the least nor the greatest
    at_ends: float = 0.0  # the share of those that are
    channels: list[ChannelValues]


class ImageFacts(_Part):
    """What the images are like, by number of images; what is broken is not in it."""

    bytes: int  # of the files, encoded
    formats: dict[str, int]
    modes: dict[str, int]  # Pillow's names, or the number type of an array
    channels: dict[str, int]
    bits: dict[str, int]  # of a value, as it is trained on
    orientations: dict[str, int]  # EXIF's; all are turned upright
    animated: int  # of which the first frame is used
    width: Spread  # in pixels, upright
    height: Spread
    distinct_sizes: int
    sizes: list[Bin]  # by the longer side
    values: Values | None = None


class ColumnFacts(_Part):
    """A column of a table."""

    name: str
    kind: Literal["number", "category"]
    missing: int
    distinct: int
    min: float | None = None  # of numbers
    max: float | None = None


class SeriesFacts(_Part):
    """What series are like; what is broken is not in it."""

    channels: list[ColumnFacts]
    lengths: Spread  # in points
    recordings: int  # that series are windows of
    groups: int | None = None  # of recordings that belong together; None where each is by itself
    rate: float | None  # points in a unit of time, where the data say so
    units: list[str]  # of the channels, likewise


class TextFacts(_Part):
    """What texts are like; what is broken is not in it."""

    letters: Spread  # of a text
    words: Spread  # parted by blanks; those of a tokenizer are others
    distinct_words: int
    column: str | None  # that texts stand in


class ClipFacts(_Part):
    """What clips of sound are like, by number of clips; what is broken is not in it."""

    bytes: int  # of the files
    formats: dict[str, int]
    rates: dict[str, int]  # samples a second, as stored
    channels: dict[str, int]
    seconds: Spread
    total_seconds: float
    rate: int  # samples a second, to which all are resampled


class Suggested(_Part):
    """What a run would choose by itself."""

    method: str
    encoder: str
    size: tuple[int, int] | None  # (H, W), of images
    batch_size: int
    epochs: float
    steps: int
    command: str
    by_device: list[str] = []  # what of it was chosen for a CPU, and what a GPU would take
    advice: list[str] = []  # what such runs have brought, and what has brought more


class Forecast(_Part):
    """What such a run would take."""

    seconds: float
    samples_per_second: float
    measured_on: str  # what the prediction rests on
    reading_seconds: float  # to read all samples once
    checkpoint_bytes: int
    run_bytes: int  # the run folder at its largest
    cache_bytes: int  # of decoded images, outside the run folder
    free_bytes: int  # where run folders go


class Findings(Shown, _Part):
    """All that `check` has to say."""

    data: str
    things: str  # images, rows, series, clips or texts
    count: int
    checked: int  # of them, fewer than all where a limit was given
    usable: bool
    problems: list[str] = []  # why it is not usable
    notes: list[str] = []
    broken: list[File] = []
    ignored: list[File] = []  # passed over; of shards an example of each kind
    passed_over: int = 0  # how many, of shards all members
    duplicates: list[list[str]] = []  # groups of the same content
    near_duplicates: list[list[str]] = []  # groups of one look
    decoded: bool = Field(default=False, exclude=True)  # whether samples are files, which a run decodes into the cache
    labels: dict[str, int] = {}  # classes, where folders or a column name them
    images: ImageFacts | None = None
    columns: list[ColumnFacts] | None = None
    series: SeriesFacts | None = None
    texts: TextFacts | None = None
    clips: ClipFacts | None = None
    metadata: list[ColumnFacts] | None = (
        None  # what is known of the samples beside what they hold, where that was asked
    )
    suggested: Suggested | None = None
    forecast: Forecast | None = None

    @property
    def surplus(self) -> int:
        """Samples that are there once more."""
        return sum(len(group) - 1 for group in self.duplicates)

    @property
    def alike(self) -> int:
        """Samples that look like another one, which is not counted."""
        return sum(len(group) - 1 for group in self.near_duplicates)

    def files(self) -> list[tuple[str, str]]:
        """Every file that something is said of, with what it is."""
        same = [(key, f"the same as {group[0]}") for group in self.duplicates for key in group[1:]]
        alike = [(key, f"looks like {group[0]}") for group in self.near_duplicates for key in group[1:]]
        broken = [(file.path, file.reason) for file in self.broken]
        return broken + same + alike + [(file.path, f"passed over: {file.reason}") for file in self.ignored]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return self.model_dump(mode="json")
