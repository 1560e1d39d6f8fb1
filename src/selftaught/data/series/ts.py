"""The text format of the UCR and UEA archives of time series, `.ts`.

Read here, as the libraries that know it bring compilers of numbers along: a header of lines `@name value`, then a
series a line, whose channels are parted by colons, whose values by commas, `?` where one is missing, the label last.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selftaught.data.series.recordings import Failures, Recording, Recordings
from selftaught.data.sources.labels import known_labels
from selftaught.system.errors import DataError
from selftaught.system.reading import text_in
from selftaught.system.text import printable

UNKNOWN = "?"


def open_ts(path: Path) -> Recordings:
    """The series of a file. Raises DataError."""
    header, lines = _parts(path)
    if header.get("timestamps", "").lower() == "true":
        way = "save it as a table of series,time,channels"
        raise DataError(f"{printable(path.name)} has a time stamp at each value, which is not read: {way}")
    labelled = any(header.get(name, "").lower().startswith("true") for name in ("classlabel", "targetlabel"))
    broken: Failures = []
    given = list(_recordings(lines, labelled, broken))
    if labelled:
        labels = known_labels([str(one.label) for one in given], path.stem, parting=None)
        given = [one._replace(label=label) for one, label in zip(given, labels)]
    return Recordings.of(path.stem, given, broken=broken)


def _parts(path: Path) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """What the header says by name, in small letters, and the lines behind it with their numbers."""
    header: dict[str, str] = {}
    lines = [line.strip() for line in text_in(path).splitlines()]
    for number, line in enumerate(lines):
        if line.lower() == "@data":
            return header, [(at, own) for at, own in enumerate(lines[number + 1 :], number + 2) if own]
        if line.startswith("@"):
            name, _, value = line[1:].partition(" ")
            header[name.lower()] = value.strip()
        elif line and not line.startswith("#"):
            break
    raise DataError(f"{printable(path.name)} is no .ts file of series: it has no line @data behind a header of @ lines")


def _recordings(lines: list[tuple[int, str]], labelled: bool, broken: Failures) -> Iterator[Recording]:
    for row, (number, line) in enumerate(lines):
        channels = line.split(":")
        label = channels.pop().strip() if labelled else None
        try:
            yield Recording(str(row), _values(channels), "" if label == UNKNOWN else label)
        except ValueError as error:
            broken.append((str(row), f"cannot be read, line {number}: {printable(error)}"))


def _values(channels: list[str]) -> NDArray[np.float32]:
    """The values (points, channels); one channel that is shorter than others ends with missing ones."""
    cells = [["nan" if cell.strip() == UNKNOWN else cell for cell in channel.split(",")] for channel in channels]
    if not cells:
        raise ValueError("it has no values")
    made = np.full((max(map(len, cells)), len(cells)), np.nan, np.float32)
    for place, own in enumerate(cells):
        made[: len(own), place] = np.array(own, np.float64)
    return made
