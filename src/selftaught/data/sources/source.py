"""What a source of samples promises."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

MAX_BYTES = 1 << 30  # no image of so many pixels takes more


class Source(ABC):
    """Images by number, in a stable order, each with a key; labels where there are any."""

    name: str  # short, for run folders
    keys: Sequence[str]
    labels: list[str] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash that tells this data from other data."""
