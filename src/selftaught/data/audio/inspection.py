"""Everything that can be known of clips before training, by decoding every one of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selftaught.contracts.findings import ClipFacts, File, Findings, Spread
from selftaught.data.audio.decode import Header, decode
from selftaught.data.audio.files import THINGS, open_source
from selftaught.data.audio.hearing import each, listened, refuse_short, usual_rate
from selftaught.data.audio.preparation import Preparation
from selftaught.data.facts import classes, counted, files_of, notes_of_copies, notes_of_labels, same_content, too_many
from selftaught.data.sources.metadata import facts_of
from selftaught.system import randomness
from selftaught.system.text import printable, spelled

FEWEST = 2  # clips that can be told apart


@dataclass(frozen=True)
class Look:
    """One clip that is whole."""

    header: Header
    length: int  # of the file in bytes


def inspect(
    data: str | Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    sampling_rate: int | None = None,
    label_column: str | None = None,
    tolerance: float = 0.01,
    metadata: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **how: Any,
) -> Findings:
    """Read and decode the clips of `data`, or a random `limit` of them. Raises DataError and UsageError."""
    source = open_source(data, label_column)
    source.contents.recall()
    rows = randomness.subset(np.arange(len(source)), None, limit, seed)
    preparation = Preparation.at(sampling_rate or usual_rate(source, rows))

    def look(data: bytes) -> Look:
        told, sound = decode(data, preparation.rate)
        refuse_short(sound, preparation)
        if np.abs(sound).max() > 1:  # which may be too loud
            listened(sound, preparation, preparation.transform)
        return Look(told, len(data))

    looks: list[Look | str] = []
    for found in each(source, rows, look, workers):
        looks.append(found)
        progress(len(looks), len(rows))
    source.contents.remember()
    keys = [spelled(source.keys[row]) for row in rows]
    whole = [(key, one, row) for key, one, row in zip(keys, looks, rows.tolist()) if isinstance(one, Look)]
    same = same_content(source.contents.digests[row].tobytes() for _, _, row in whole)
    broken = [File(path=key, reason=one) for key, one in zip(keys, looks) if isinstance(one, str)]
    notes = _notes(preparation.rate, [look for _, look, _ in whole])
    problems = _problems(len(rows), len(broken), tolerance)
    return Findings(
        data=printable(str(data)),
        things=THINGS,
        count=len(source),
        checked=len(rows),
        usable=not problems,
        problems=problems,
        notes=[*source.notes, *notes_of_labels(source), *notes, *notes_of_copies(THINGS, same)],
        broken=broken,
        ignored=files_of(source.ignored),
        passed_over=len(source.ignored),
        duplicates=[[whole[place][0] for place in group] for group in same],
        labels=classes(source),
        clips=_facts([look for _, look, _ in whole], preparation.rate) if whole else None,
        metadata=facts_of(source, metadata, THINGS),
    )


def _notes(rate: int, whole: list[Look]) -> list[str]:
    """What a run will do to them."""
    others = sum(look.header.rate != rate for look in whole)
    several = sum(look.header.channels > 1 for look in whole)
    notes = [f"{others:,} clips have another sampling rate, and are brought to {rate:,} Hz"] * bool(others)
    return notes + [f"{several:,} clips have several channels, which are mixed to one"] * bool(several)


def _facts(looks: list[Look], rate: int) -> ClipFacts:
    seconds = np.array([look.header.seconds for look in looks])
    return ClipFacts(
        bytes=sum(look.length for look in looks),
        formats=counted([look.header.format for look in looks]),
        rates=counted([look.header.rate for look in looks]),
        channels=counted([look.header.channels for look in looks]),
        seconds=Spread.of(seconds),
        total_seconds=float(seconds.sum()),
        rate=rate,
    )


def _problems(checked: int, broken: int, tolerance: float) -> list[str]:
    """Why a run would not start."""
    if checked - broken < FEWEST:
        told = f"{checked - broken} of {checked} clips can be used"
        return [f"{told}, and no method learns from fewer than {FEWEST}"]
    return too_many(THINGS, checked - broken, broken, tolerance)
