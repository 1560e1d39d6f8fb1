"""Writing files so that a reader, or a crash, never meets half of one."""

import json
import os
from pathlib import Path
from typing import Any


def write_atomically(file: Path, content: str | bytes) -> None:
    """Replace `file` as a whole: a temporary neighbour, flushed to the disk, then renamed."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as stream:
        stream.write(content.encode() if isinstance(content, str) else content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)
    flush_folder(file.parent)


def write_json(file: Path, value: Any) -> None:
    """Write readable JSON atomically; numbers that JSON does not know are refused."""
    write_atomically(file, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def flush_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cache_folder() -> Path:
    """Where decoded images and measured choices are kept: $SELFTAUGHT_CACHE, or the user's cache folder."""
    return Path(os.environ.get("SELFTAUGHT_CACHE", Path.home() / ".cache" / "selftaught"))
