"""Labels: what is none, by what columns they are known, and which samples a CSV of path,label gives them to."""

import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, NamedTuple

from selftaught.data.sources.cells import NO_VALUE, nothing_in, read_cells, says_anything
from selftaught.data.sources.folder import SUFFIXES
from selftaught.data.sources.numbers import column_of
from selftaught.data.sources.parts import whole_of
from selftaught.system.components import nearest
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import printable

LABELS = ("label", "target", "class", "y")  # columns of these names are never features; the first is the label
# Names that labels have as well; in a table such a column may be a feature, and is one until somebody says otherwise.
LIKE_LABELS = (
    *("labels", "species", "diagnosis", "outcome", "category", "classes", "targets"),
    *("class_name", "label_name", "class_id", "label_id", "classname", "fine_label"),
)
KEYS = ("path", "key", "file_name", "filename", "file", "image_path", "filepath", "image", "img", "image_id")
INDEX = ("", "unnamed: 0", "__index_level_0__")  # how pandas writes the numbers of its rows
MOST = 10  # columns that are listed
NO_LABEL = "none"  # of --label-column: nothing is left out of learning
BETWEEN = ";"  # several labels of one sample; alone, that it is known to have none
# What makes labels numbers that are no names of classes: a fraction, or thousands. A bound, as "<30", is a name.
MEASURED, BOUND = re.compile(r"[.,]\d|\d['’\s]\d"), re.compile(r"[<>≤≥~]")
YES, NO = ("1", "1.0", "yes", "true"), ("0", "0.0", "no", "false")  # in any letters, in a column that is a label


class Line(NamedTuple):
    """A line of a CSV of labels."""

    number: int
    key: str
    label: str


class Read(NamedTuple):
    """What a CSV of labels says."""

    lines: list[Line]
    parting: str  # what parts its cells
    headed: bool  # whether a header that is known as one stands above its lines


def named_like(header: Sequence[str], names: Sequence[str]) -> list[str]:
    """The columns that have one of these names, in whatever letters, in the order of the names."""
    return sorted((c for c in header if c.strip().lower() in names), key=lambda c: names.index(c.strip().lower()))


def labels_among(header: Sequence[str], asked: str | None, shown: str) -> list[str]:
    """The columns that were asked for, or else the first that is named like a label. Raises UsageError.

    asked: a column, or several by commas, each of which is a label that a sample has or has not.
    """
    if asked == NO_LABEL and asked not in header:
        return []
    if asked is None:
        return named_like(header, (*LABELS, *LIKE_LABELS))[:1]
    names = parted(header, asked)
    if missing := [name for name in names if name not in header]:
        raise UsageError(
            f"--label-column {printable(missing[0])} is no column of {shown}; {meant_in(header, missing[0])}"
        )
    return names


def meant_in(header: Sequence[str], name: str) -> str:
    """The column that may be meant by a name which none has, or those that there are."""
    close = nearest(name, header)
    return f"did you mean '{printable(close)}'?" if close else f"it has {listed(header)}"


def listed(header: Sequence[str]) -> str:
    """The first columns, and how many there are besides."""
    more = f" and {len(header) - MOST:,} more" if len(header) > MOST else ""
    return (", ".join(map(printable, header[:MOST])) or "none") + more


def parted(header: Sequence[str], asked: str) -> list[str]:
    """The columns that a name stands for, each once: itself, or those between its commas."""
    return [asked] if asked in header else list(dict.fromkeys(name.strip() for name in asked.split(",")))


def label_cells(columns: Sequence[Sequence[str]], names: Sequence[str], shown: str) -> list[str]:
    """The label of each sample by cells (columns, N): that of the one column, or the names of those that say yes.

    Where none does the label is `BETWEEN` alone, and where all cells are empty there is none. Raises DataError.
    """
    if len(names) == 1:
        return list(columns[0])
    if odd := next((name for name in names if BETWEEN in name), None):
        raise DataError(f"column '{printable(odd)}' of {shown} cannot be one of several labels: {BETWEEN!r} parts them")
    said = [_yes_or_no(cells, name, shown) for cells, name in zip(columns, names)]
    return [_together(row, names) for row in zip(*said)]


def _yes_or_no(cells: Sequence[str], name: str, shown: str) -> list[bool | None]:
    """What a column says of each sample; None where it says nothing."""
    meant: dict[str, bool | None] = {**dict.fromkeys(YES, True), **dict.fromkeys(NO, False), **dict.fromkeys(NO_VALUE)}
    words = [cell.strip().lower() for cell in cells]
    if odd := next((cell for cell, word in zip(cells, words) if word not in meant), None):
        wanted = "0 or 1, no or yes, false or true"
        told = f"column '{printable(name)}' of {shown} holds '{printable(odd)}'"
        raise DataError(f"{told}: where --label-column names several columns, each must hold {wanted}")
    return [meant[word] for word in words]


