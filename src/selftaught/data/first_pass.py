"""Where not all is read before the first step: which samples are looked at, and what is known of them.

To decode a hundred million photos only to know which are whole takes hours, so of more than `ALL_UP_TO` samples some
are looked at. What is broken among the others is met in training, and replaced there (`data/replacing.py`).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.data.sources.contents import BYTES, content_of
from selftaught.data.sources.encoded import Stored, parts_of
from selftaught.data.sources.source import digest

ALL_UP_TO = 1_000_000  # samples that are all looked at before the first step, where nobody says otherwise
LOOKED_AT = 4096  # samples, evenly spread, of which mean and deviation are, and all that is looked at where not all is
MARK = "sample:"  # before a fingerprint that is of names, sizes and a sample, not of all contents

Rows = NDArray[np.int64]


def looked_at(count: int) -> Rows:
    """Which of so many samples are looked at, where some stand for all."""
    return np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(np.int64)


def by_sample(asked: str, count: int) -> bool:
    """Whether a run on so many samples begins when some were looked at; `asked` is --first-pass."""
    return asked == "sample" or (asked == "auto" and count > ALL_UP_TO)


class Every(Sequence[int]):
    """The numbers of all samples, none of which is held: as an array they would take 8 bytes each."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: Any) -> Any:
        """Of an array of places, those places."""
        if isinstance(place, slice):
            return np.arange(*place.indices(self._count))
        return place if isinstance(place, np.ndarray) else range(self._count)[place]

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._count))

    def tolist(self) -> list[int]:
        """What an array has as well."""
        return list(self)


class Sampled:
    """The samples that are looked at before the first step, and what is known of them."""

    def __init__(self, count: int) -> None:
        """`count`: how many samples there are."""
        self.rows = looked_at(count)
        self.fingerprint = ""  # of the names and sizes of all, and of the contents of these, once all were looked at
        self.broken: dict[int, str] = {}
        self.facts: dict[str, Any] = {}
        self._digests = dict.fromkeys(self.rows.tolist(), bytes(BYTES))

    def __contains__(self, row: object) -> bool:
        return row in self._digests

    def note(self, row: int, data: Stored) -> bool:
        """Know the content of a sample, if it is one of these and all is not said yet; whether it was."""
        if row not in self or self.fingerprint:
            return False
        self._digests[row] = content_of(*parts_of(data))
        return True

    def closed(self, former: str, facts: dict[str, Any]) -> None:
        """All were looked at; `former`: a hash of the names and sizes of all samples; `facts`: what these are like."""
        self.fingerprint, self.facts = MARK + digest(former, *self._digests.values()), facts
