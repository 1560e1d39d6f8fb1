"""The one door for files that say something in text: JSON, JSON lines, YAML and CSV, none of which is trusted.

What anybody may have written is read to a bound of bytes, parsed, and held to a schema (anything that pydantic knows as
a type) before it is used. All raise ValueError, in one line, where a file is not what it should be, and OSError where
it cannot be read. Arrays and weights have a door of their own in `arrays.py`.
"""

import codecs
import csv
import io
import json
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from selftaught.system import bombs
from selftaught.system.components import place_and_problem, short
from selftaught.system.regular import bounded, opened, regular_bytes
from selftaught.system.saying import say

LARGEST_SETTINGS = 1 << 20  # bytes of a YAML file; a recipe has a few thousand
LARGEST_OBJECT = 64 << 20  # bytes of a JSON file; what is judged of 100 classes has one or two millions
LARGEST_LINES = 256 << 20  # bytes of JSON lines, of which the last are read; a run of a year has less
MOST_NODES = 100_000  # values of a YAML file, once everything that is named twice is written out twice
MERGE = "tag:yaml.org,2002:merge"  # of <<, which brings in what another has
GROWS = 16  # times that cells of text take of memory what they take in a file

SIXTEEN = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # by which a text in UTF-16 begins

Plain = dict[str, Any]


def json_in(file: Path, schema: Any = Plain, limit: int = LARGEST_OBJECT, links: bool = False) -> Any:
    """What a JSON file holds, as it is written there; the schema allows it.

    links: whether one may lead to the file, as where the user has named its folder.
    """
    return _fitting(parsed(regular_bytes(file, limit, links)), schema)


def json_object(file: Path, schema: Any = Plain) -> Plain:
    """The object in a JSON file; empty where there is no file."""
    try:
        return json_in(file, schema)
    except FileNotFoundError:
        return {}


def json_lines(file: Path, schema: Any = Plain, last: int = LARGEST_LINES) -> tuple[list[Plain], int]:
    """Every line of the `last` bytes of a file that the schema allows, and how many whole lines it does not.

    A crash may have cut the last line, or left zeros in its place: that one is not counted. No file has no lines.
    """
    try:
        lines = _last_lines(file, last)
    except OSError:
        return [], 0
    held = [value for line in lines if (value := json_line(line, schema)) is not None]
    whole = lines[:-1] if lines and lines[-1].strip(b"\0\n") == b"" else lines
    return held, len(whole) - len(held)


def json_lines_aloud(file: Path, schema: Any, shown: str) -> list[Plain]:
    """The same lines; of those that are left out it is said how many there were, and of which file."""
    lines, lost = json_lines(file, schema)
    say_lost(lost, lost + len(lines), shown)
    return lines


def say_lost(lost: int, count: int, shown: str) -> None:
    """Say how many of so many lines of a file are left out, if any."""
    if lost:
        say(f"warning: {lost:,} of {count:,} lines of {shown} cannot be read, and are left out")


def json_line(line: bytes, schema: Any = Plain) -> Plain | None:
    """What a line holds; None where the schema does not allow it, or it is cut."""
    with suppress(ValueError):
        held: Plain = _fitting(parsed(line), schema)
        return held
    return None


def _last_lines(file: Path, last: int) -> list[bytes]:
    """The whole lines in the last bytes of a file."""
    with os.fdopen(opened(file, os.O_RDONLY), "rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        skipped = max(0, end - last)
        stream.seek(skipped)
        lines = stream.read(end - skipped).splitlines(keepends=True)[1 if skipped else 0 :]
    return [line for line in lines if line.endswith(b"\n")]


def parsed(content: bytes) -> Any:
    """What JSON says. Raises ValueError, also where it is nested more deeply than can be read."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _fitting(value: Any, schema: Any) -> Any:
    try:
        _adapter(schema).validate_python(value)
    except ValidationError as error:
        raise ValueError(place_and_problem(error)) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


@cache
def _adapter(schema: Any) -> TypeAdapter[Any]:
    return TypeAdapter(schema)


def yaml_in(file: Path, named: bool = False) -> Plain:
    """The settings in a YAML file: no objects, nothing that grows beyond measure.

    named: whether the user has named it, who may well name a link or a pipe.
    """
    with file.open("rb") if named else os.fdopen(opened(file, os.O_RDONLY), "rb") as stream:
        text = text_of(bounded(stream, LARGEST_SETTINGS))
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
        if isinstance(node, yaml.MappingNode):
            _refuse_twice(node)
        inside = node.value if isinstance(node, yaml.SequenceNode | yaml.MappingNode) else []
        parts = [part for item in inside for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_nodes(part, known, (*above, id(node))) for part in parts)
    return known[id(node)]


def _refuse_twice(node: yaml.MappingNode) -> None:
    """Raise ValueError where a name is said twice, of which YAML would take the last in silence."""
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        # Several << bring in several others, of which none is lost.
        if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
            line, name = key.start_mark.line + 1, (key.tag, key.value)
            if name in lines:
                raise ValueError(f"it says {short(key.value)} twice, in lines {lines[name]} and {line}: keep one")
            lines[name] = line


def text_in(file: Path, errors: str = "strict") -> str:
    """A file of cells that the user has named, such as a CSV, as text; `errors` is what bytes that are none become."""
    size = max(file.stat().st_size, bombs.HARMLESS // GROWS)  # of a pipe nothing is known
    bombs.refuse_bomb(GROWS * size, size, "its cells")
    with file.open("rb") as stream:
        return text_of(bounded(stream, size), errors)


def head_in(file: Path, most: int) -> str:
    """The text in the first bytes of such a file, at most so many of them. Raises ValueError where they are none."""
    with file.open("rb") as stream:
        data = stream.read(most)
    return codecs.getincrementaldecoder(_coding(data))("surrogateescape").decode(data)  # the last letter may be cut


def text_of(data: bytes, errors: str = "strict") -> str:
    """Bytes as text: in UTF-8, or in UTF-16 where their first ones say so."""
    return data.decode(_coding(data), errors)


def utf8_of(data: bytes) -> bytes:
    """The same text in UTF-8, for who parts it into lines that may be damaged one by one."""
    return text_of(data).encode() if data.startswith(SIXTEEN) else data.removeprefix(codecs.BOM_UTF8)


def _coding(data: bytes) -> str:
    return "utf-16" if data.startswith(SIXTEEN) else "utf-8-sig"


def csv_in(file: Path) -> list[list[str]]:
    """The cells of a CSV of ours, line by line."""
    text = regular_bytes(file, LARGEST_OBJECT).decode()
    try:
        return list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise ValueError(str(error)) from None