def _together(row: Sequence[bool | None], names: Sequence[str]) -> str:
    if all(said is None for said in row):
        return ""
    return several_text([name for name, said in zip(names, row) if said])


def several_text(names: Sequence[str], marked: bool = False) -> str:
    """Several labels of one sample as text; `marked`: where there is one alone, by a `;` that it is one of several."""
    return BETWEEN.join([*names, ""] if marked and len(names) == 1 else names) or BETWEEN


def label_text(value: Any) -> str:
    """A label, or a cell, as text: NaN is none, and a whole number is that, whatever else its column holds."""
    if isinstance(value, float):
        return "" if math.isnan(value) else str(int(value)) if value.is_integer() and abs(value) < 2**53 else str(value)
    return str(value)


def label_in_python(value: Any, names: Mapping[Any, str] = MappingProxyType({})) -> str:
    """A label as text, numbers by their names; several of one sample as they are written elsewhere."""
    value = value.tolist() if hasattr(value, "tolist") else value  # numpy's and torch's as Python's
    value = sorted(value, key=str) if isinstance(value, set | frozenset) else value
    if isinstance(value, list | tuple):
        return several_text([label_in_python(one, names) for one in value])
    if value is None:
        return ""
    return names.get(value, label_text(value)) if isinstance(value, Hashable) else label_text(value)


def known_labels(
    cells: Sequence[str], name: str, note: Callable[[str], None] = lambda line: None, parting: str | None = ""
) -> list[str]:
    """Labels without space around them, "" for what says that there is none, which is noted.

    parting: what parts the cells of the file that they are of, as of `plain_numbers`; None leaves numbers as written.
    """
    said = [cell.strip() for cell in cells]
    nothing = nothing_in({*said})
    marks = Counter(mark for mark in said if mark in nothing and mark)
    for mark, count in marks.most_common(3):
        note(f"{count:,} labels in {printable(name)} are '{printable(mark)}', which is taken for no label")
    labels = ["" if label in nothing else label for label in said]
    return labels if parting is None else plain_numbers(labels, name, note, parting)


def plain_numbers(labels: list[str], name: str, note: Callable[[str], None], parting: str = "") -> list[str]:
    """The same, where all are numbers with commas or signs, such as 1.234,5 or $3.50, as plain numbers, which is noted.

    They are read as a column of features is; whole numbers, with signs or without, stay the names that they may be.
    """
    held = {*labels} - {""}
    if not any(map(MEASURED.search, held)) or any(map(BOUND.match, held)):
        return labels
    column = column_of(labels, parting)
    known = column.values.dtype.kind == "f" and [math.isfinite(value) for value in column.values.tolist()]
    if known != [bool(label) for label in labels] or not (column.commas or column.said):
        return labels
    if column.commas:
        note(f"labels in {printable(name)} are numbers whose decimals are written with commas")
    if column.said:
        note(f"labels in {printable(name)} are {column.said}")
    return [label_text(value) for value in column.values.tolist()]


def read_labels(file: Path, asked: str | None = None) -> Read:
    """Every line that is not empty nor a header. Raises DataError."""
    shown, (held, parting) = printable(str(file)), read_cells(file, names=True)
    lines = [(number, [cell.strip() for cell in line]) for number, line in enumerate(held, 1) if says_anything(line)]
    key, names, places = 0, [""], [1]
    if columns := _columns(lines[0][1], asked, shown) if lines else None:
        header, lines = lines[0][1], lines[1:]
        key, names = header.index(columns[0]), columns[1:]
        places = [header.index(name) for name in names]
    short = next((number for number, line in lines if len(line) <= max(key, *places)), None)
    if not lines or short:
        faulty = f"; line {short} has not" if short else ""
        raise DataError(f"{shown} must have lines of path,label, of rows key,label{faulty}")
    labels = label_cells([[line[place] for _, line in lines] for place in places], names, shown)
    told = [Line(number, line[key], label) for (number, line), label in zip(lines, labels)]
    return Read(told, parting, bool(columns))


def _columns(header: Sequence[str], asked: str | None, shown: str) -> list[str] | None:
    """The columns of keys and of labels, where the first line has the names of columns."""
    if any(cell.lower().endswith(SUFFIXES) for cell in header):
        return None
    keys = named_like(header, KEYS)
    known = asked is not None and bool({*parted(header, asked)} & {*header})
    labels = labels_among(header, asked if known else None, shown)
    if not keys and not known and (not labels or len(header) < 3):
        return None
    key = keys[0] if keys else header[0]
    others = [column for column in header if column != key]
    if not labels and len(others) > 1:
        told = f"{shown} has no label by name among its columns {listed(others)}"
        raise UsageError(f"{told}: say which with --label-column")
    return [key, *(labels or others[:1])] if others else None


def labels_in_file(file: Path, asked: str | None = None) -> dict[str, str]:
    """The label of each key that a CSV names, both as written; `asked` as of `labels_for`. Raises DataError."""
    lines, shown = read_labels(file, asked).lines, printable(str(file))
    labels = known_labels([line.label for line in lines], file.name, parting=None)
    return agreeing((line._replace(label=label) for line, label in zip(lines, labels)), shown)


