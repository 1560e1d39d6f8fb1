"""The samples most like some others, by exact cosines: features come a part at a time, and no more is held."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selftaught.system.interruption import poll

Array = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Near:
    """Rows (K,) of the samples most like any that was asked about, the most alike first."""

    rows: Rows
    cosines: Array  # (K,)
    asked: Rows  # (K,) the number of the one that each is most like


def nearest(asked: Array, parts: Iterable[Array], count: int, left_out: Iterable[int] = ()) -> Near:
    """The `count` rows of `parts`, (B, D) one after another, that are most like any of `asked` (M, D).

    All have length one. Among equals the first comes first; rows that are `left_out` are not looked for.
    """
    rows, cosines, best = np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64)
    start, closed = 0, np.array(sorted(left_out), dtype=np.int64)
    for part in parts:
        poll()
        alike = part @ asked.T
        own = np.arange(start, start + len(part))
        kept = ~np.isin(own, closed)
        rows = np.concatenate([rows, own[kept]])
        cosines = np.concatenate([cosines, alike.max(axis=1)[kept]])
        best = np.concatenate([best, alike.argmax(axis=1)[kept]])
        order = np.argsort(-cosines, kind="stable")[:count]
        rows, cosines, best, start = rows[order], cosines[order], best[order], start + len(part)
    return Near(rows, cosines, best)
