"""Images of which only some are looked at before the first step: what these are like, and how the others are met."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np

from selftaught.contracts.findings import Spread
from selftaught.data.facts import counted
from selftaught.data.first_pass import Rows, Sampled
from selftaught.data.images.canvas import Pixels
from selftaught.data.images.decode import attempt, header, picture
from selftaught.data.images.decoded import DecodeError, Header, Picture, Reading
from selftaught.data.images.preparation import CHUNK
from selftaught.data.replacing import Replacing
from selftaught.data.sources.encoded import Encoded, Stored
from selftaught.data.sources.source import Progress
from selftaught.data.storage import Failures, Refuse, Work
from selftaught.system.interruption import poll

PROBED = 64  # images looked at before all are decoded, to choose canvas, channels and number type


class Looking:
    """Takes the images of a sample in their order, as they will stand in batches, and tells what they are like."""

    def __init__(self, sampled: Sampled) -> None:
        self.sampled, self._headers, self._done = sampled, dict[int, Header](), 0

    def note(self, place: int, data: Stored) -> None:
        """Know an image by its content and its header, if it is of the sample; called by several threads."""
        if self.sampled.note(place, data):
            with suppress(DecodeError):  # said when it is decoded
                self._headers[place] = header(data)

    def begin(self, work: Work, seed: int) -> Replacing:
        """Where the images will come from."""
        self._work, self.storage = work, Replacing(work, seed)
        return self.storage

    def take(self, rows: Rows) -> Pixels:
        """Pixels (N, H, W, C) of the next images; those that follow are decoded meanwhile."""
        self._done += len(rows)
        self.storage.prefetch(rows)
        self.storage.prefetch(self.sampled.rows[self._done : self._done + CHUNK])
        pixels = self.storage.take(rows)[0]
        self._work.progress(self._done, len(self.sampled.rows))
        return pixels

    def end(self, refuse: Refuse, former: str) -> Failures:
        """Take what is left; what was found to be broken. Raises BrokenData where that is too much of the sample.

        former: a hash of the names and sizes of all images.
        """
        rows = self.sampled.rows
        for start in range(self._done, len(rows), CHUNK):
            self.take(rows[start : start + CHUNK])
        broken = self.storage.broken
        refuse([(self._work.keys[row], broken[row]) for row in rows.tolist() if row in broken])
        self.sampled.broken = dict(sorted(broken.items()))  # some of what stands in for those of the sample, too
        self.sampled.closed(former, self._facts())
        return [(self._work.keys[row], why) for row, why in self.sampled.broken.items()]

    def _facts(self) -> dict[str, Any]:
        """Formats, modes and sizes of the images that have a header."""
        headers = [self._headers[place] for place in sorted(self._headers)]
        widths, heights = np.array([(one.width, one.height) for one in headers]).T
        return {
            "formats": counted([one.format for one in headers]),
            "modes": counted([one.mode for one in headers]),
            "width": Spread.of(widths).model_dump(),
            "height": Spread.of(heights).model_dump(),
        }


def probed(count: int) -> Rows:
    """Which of so many images are looked at: places that are evenly spread."""
    return np.linspace(0, count - 1, min(count, PROBED)).astype(np.int64)


def most_are_bands(bands: Iterable[bool | None]) -> bool | None:
    """Whether what TIFFs tag as alpha is a band, as most of the examples look; None where none has any."""
    votes = [band for band in bands if band is not None]
    return 2 * sum(votes) > len(votes) if votes else None


def examples_of(source: Encoded, rows: Rows, way: Reading, refuse: Refuse, progress: Progress) -> list[Picture]:
    """A few evenly spread images, or the first that can be decoded; where there is none, all are refused."""
    tried = []
    for row in rows[probed(len(rows))].tolist():
        poll()
        tried.append(_read(source, row, way))
    if seen := [image for image in tried if not isinstance(image, str)]:
        return seen
    failed: Failures = []
    for done, row in enumerate(rows.tolist()):
        image = _read(source, row, way)
        if not isinstance(image, str):
            return [image]
        failed.append((source.keys[row], image))
        progress(done + 1, len(rows))
    refuse(failed)
    raise AssertionError("not reached: all images failed")


def _read(source: Encoded, row: int, way: Reading) -> Picture | str:
    """What is decoded of an image, or the reason why nothing is."""
    return attempt(lambda: picture(source.read(row), reading=way))
