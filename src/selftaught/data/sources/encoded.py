"""Samples that are read one at a time: encoded, or what somebody's object gives for a number."""

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image
from pydantic import BaseModel, ConfigDict

from selftaught.data.sources.contents import Contents, Digests, Rows
from selftaught.data.sources.source import Progress, Source, digest
from selftaught.system.errors import Interrupted

AHEAD = 256  # samples handed to the reading threads at once
UNREAD = "cannot be read"  # how the reason begins why a sample is broken that its source does not give
EXTRA = r"pip install '[^']*'"  # in the reason why a sample cannot be decoded
PASSING = re.compile(rf"{UNREAD}|.*({EXTRA}|\[Errno |MemoryError)", re.DOTALL)

Sizes = Callable[[], Sequence[int]]  # of the samples, in bytes
Ignored = Sequence[tuple[str, str]]  # what was passed over, and why
Labels = list[str] | None


@dataclass(frozen=True)
class Page:
    """One page of a file that has several, each of which is a sample."""

    data: bytes
    number: int


# Bytes of a file, or a page of it, or pixels (H, W, C), or a picture that is open already.
Stored = bytes | Page | NDArray | Image


class Passed(BaseModel):
    """What was passed over of one kind, of which there may be too many for a list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str
    ending: str  # of their names; "" where it tells nothing
    count: int
    example: str  # one of them


def parts_of(sample: Stored) -> tuple[bytes | memoryview, ...]:
    """What the digest of a sample is of: its bytes, and of pixels their shape and type as well."""
    if isinstance(sample, bytes):
        return (sample,)
    if isinstance(sample, Page):
        return sample.data, f"page {sample.number}".encode()
    if isinstance(sample, Image):
        palette, turned = bytes(sample.getpalette() or ()), sample.info.get("exif", b"")
        return f"{sample.mode}{sample.size}".encode(), sample.tobytes(), palette, bytes(turned)
    pixels = np.ascontiguousarray(sample)
    return f"{pixels.shape}{pixels.dtype}".encode(), pixels.view(np.uint8).data


def may_pass(reason: str) -> bool:
    """Whether the reason why a sample is broken may lie with this machine as it was then, and not with the sample."""
    return PASSING.match(reason) is not None


class Encoded(Source):
    """Samples that `read` gives by their number, from several threads at once."""

    contents: Contents
    passed: Sequence[Passed] = ()  # over, beside what is `ignored`

    def __init__(
        self,
        name: str,
        keys: Sequence[str],
        sizes: Sizes,
        read: Callable[[int], Stored],
        ignored: Ignored = (),
        contents: Contents | None = None,
        tell: Callable[[], Labels] = lambda: None,
    ) -> None:
        """tell: the labels of all samples, which are read only where somebody asks for them."""
        self.name, self.keys, self.sizes, self.read, self.ignored = name, keys, sizes, read, ignored
        self.contents = contents or Contents(len(keys))
        self._tell: Callable[[], Labels] | None = tell
        self._labels: Labels = None

    @property
    def labels(self) -> Labels:
        """Of all samples, "" for none; None where there are none at all."""
        if self._tell:
            tell, self._tell = self._tell, None
            self._labels = tell()
        return self._labels

    @labels.setter
    def labels(self, told: Labels) -> None:
        self._labels, self._tell = told, None

    def fingerprint(self) -> str:
        rows = zip(self.keys, self.sizes())  # encoded all at once: there may be millions
        return digest(os.fsencode("".join(f"{key}\0{size}\n" for key, size in rows)))

    def fetch(self, row: int) -> Stored:
        """A sample, whose digest is known from then on."""
        sample = self.read(row)
        self.contents.note(row, *parts_of(sample))
        return sample

    def digests(self, rows: Rows, progress: Progress = lambda done, total: None) -> Digests:
        self.contents.recall()
        unknown = rows[~self.contents.known[rows]]
        with ThreadPoolExecutor(thread_name_prefix="read") as pool:
            for start in range(0, len(unknown), AHEAD):
                for done, _ in enumerate(pool.map(self._try, unknown[start : start + AHEAD].tolist()), start + 1):
                    progress(done, len(unknown))
        return self.contents.digests[rows]

    def _try(self, row: int) -> None:
        try:
            self.fetch(row)
        except Interrupted:  # which is no fault of the sample
            raise
        except Exception:  # of many kinds; said when it is decoded
            pass
