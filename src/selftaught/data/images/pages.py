"""Pages and frames of files as samples of their own."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.data.images.decode import attempt, pages_in
from selftaught.data.sources.contents import Contents, Stamps
from selftaught.data.sources.encoded import AHEAD, Encoded, Labels, Page, Stored
from selftaught.data.sources.parquet import RowGroups
from selftaught.data.sources.parts import page_of
from selftaught.data.sources.source import Beside, Progress

Rows = NDArray[np.int64]
MOST = 1 << 20  # pages of a file, up to which it is remembered what each of them holds


def paged(source: Encoded, progress: Progress = lambda done, total: None) -> Encoded:
    """The pages of a source's files, each with the label of its file; every file is opened once to count them."""
    counts = np.fromiter(_counted(source, progress), np.int64, len(source))
    files = np.repeat(np.arange(len(source)), counts)
    if len(files) == len(source):
        return source
    places = np.arange(len(files)) - np.repeat(np.cumsum(counts) - counts, counts)
    several = counts[files] > 1
    numbered = zip(files.tolist(), places.tolist(), several.tolist())
    keys = [page_of(source.keys[file], place + 1) if more else source.keys[file] for file, place, more in numbered]

    def sizes() -> list[int]:
        own = source.sizes()
        return [own[file] for file in files.tolist()]

    def tell() -> Labels:
        own = source.labels
        return None if own is None else [own[file] for file in files.tolist()]

    made = _Pages(source.name, keys, sizes, _reader(source, files, places, counts), source.ignored, None, tell)
    made.contents = _contents(source.contents, files, places)
    made.source, made.files = source, files
    made.notes, made.passed = source.notes, source.passed
    stacks = int((counts > 1).sum())
    made.note(f"pages are samples: {len(keys):,}, of {len(source):,} files of which {stacks:,} have several")
    return made


class _Pages(Encoded):
    """Pages, beside each of which stands what stands beside its file."""

    source: Encoded
    files: Rows  # (N,), of each page

    def lacking(self) -> str:
        return self.source.lacking()

    def beside(self) -> Beside:
        return {name: partial(self._column, read) for name, read in self.source.beside().items()}

    def _column(self, read: Callable[[], Sequence[str]]) -> list[str]:
        own = read()
        return [own[file] for file in self.files.tolist()]


def _counted(source: Encoded, progress: Progress) -> Iterator[int]:
    """How many pages each file has; one of a file that is broken, which says so when it is decoded."""

    def count(row: int) -> int:
        found: Any = attempt(lambda: pages_in(source.read(row)))
        return found if isinstance(found, int) else 1

    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="pages") as pool:
        for start in range(0, len(source), AHEAD):
            yield from pool.map(count, range(start, min(start + AHEAD, len(source))))
            progress(min(start + AHEAD, len(source)), len(source))


def _reader(source: Encoded, files: Rows, places: Rows, counts: Rows) -> Any:
    held = RowGroups()  # files that were read last: pages are asked for nearly in order

    def read(row: int) -> Stored:
        file = int(files[row])
        if counts[file] == 1:
            return source.read(file)
        data = held(Path(), file, source.read)
        return Page(data, int(places[row])) if isinstance(data, bytes) else data

    return read


def _contents(contents: Contents, files: Rows, places: Rows) -> Contents:
    """Known by the stamps of the files, in which the number of the page follows the place inside."""
    told = contents.stamps
    if told is None or places.max() >= MOST:  # of which two might have one stamp
        return Contents(len(files))

    def stamps() -> Stamps:
        own = told()[files]
        own[:, -1] = own[:, -1] * MOST + places
        return own

    return Contents(len(files), f"{contents.name}#page", stamps)
