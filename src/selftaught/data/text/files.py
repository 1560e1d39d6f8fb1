"""Which names are those of texts, and what is read by each: folders and archives of .txt, lines, and tables."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

from selftaught.data import opening
from selftaught.data.sources import handed
from selftaught.data.sources.archives import tar_members, zip_members
from selftaught.data.sources.arrays import labels_of
from selftaught.data.sources.encoded import UNREAD, Ignored
from selftaught.data.sources.files import ARCHIVES, folders_of, outside_folders
from selftaught.data.sources.folder import NO_IMAGE, passed_over, read_regular, walk
from selftaught.data.sources.labels import NO_LABEL, known_labels
from selftaught.data.sources.source import is_folder, no_data, reading
from selftaught.data.text.columns import JSONL, LARGEST, TABLES, fault_of, open_columns
from selftaught.data.text.texts import MARK, Text, Texts
from selftaught.system.errors import DataError, SelftaughtError, UsageError
from selftaught.system.ownership import refuse_as_data
from selftaught.system.reading import text_of, utf8_of
from selftaught.system.regular import regular_bytes
from selftaught.system.text import printable

TXT = (".txt",)
NO_TEXT = "not named like a text"


def recognises(data: Any) -> bool:
    """Whether this names texts: by its mark, or as a file of JSON lines."""
    if not isinstance(data, str):
        return False
    if data.startswith(handed.MARK):
        return handed.is_a(data, "text")
    return data.startswith(MARK) or (data.lower().endswith(JSONL) and Path(data).is_file())


def open_texts(
    data: str | Path,
    label_column: str | None = None,
    column: str | None = None,
    taken: str | None = None,
    label: str | None = None,
) -> Texts:
    """The texts that DATA names.

    label_column: of a table, the column of labels, or "none"; column: that of texts; taken: the one that an encoder
    has learnt from, and label: the one that was named as the label then, which are meant where a table has them and
    nobody says otherwise. Raises DataError and UsageError.
    """
    if str(data).startswith(handed.MARK):
        return _from_python(handed.held(str(data)), label_column, column)
    path = Path(str(data).removeprefix(MARK))
    shown = printable(str(path))
    if path.name.lower().endswith(TABLES) and path.is_file():
        return open_columns(path, label_column, column, taken, label)
    _refuse_columns(shown, label_column, column)
    if is_folder(path):
        return open_folder(path)
    if path.is_file() and path.name.lower().endswith(TXT):
        return open_lines(path)
    for place in (path, *path.parents):
        if place.is_file() and place.name.lower().endswith(ARCHIVES):
            return open_archive(place, "" if place == path else path.relative_to(place).as_posix() + "/")
    if not path.is_file():
        raise no_data(path)
    endings = ", ".join([*TXT, *TABLES, *ARCHIVES])
    raise DataError(f"{shown} is neither a folder nor a file of these, which texts lie in: {endings}")


def _refuse_columns(shown: str, label_column: str | None, column: str | None) -> None:
    for flag, named in (("label-column", label_column), ("column", column)):
        if named not in (None, NO_LABEL):
            raise UsageError(f"--{flag} {printable(str(named))}: {shown} has no columns with names")


def _from_python(given: handed.Handed, label_column: str | None, column: str | None) -> Texts:
    """Texts that somebody holds, with their labels where these came beside them."""
    _refuse_columns(given.name, label_column, column)
    texts, keys, notes = given.data.texts, given.data.keys, list[str]()
    labels: Iterable[str | None] = repeat(None)
    if given.labels is not None:
        labels = known_labels(labels_of(given.labels, len(texts), given.name), given.name, notes.append)
    faults = map(fault_of, texts)
    return Texts.of(given.name, (Text(*one) for one in zip(keys, texts, labels, faults)), notes=notes)


def open_folder(path: Path) -> Texts:
    """A text a file; folders are labels where all lie in one."""
    refuse_as_data(path)
    keys, ignored = walk(os.fspath(path), TXT)
    return _of_files(path.resolve().name, keys, lambda key: read_regular(path / key), ignored, str(path))


def open_archive(path: Path, place: str = "") -> Texts:
    """Members of a zip or tar below `place`, read in place."""
    with reading(str(path), " as an archive"):
        members, unusable, read = zip_members(path) if path.suffix.lower() == ".zip" else tar_members(path)
    names = [name for name, _, _ in members if name.startswith(place)]
    faults = [(name, fault) for name in names if (fault := passed_over(name, TXT))]
    keys = [name.removeprefix(place) for name in names if not passed_over(name, TXT)]
    name = path.name.split(".")[0] + (f"-{place.strip('/').replace('/', '-')}" if place else "")
    return _of_files(name, keys, lambda key: read(place + key), [*unusable, *faults], str(path / place))


def open_lines(path: Path) -> Texts:
    """A text a line."""
    with reading(path.name, " as text"):
        lines = utf8_of(regular_bytes(path, LARGEST, links=True)).splitlines()
    given = (_decoded(f"line {number}", line) for number, line in enumerate(lines, 1) if line.strip())
    return Texts.of(path.stem, given, notes=[f"each line of {printable(path.name)} is a text"])


class _Files(Texts):
    """Texts in files, whose folders are their labels where all lie in one."""

    def lacking(self) -> str:
        return outside_folders(self.keys)


def _of_files(name: str, keys: list[str], read: Callable[[str], bytes], ignored: Ignored, shown: str) -> Texts:
    others = [(key, NO_TEXT if reason == NO_IMAGE else reason) for key, reason in ignored]
    if not keys:
        raise DataError(f"{printable(shown)} holds no texts: files of .txt")
    return _Files.of(name, _read(keys, read, folders_of(keys) or repeat(None)), ignored=others)


def _read(keys: Sequence[str], read: Callable[[str], bytes], labels: Iterable[str | None]) -> Iterator[Text]:
    for key, label in zip(keys, labels):
        try:
            yield _decoded(key, read(key))._replace(label=label)
        except SelftaughtError:  # which is no fault of this text alone
            raise
        except Exception as error:  # unreadable, vanished, or a damaged member of an archive: of many kinds
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            yield Text(key, "", fault=f"{UNREAD}: {printable(reason)}")


def _decoded(key: str, data: bytes) -> Text:
    try:
        return Text(key, text_of(data))
    except UnicodeDecodeError as error:
        return Text(key, "", fault=f"is no text in {_called(error)}: byte {data[error.start]:#04x} at {error.start:,}")


def _called(error: UnicodeDecodeError) -> str:
    return "UTF-16" if error.encoding.startswith("utf-16") else "UTF-8"


def labels_by_key(labelled: str) -> dict[str, str]:
    """Labels of texts by their keys, from labelled texts or a CSV of path,label. Raises DataError."""
    if recognises(labelled):
        return opening.labels_in(open_texts(labelled), labelled)
    return opening.labels_by_key(open_texts, labelled)
