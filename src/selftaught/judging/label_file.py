"""A CSV of path,label that grows by a stroke of answers at a time: each is on the disk before the next question."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from selftaught.data.sources.cells import PARTING, read_cells, says_anything
from selftaught.data.sources.labels import labels_for, labels_in_file
from selftaught.system.errors import DataError, UsageError
from selftaught.system.files import append_line, flush_folder
from selftaught.system.reading import SIXTEEN
from selftaught.system.text import printable

HEADER = ("path", "label")
WAY = "name another --out, and this one by --labelled"


class LabelFile:
    """The file. Who changes it meanwhile is not written over: what comes then is refused."""

    def __init__(self, file: Path) -> None:
        """A name, or what is there already. Raises UsageError for what is no such file, DataError for other columns."""
        self.file, self.shown = file, printable(file)
        self._lengths: list[int] = []  # of the file before each stroke, in bytes
        self._state = (0, 0, 0)
        if file.suffix.lower() != ".csv":
            raise UsageError(f"--out {self.shown} must end in .csv")
        if file.is_dir():
            raise UsageError(f"--out {self.shown} is a folder; name a file in it")
        if file.exists():
            self._refuse_others()

    def begin(self) -> None:
        """Make the file where there is none, and note how it is."""
        if not self.file.exists():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            append_line(self.file, _line(HEADER), flush=True)
            flush_folder(self.file.parent)
        self._state = self._seen()

    def labels(self, keys: Sequence[str], things: str) -> list[str]:
        """The label of each key, "" for none yet. Raises DataError where the file names others."""
        return labels_for(self.file, keys, things, as_written=True) if self._has_any() else [""] * len(keys)

    def held(self) -> list[str]:
        """The labels that are there, of whatever samples. Raises DataError."""
        return [label for label in labels_in_file(self.file).values() if label] if self._has_any() else []

    def add(self, answers: Sequence[tuple[str, str]]) -> None:
        """One stroke: the label of each of these keys. Raises DataError where the file is another by now."""
        self._refuse_changed()
        length = self._state[0]
        lines = b"\n".join(map(_line, answers))
        with self.file.open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            ended = stream.read() == b"\n"
        if not ended:  # as some editors leave the last line
            lines = b"\n" + lines
        append_line(self.file, lines, flush=True)
        self._lengths.append(length)
        self._state = self._seen()

    def take_back(self) -> None:
        """Undo the last stroke of this sitting. Raises DataError where the file is another by now."""
        self._refuse_changed()
        with self.file.open("r+b") as stream:
            stream.truncate(self._lengths.pop())
            os.fsync(stream.fileno())
        self._state = self._seen()

    def _has_any(self) -> bool:
        """Whether there is a line besides that of the names of columns."""
        return self.file.exists() and sum(map(says_anything, read_cells(self.file, names=True).lines)) > 1

    def _seen(self) -> tuple[int, int, int]:
        status = self.file.stat()
        return status.st_size, status.st_mtime_ns, status.st_ino

    def _refuse_changed(self) -> None:
        try:
            same = self._seen() == self._state
        except FileNotFoundError:
            raise DataError(f"{self.shown} is no longer there; this answer is not kept") from None
        if not same:
            raise DataError(f"{self.shown} was changed by somebody else, and is left so; start `label` again")

    def _refuse_others(self) -> None:
        with self.file.open("rb") as stream:
            if stream.read(2) in SIXTEEN:
                raise DataError(f"{self.shown} is text in UTF-16, to which answers cannot be added: save it as UTF-8")
        lines, parting = read_cells(self.file, names=True)
        first = next(filter(says_anything, lines), [])
        if tuple(cell.strip().lower() for cell in first) != HEADER:
            begins = ",".join(map(printable, first[:10])) or "nothing"
            raise DataError(f"{self.shown} begins with {begins}, and not with path,label as --out does: {WAY}")
        if len(first) > 1 and parting != ",":
            raise DataError(f"{self.shown} has {PARTING[parting]} between its cells, and answers have commas: {WAY}")


def _line(cells: Sequence[str]) -> bytes:
    """A line of a CSV, without its end; names are those of the disk, byte by byte."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    return buffer.getvalue().encode("utf-8", "surrogateescape")
