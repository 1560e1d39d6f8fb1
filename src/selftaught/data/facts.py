"""What the inspection of every kind of data tells alike: labels, copies, and which files are not used."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from selftaught.contracts.findings import File
from selftaught.data.sources.source import Source
from selftaught.system.text import printable, spelled


def counted(values: Iterable[str | int]) -> dict[str, int]:
    """How often each value is there, the most frequent first."""
    return {str(value): count for value, count in Counter(values).most_common()}


def files_of(failures: Iterable[tuple[str, str]]) -> list[File]:
    """Files by key, each with the reason why it is not used."""
    return [File(path=spelled(key), reason=printable(reason)) for key, reason in failures]


def classes(source: Source) -> dict[str, int]:
    """How many samples of each label a source has, for people."""
    return {spelled(name): count for name, count in sorted(Counter(source.labels or []).items()) if name}


def notes_of_labels(source: Source) -> list[str]:
    """Why there are no labels, where a person may think that there are."""
    lacking = "" if source.labels is not None else source.lacking()
    return [lacking] if lacking else []


def same_content(contents: Iterable[str | bytes]) -> list[list[int]]:
    """Groups of two or more places with the same content, or digest of it."""
    groups: dict[str | bytes, list[int]] = {}
    for place, content in enumerate(contents):
        groups.setdefault(content, []).append(place)
    return [group for group in groups.values() if len(group) > 1]


def too_many(things: str, whole: int, broken: int, tolerance: float, fault: str = "cannot be used") -> list[str]:
    """Why a run would not start where more than a share of `tolerance` are broken, beside the whole ones."""
    count = whole + broken
    if broken <= tolerance * count:
        return []
    told = f"{broken:,} of {count:,} {things} ({100 * broken / count:.3g}%) {fault}, more than {100 * tolerance:g}%"
    return [f"{told}: mend or remove them, or leave them out with --tolerance"]


def notes_of_copies(things: str, same: Sequence[Sequence[Any]]) -> list[str]:
    """What to know of groups of the same content."""
    copies = sum(len(group) - 1 for group in same)
    told = "of the {} is a copy of another" if copies == 1 else "{} are copies of others"
    return [f"{copies:,} {told.format(things)}; in both parts of a split, a copy is a leak"] * bool(copies)
