"""JSON lines that are cut back: however many there are, one of them is in memory at a time."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from selftaught.system.files import created, replacing
from selftaught.system.reading import LARGEST_OBJECT, json_line, say_lost
from selftaught.system.regular import opened


def keep_lines(file: Path, schema: Any, keeps: Callable[[dict[str, Any]], bool]) -> None:
    """Leave those lines of a file that `keeps` wants, as they are written there; the file is replaced as a whole.

    Lines that the schema does not allow go, too, and it is said how many; one that a crash has cut is not counted.
    """
    count = lost = 0
    with os.fdopen(opened(file, os.O_RDONLY), "rb") as held, replacing(file) as new, created(new) as kept:
        for line in iter(partial(held.readline, LARGEST_OBJECT), b""):
            if not line.endswith(b"\n") or not line.strip(b"\0\n"):
                continue
            count += 1
            value = json_line(line, schema)
            lost += value is None
            if value is not None and keeps(value):
                kept.write(line)
        kept.flush()
        os.fsync(kept.fileno())
    say_lost(lost, count, file.name)
