"""Writing files so that a reader, or a crash, never meets half of one; reading those of others without trust."""

import errno
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from selftaught.system.lock import is_alone_in, is_gone, is_others, signature
from selftaught.system.regular import TO_THE_END, bounded, opened
from selftaught.system.regular import created as created
from selftaught.system.regular import regular_bytes as regular_bytes
from selftaught.system.saying import say
from selftaught.system.text import printable

TEMPORARY = re.compile(r"\.(?P<of>.+)~(?P<writer>.+)~\d+(\.\w+)?", re.DOTALL)
LARGEST_SETTINGS = 1 << 20  # bytes of a YAML file; a recipe has a few thousand
LARGEST_OBJECT = 64 << 20  # bytes of a JSON file; what is judged of 100 classes has one or two millions
MOST_NODES = 100_000  # values of a YAML file, once everything that is named twice is written out twice

_numbers = count()


def write_atomically(file: Path, content: str | bytes) -> None:
    """Replace `file` as a whole: a temporary neighbour, flushed to the disk, then renamed."""
    write_together(file.parent, {file.name: content})


def write_together(folder: Path, contents: Mapping[str, str | bytes]) -> None:
    """Replace several files of a folder: none is touched before all are on the disk, each is replaced as a whole."""
    temporaries = {name: temporary_for(folder / name) for name in contents}
    try:
        for name, content in contents.items():
            with created(temporaries[name]) as stream:
                stream.write(content.encode() if isinstance(content, str) else content)
                stream.flush()
                os.fsync(stream.fileno())
        for name, temporary in temporaries.items():
            temporary.replace(folder / name)
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
    flush_folder(folder)


def write_json(file: Path, value: Any) -> None:
    """Write readable JSON atomically; numbers that JSON does not know are refused."""
    write_atomically(file, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def temporary_for(file: Path) -> Path:
    """A hidden neighbour to write `file` as, signed by this process; the suffix stays, as some writers add theirs."""
    return file.with_name(f".{file.name}~{signature()}~{next(_numbers)}{file.suffix.lower()}")


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A temporary neighbour to write, in a folder that is made; after work that ends well it replaces `file`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_for(file)
    try:
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
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def append_line(file: Path, line: str) -> None:
    """Add a line at the end of `file`, all of it or, where the disk is full, nothing."""
    whole = line.encode() + b"\n"
    with os.fdopen(opened(file, TO_THE_END), "ab", 0) as stream:
        before = stream.seek(0, os.SEEK_END)
        try:
            if stream.write(whole) != len(whole):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
        except OSError:
            stream.truncate(before)
            raise


def json_lines(file: Path, last: int | None = None) -> list[dict[str, Any]]:
    """Every whole line of a file of JSON lines, or of its `last` bytes.

    A crash may have cut the last line, or left zeros in its place.
    """
    try:
        with os.fdopen(opened(file, os.O_RDONLY), "rb") as stream:
            skipped = 0 if last is None else max(0, stream.seek(0, os.SEEK_END) - last)
            stream.seek(skipped)
            lines = stream.read().splitlines(keepends=True)[1 if skipped else 0 :]
    except OSError:
        return []
    values = []
    for line in lines:
        with suppress(ValueError, RecursionError):
            values.append(json.loads(line) if line.endswith(b"\n") else None)
    return [value for value in values if isinstance(value, dict)]


@contextmanager
def spared(what: str) -> Iterator[None]:
    """Say so and go on where `what` cannot be written: a full disk should not end the work that fills it."""
    try:
        yield
    except OSError as error:
        say(f"warning: {what} could not be written: {printable(error)}")


def read_yaml(file: Path, named: bool = False) -> dict[str, Any]:
    """The settings in a YAML file: no objects, nothing that grows beyond measure. Raises ValueError, OSError.

    named: whether the user has named it, who may well name a link or a pipe.
    """
    with file.open("rb") if named else os.fdopen(opened(file, os.O_RDONLY), "rb") as stream:
        text = bounded(stream, LARGEST_SETTINGS).decode()
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None and _nodes(node, {}, ()) > MOST_NODES:
            raise ValueError("it grows beyond measure where its aliases are written out")
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError("it must hold settings, such as method: simclr, one a line")
    return {str(name): value for name, value in values.items()}


def _nodes(node: yaml.Node, known: dict[int, int], above: tuple[int, ...]) -> int:
    """How many values a node stands for, aliases written out; one that holds itself has no end."""
    if id(node) in above:
        raise ValueError("it holds itself")
    if id(node) not in known:
        inside = node.value if isinstance(node, yaml.SequenceNode | yaml.MappingNode) else []
        parts = [part for item in inside for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_nodes(part, known, (*above, id(node))) for part in parts)
    return known[id(node)]


def cache_folder() -> Path:
    """Where decoded images and timed choices are kept: $SELFTAUGHT_CACHE, or the user's cache folder."""
    return Path(os.environ.get("SELFTAUGHT_CACHE", Path.home() / ".cache" / "selftaught"))


def json_object(file: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no file. Raises ValueError or OSError where it cannot be read."""
    try:
        held = json.loads(regular_bytes(file, LARGEST_OBJECT))
    except FileNotFoundError:
        return {}
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(held, dict):
        raise ValueError("it holds no object")
    return held
