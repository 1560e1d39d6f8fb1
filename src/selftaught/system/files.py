"""Writing files so that a reader, or a crash, never meets half of one."""

import errno
import json
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from selftaught.system.errors import is_of_the_disk
from selftaught.system.lock import is_alone_in, is_gone, is_others, signature
from selftaught.system.regular import TO_THE_END, opened
from selftaught.system.regular import created as created
from selftaught.system.saying import say
from selftaught.system.text import printable

TEMPORARY = re.compile(r"\.(?P<of>.+)~(?P<writer>.+)~\d+(\.\w+)?", re.DOTALL)

_numbers = count()


def write_atomically(file: Path, content: str | bytes) -> None:
    """Replace `file` as a whole: a temporary neighbour, flushed to the disk, then renamed."""
    write_together(file.parent, {file.name: content})


def write_together(folder: Path, contents: Mapping[str, str | bytes]) -> None:
    """Replace several files of a folder: none is touched before all are on the disk, each is replaced as a whole.

    Bytes of names that are no UTF-8 become escapes such as \\udcb9, of which JSON makes the same names again.
    """
    temporaries = {name: temporary_for(folder / name) for name in contents}
    try:
        for name, content in contents.items():
            with naming(folder / name), created(temporaries[name]) as stream:
                stream.write(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)
                stream.flush()
                os.fsync(stream.fileno())
        for name, temporary in temporaries.items():
            with naming(folder / name):
                temporary.replace(folder / name)
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
    flush_folder(folder)


def write_json(file: Path, value: Any) -> None:
    """Write readable JSON atomically; numbers that JSON does not know are refused."""
    write_atomically(file, as_json(value))


def as_json(value: Any) -> str:
    """Readable JSON, as `write_json` writes it."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def temporary_for(file: Path) -> Path:
    """A hidden neighbour to write `file` as, signed by this process; the suffix stays, as some writers add theirs."""
    return file.with_name(f".{file.name}~{signature()}~{next(_numbers)}{file.suffix.lower()}")


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Have an error of what is written for `file` name that one: not its temporary neighbour, nor none at all."""
    try:
        yield
    except OSError as error:
        own = TEMPORARY.fullmatch(Path(os.fsdecode(error.filename)).name) if error.filename else is_of_the_disk(error)
        if own:
            error.filename = str(file)
            del error.filename2  # of a rename; None would be shown
        raise


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A temporary neighbour to write, in a folder that is made; after work that ends well it replaces `file`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_for(file)
    try:
        with naming(file):
            yield temporary
            temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def left_behind(folder: Path, shared: Collection[str] = ()) -> list[Path]:
    """What processes that have ended were still writing in `folder` under temporary names.

    Of other hosts' that is known where this process alone may write there; but for what is `shared`, which is written
    by those as well who do not hold the folder's lock.
    """
    named = ((path, TEMPORARY.fullmatch(path.name)) for path in folder.glob(".*~*~*"))
    others = is_others if is_alone_in(folder) else lambda signed: False
    return [
        path
        for path, match in named
        if match and (is_gone(match["writer"]) or (match["of"] not in shared and others(match["writer"])))
    ]


def folder_of(key: str) -> str:
    """The name of the folder a sample lies in, which often is its class."""
    return key.rpartition("/")[0].rpartition("/")[2]


def flush_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    if sys.platform == "win32":  # where no folder can be opened so, and the file system has a journal of names
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def append_line(file: Path, line: str | bytes, flush: bool = False) -> None:
    """Add a line at the end of `file`, all of it or, where the disk is full, nothing; flush: not before it is there."""
    whole = (line.encode() if isinstance(line, str) else line) + b"\n"
    with naming(file), os.fdopen(opened(file, TO_THE_END), "ab", 0) as stream:
        before = stream.seek(0, os.SEEK_END)
        try:
            if stream.write(whole) != len(whole):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
            if flush:
                os.fsync(stream.fileno())
        except OSError:
            stream.truncate(before)
            raise


@contextmanager
def spared(what: str) -> Iterator[None]:
    """Say so and go on where `what` cannot be written: a full disk should not end the work that fills it."""
    try:
        yield
    except OSError as error:
        say(f"warning: {what} could not be written: {printable(error)}")


def cache_folder() -> Path:
    """Where decoded images and timed choices are kept: $SELFTAUGHT_CACHE, or the user's cache folder."""
    return Path(os.environ.get("SELFTAUGHT_CACHE", Path.home() / ".cache" / "selftaught"))
