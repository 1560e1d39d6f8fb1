"""What every file of texts comes to: those that can be used, with what is known of each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np

from selftaught.data.sources.contents import BYTES, Digests, Rows, content_of
from selftaught.data.sources.parts import told_apart
from selftaught.data.sources.source import Beside, Progress, Source, digest
from selftaught.system.errors import DataError
from selftaught.system.text import printable

THINGS = "texts"
MARK = "text:"  # of what could be taken for images or rows: text:reviews.csv
EMPTY = "is empty"
Failures = list[tuple[str, str]]  # key and reason


class Text(NamedTuple):
    """A text as it was read."""

    key: str
    text: str
    label: str | None = None
    fault: str = ""  # why it cannot be used, where it cannot


@dataclass
class Texts(Source):
    """Texts in memory."""

    name: str
    texts: list[str]
    keys: list[str]
    labels: list[str] | None = None
    broken: Failures = field(default_factory=list)
    ignored: Failures = field(default_factory=list)
    notes: Sequence[str] = ()
    column: str | None = None  # that they stand in, where it has a name
    extra: Beside = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        name: str,
        given: Iterable[Text],
        *,
        ignored: Sequence[tuple[str, str]] = (),
        notes: Sequence[str] = (),
        column: str | None = None,
        beside: Mapping[str, Sequence[str]] | None = None,
    ) -> Self:
        """All texts that can be used; the others are `broken`. `beside` has cells of all by column.

        Raises DataError where there is none.
        """
        whole, rows, broken, given, said = list[Text](), list[int](), Failures(), [*given], [*notes]
        keys = told_apart([one.key for one in given], THINGS, said.append)
        for row, one in enumerate(one._replace(key=key) for one, key in zip(given, keys)):
            fault = one.fault or ("" if one.text.strip() else EMPTY)
            if fault:
                broken.append((one.key, fault))
            else:
                whole.append(one)
                rows.append(row)
        if not whole:
            why = f": {printable(broken[0][0])} {broken[0][1]}" if broken else ""
            raise DataError(f"{printable(name)} holds no texts that can be used{why}")
        labelled = any(one.label is not None for one in whole)
        return cls(
            name,
            [one.text for one in whole],
            [one.key for one in whole],
            [one.label or "" for one in whole] if labelled else None,
            broken,
            list(ignored),
            said,
            column,
            {called: _picked(cells, rows) for called, cells in (beside or {}).items()},
        )

    def fingerprint(self) -> str:
        return digest(*map(_bytes, self.texts), between=b"\0")

    def digests(self, rows: Rows, progress: Progress = lambda done, total: None) -> Digests:
        found = np.empty((len(rows), BYTES), np.uint8)
        for place, row in enumerate(rows.tolist()):
            found[place] = np.frombuffer(content_of(_bytes(self.texts[row])), np.uint8)
        progress(len(rows), len(rows))
        return found


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # JSON may write half a character


def _picked(cells: Sequence[str], rows: Sequence[int]) -> Callable[[], list[str]]:
    return lambda: [cells[row] for row in rows]
