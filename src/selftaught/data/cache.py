"""The folder that decoded images are kept in, shared between runs: what is in it, and how it stays small."""

import contextlib
import re
import shutil
from collections.abc import Callable, Iterable
from os import stat_result
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from selftaught.data.sources.encoded import EXTRA, may_pass
from selftaught.data.sources.source import digest
from selftaught.system import clock
from selftaught.system.files import TEMPORARY, left_behind, write_json
from selftaught.system.reading import json_in
from selftaught.system.saying import say
from selftaught.system.text import filesize

CACHE = 100 << 30  # bytes of the cache folder, where the disk has twice as much left
ABANDONED = 24 * 3600  # seconds after which a half-built cache file has no builder any more
NOTES, NOTES_EACH = 1 << 20, 1 << 11  # bytes of facts, and of those of each image: a reason, what is not used
ENTRY = re.compile(r"[0-9a-f]{32}\.npy")  # no other file of the folder is ours


class Facts(BaseModel):
    """What is known of decoded images beside their pixels; a checksum tells what was written from what is damaged."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    kept: list[int]  # rows that are whole
    aspect: list[Annotated[float, Field(gt=0)]] = []  # of each that is kept, as are the checksums of their pixels
    sums: list[int] = []
    quarantined: list[tuple[int, str]]  # the other rows, with the reason
    noted: dict[int, list[str]] = {}  # of rows, what of their files is not used
    seal: str = ""

    def write(self, file: Path) -> None:
        """Write as JSON."""
        write_json(file, self.model_copy(update={"seal": self._seal()}).model_dump(mode="json"))

    @classmethod
    def read(cls, file: Path, count: int) -> Self | None:
        """The facts in a file; None where there are none, or, which is said, none of so many images."""
        facts = None
        try:
            facts = cls.model_validate(json_in(file, limit=NOTES + NOTES_EACH * count))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            pass
        if facts is None or facts.seal != facts._seal() or not facts._are_of(count):
            say(f"warning: {file} is damaged, and is made anew")
            with contextlib.suppress(OSError):
                file.unlink()
            return None
        return facts

    def as_now(self, read: Callable[[int], object]) -> Self | None:
        """With the reasons of today; None where an image is whole by now, as its extra has come, or its disk back.

        read: gives an image by its row, or as text the reason why there is none.
        """
        lacking, quarantined = set[str](), list[tuple[int, str]]()
        for row, reason in self.quarantined:
            found = read(row) if may_pass(reason) and reason not in lacking else reason
            if not isinstance(found, str):
                return None
            if found == reason and re.search(EXTRA, reason):
                lacking.add(reason)  # and so do all others that say so
            quarantined.append((row, found))
        return self.model_copy(update={"quarantined": quarantined})

    def _are_of(self, count: int) -> bool:
        """Whether they account for so many images, each of them once, those that are kept in order."""
        rows = sorted([*self.kept, *(row for row, _ in self.quarantined)])
        return rows == list(range(count)) and self.kept == sorted(self.kept)

    def _seal(self) -> str:
        return digest(self.model_dump_json(exclude={"seal"}))


def _stats(files: Iterable[Path]) -> dict[Path, stat_result]:
    """Size and time of last use of each file that is still there; other jobs evict and build here, too."""
    known = {}
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            known[file] = file.stat()
    return known


def _half_built(folder: Path) -> set[Path]:
    """Temporary files of entries whose builder has ended, or that nobody has written to for a day."""
    named = ((path, TEMPORARY.fullmatch(path.name)) for path in folder.glob(".*~*~*"))
    temporaries = _stats(path for path, match in named if match and ENTRY.fullmatch(match["of"]))
    ended = set(left_behind(folder))
    return {path for path, s in temporaries.items() if path in ended or clock.wall() - s.st_mtime > ABANDONED}


def make_room(folder: Path, needed: int, budget: int | None) -> str | None:
    """Evict what was used longest ago until `needed` bytes fit; the problem where they cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    for abandoned in _half_built(folder):
        abandoned.unlink(missing_ok=True)
    entries = _stats(path for path in folder.glob("*.npy") if ENTRY.fullmatch(path.name))
    free = shutil.disk_usage(folder).free
    held = sum(entry.st_size for entry in entries.values())
    allowed = min(CACHE, held + free // 2) if budget is None else min(budget, held + free)
    if needed > allowed:
        return f"are more than the {filesize(allowed)} that the cache in {folder} may take (--cache)"
    for entry in sorted(entries, key=lambda entry: entries[entry].st_mtime):
        if held + needed <= allowed:
            break
        held -= entries[entry].st_size
        entry.unlink(missing_ok=True)
        entry.with_suffix(".json").unlink(missing_ok=True)
    return None
