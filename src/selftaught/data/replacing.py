"""Images that nobody has looked at before they are wanted: in place of a broken one stands another.

Which one is a function of the seed and of the broken one's number, so a batch is the same after a resume, for any
number of processes and of threads. The next is tried where that is broken, too.
"""

import hashlib
from collections.abc import Iterator, Mapping

from selftaught.data.first_pass import Every
from selftaught.data.storage import Decoded, Rows, Streamed, Work
from selftaught.system.errors import DataError
from selftaught.system.text import printable

TRIES = 256  # substitutes of one image: where one in a hundred is broken, the second is hardly ever needed


def standing(row: int, seed: int, count: int) -> Iterator[int]:
    """The number of an image, then those of its substitutes among `count`, the first of which that is whole counts."""
    yield row
    for attempt in range(TRIES):
        drawn = hashlib.blake2b(f"{seed}/substitute/{row}/{attempt}".encode(), digest_size=8).digest()
        yield int.from_bytes(drawn, "little") % count


class Replacing(Streamed):
    """Images decoded whenever they are wanted; `broken` has those that could not be, each with the reason."""

    def __init__(self, work: Work, seed: int) -> None:
        super().__init__(work, Every(len(work.keys)))
        self._seed, self.broken = seed, dict[int, str]()

    def decoded(self, row: int) -> Decoded:
        for one in standing(row, self._seed, len(self._work.keys)):
            if one not in self.broken:  # which is not read again: it may have been mended, and others have had another
                made = self._work.read(one)
                if not isinstance(made, str):
                    return made
                self.broken[one] = made
        key, why = printable(self._work.keys[row]), self.broken[row]
        raise DataError(f"nothing stands in for a broken image: {TRIES} others are broken, too; it is {key}: {why}")

    def replaced(self, rows: Rows) -> Mapping[int, str]:
        """Which of some images that were taken are broken, and which of their substitutes, with the reasons."""
        found: dict[int, str] = {}
        for row in rows.tolist() if self.broken else ():
            for one in standing(row, self._seed, len(self._work.keys)):
                if one not in self.broken:
                    break
                found[one] = self.broken[one]
        return found