def agreeing(lines: Iterable[Line], shown: str) -> dict[str, str]:
    """The label of each key. Raises DataError where two lines say differently of one."""
    first: dict[str, Line] = {}
    for line in lines:
        known = first.setdefault(line.key, line)
        if known.label != line.label:
            said = " and ".join(f"line {one.number} '{printable(one.label)}'" for one in (known, line))
            raise DataError(f"{shown} contradicts itself about '{printable(line.key)}': {said}; leave one of them")
    return {key: line.label for key, line in first.items()}


def labels_for(
    file: Path,
    keys: Sequence[str],
    things: str,
    asked: str | None = None,
    note: Callable[[str], None] = lambda line: None,
    as_written: bool = False,
) -> list[str]:
    """The label of each key, "" where the file does not name it, or names it as without one.

    Names may have backslashes, or, of image files, lack folder or ending where one file alone is meant; a name of a
    whole is that of its parts which have no line. `asked`: the column that holds labels, where the file has one of that
    name; as_written: whether numbers stay so. Raises DataError where a line names anything else, or two lines
    contradict each other.
    """
    (lines, parting, headed), shown = read_labels(file, asked), printable(str(file))
    wholes = {whole_of(key) for key in keys} - {*keys}
    find = finder([*keys, *wholes])
    (_, first, label), others = lines[0], lines[1:]
    # A first line that names no sample has the names of columns, unless its label is a class: then it is a mistake.
    if others and not headed and find(first) is None and label not in {line.label for line in others}:
        lines = others
    found = [line._replace(key=key) for line in lines if (key := find(line.key)) is not None]
    if missing := [line for line in lines if find(line.key) is None]:
        raise _not_found(missing, len(lines), shown, [*keys, *wholes], things)
    if short := sum(plain(line.key) != plain(meant.key) for line, meant in zip(lines, found)):
        note(f"{short:,} lines of {shown} name {things} without their folder or ending")
    labels = known_labels([line.label for line in found], file.name, note, None if as_written else parting)
    by_key = agreeing((line._replace(label=label) for line, label in zip(found, labels)), shown)
    by_whole = {whole: by_key[whole] for whole in wholes if whole in by_key}
    return [by_key[key] if key in by_key else by_whole.get(whole_of(key), "") for key in keys]


def _not_found(missing: Sequence[Line], count: int, shown: str, keys: Sequence[str], things: str) -> DataError:
    """What to say of those of so many lines that name no key, or more than one."""
    first, many = missing[0], len(missing) > 1
    such, at = f"such as '{printable(first.key)}'", f"line {first.number:,}{' and the others' * many}"
    told = f"{len(missing)} of {count} lines in {shown}"
    meant = [key for key in keys if key.lower().endswith(SUFFIXES) and _same_place(plain(first.key), plain(key))]
    if len(meant) > 1:
        both = " and ".join(repr(printable(key)) for key in meant[:2])
        return DataError(
            f"{told} name more than one of the {things}, {such}, which is {both}: write it in full in {at}"
        )
    told = f"{told} name none of the {things}, {such}; the first of the {things} is '{printable(keys[0])}'"
    return DataError(f"{told}: correct {at}, or leave {'them' if many else 'it'} out")


def plain(key: str) -> str:
    """A key as a file system of another kind may write it: with slashes, and not from where one stands."""
    return key.strip().replace("\\", "/").removeprefix("./")


def finder(keys: Sequence[str]) -> Callable[[str], str | None]:
    """From how a line names a sample to its key; None where that is none, or more than one."""
    exact = {plain(key): key for key in keys} | {key.strip(): key for key in keys} | {key: key for key in keys}
    loose: dict[str, str | None] = {}

    def find(name: str) -> str | None:
        for form in (name, name.strip(), plain(name)):
            if form in exact:
                return exact[form]
        if not loose:
            loose.update(_short_names(keys), **{"": None})
        key = loose.get(PurePosixPath(plain(name)).name)
        return key if key is not None and _same_place(plain(name), plain(key)) else None

    return find


def _short_names(keys: Sequence[str]) -> dict[str, str | None]:
    """Image files by their names without folder, and without ending as well; None for what several have."""
    short: dict[str, str | None] = {}
    for key in keys:
        if key.lower().endswith(SUFFIXES):
            path = PurePosixPath(plain(key))
            for form in (path.name, path.stem):
                short[form] = None if form in short else key
    return short


def _same_place(name: str, key: str) -> bool:
    """Whether one is the other seen from further up, with or without its ending."""
    whole = key if name.lower().endswith(SUFFIXES) else str(PurePosixPath(key).with_suffix(""))
    return f"/{whole}".endswith(f"/{name}") or f"/{name}".endswith(f"/{whole}")
