"""What the samples of a packed set hold, as a digest of many at once: whether they are what they were when packed."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from selftaught.data.sources.arrays import Arrays
from selftaught.data.sources.contents import Digests, Rows
from selftaught.data.sources.encoded import UNREAD, Encoded
from selftaught.data.sources.source import Progress, digest
from selftaught.system.errors import DataError
from selftaught.system.text import printable, spelled

Left = Sequence[tuple[str, str]]  # keys of samples that are in no shard, and why
Shown = Callable[..., AbstractContextManager[Progress]]


class Holding:
    """Digests of what is to be packed; samples that could not be read when it was are left out of them, too."""

    def __init__(self, source: Encoded | Arrays, progress: Shown) -> None:
        self._source, self._progress = source, progress

    def digest(self, first: int, following: int, left: Left) -> str:
        """A digest of what these samples hold, from one on and before another."""
        rows = np.arange(first, following)
        self._read(rows, aloud=False)
        return _together(self._digests(rows, self._unread(rows, left)))

    def is_same(self, told: str, first: int, following: int, left: Left) -> bool:
        """Whether they still hold what a digest was made of.

        Raises DataError where nobody can know, as some of them cannot be read for now.
        """
        rows = np.arange(first, following)
        self._read(rows, aloud=True)
        unread, contents = self._unread(rows, left), self._source.contents
        # Earlier versions had all samples in it.
        if told in (_together(self._digests(rows, unread)), _together(contents.digests[rows])):
            return True
        if len(lost := np.setdiff1d(rows[~contents.known[rows]], unread)):
            name, such = printable(self._source.name), printable(spelled(self._source.keys[int(lost[0])]))
            of = f"{len(lost):,} of {len(self._source):,} images in {name}"
            raise DataError(f"{of} cannot be read now, such as {such}, which may be packed already: try again")
        return False

    def _read(self, rows: Rows, aloud: bool) -> None:
        """Read what nobody has read yet, as by who goes on with what is packed; aloud: it may be long."""
        self._source.contents.recall()
        unknown = rows[~self._source.contents.known[rows]]
        if len(unknown):
            with self._progress("comparing with what is packed") if aloud else nullcontext(_nobody) as report:
                self._source.digests(unknown, report)

    def _unread(self, rows: Rows, left: Left) -> Rows:
        """Which of them could not be read when they were to be packed."""
        keys = {key for key, reason in left if reason.startswith(UNREAD)}
        found = [row for row in rows.tolist() if spelled(self._source.keys[row]) in keys] if keys else []
        return np.array(found, np.int64)

    def _digests(self, rows: Rows, without: Rows) -> Digests:
        found = self._source.contents.digests[rows]
        found[np.isin(rows, without)] = 0
        return found


def _together(digests: Digests) -> str:
    return digest(digests.tobytes())


def _nobody(done: int, total: int) -> None:
    """Is told how far it is."""
