"""What a source of samples promises."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

MAX_BYTES = 1 << 30  # no image of so many pixels takes more


class Source(ABC):
    """Samples by number, in a stable order, each with a key; labels where there are any."""

    name: str  # short, for run folders
    keys: Sequence[str]
    labels: list[str] | None = None
    # What stands between the parts of a run's fingerprint; runs that were made by another would not resume.
    between: ClassVar[bytes] = b"\n"

    def __len__(self) -> int:
        return len(self.keys)

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash that tells this data from other data; labels have no part in it."""
