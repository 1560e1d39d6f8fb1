"""Everything that can be known of series before training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from selftaught.contracts.findings import ColumnFacts, Findings, SeriesFacts, Spread
from selftaught.data.facts import classes, files_of, notes_of_copies, same_content, too_many
from selftaught.data.series.files import open_recordings
from selftaught.data.series.recordings import THINGS, Recordings
from selftaught.data.series.samples import cut
from selftaught.data.sources.metadata import facts_of
from selftaught.system.text import printable, spelled

FEWEST = 2  # series that can be told apart


def inspect(
    data: str | Path,
    *,
    label_column: str | None = None,
    window: int | None = None,
    stride: int | None = None,
    tolerance: float = 0.01,
    metadata: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **how: Any,
) -> Findings:
    """Read the series of `data`, all of them. Raises DataError and UsageError."""
    series = cut(open_recordings(data, label_column), window, stride)
    count = len(series) + len(series.unused)
    same = same_content(map(bytes, series.digests(np.arange(len(series)))))
    progress(count, count)
    facts = _facts(series)
    known = facts_of(series, metadata, THINGS)
    problems = _problems(series, facts, tolerance)
    return Findings(
        data=printable(str(data)),
        things=THINGS,
        count=count,
        checked=count,
        usable=not problems,
        problems=problems,
        notes=[*series.notes, *notes_of_copies(THINGS, same)],
        broken=files_of(series.unused),
        ignored=files_of(series.ignored),
        duplicates=[[spelled(series.keys[row]) for row in group] for group in same],
        labels=classes(series),
        series=facts,
        metadata=known,
    )


def _problems(series: Recordings, facts: SeriesFacts, tolerance: float) -> list[str]:
    problems = [] if len(series) >= FEWEST else ["one series is too few to learn from; --window cuts it into many"]
    if all(channel.distinct <= 1 for channel in facts.channels):
        problems.append("every channel holds one value only, so there is nothing to learn")
    return problems + [
        line for tally in series.tallies() for line in too_many(tally.things, tally.whole, len(tally.broken), tolerance)
    ]


def _facts(series: Recordings) -> SeriesFacts:
    groups = len({*series.groups}) if series.groups else series.recordings
    return SeriesFacts(
        channels=[_channel(series, place) for place in range(len(series.channels.names))],
        lengths=Spread.of(series.lengths),
        recordings=series.recordings,
        groups=groups if groups != series.recordings else None,
        rate=series.channels.rate,
        units=list(series.channels.units),
    )


def _channel(series: Recordings, place: int) -> ColumnFacts:
    values = series.values[:, place]
    known = values[np.isfinite(values)]
    ends: dict[str, float] = {"min": float(known.min()), "max": float(known.max())} if len(known) else {}
    name = printable(series.channels.names[place]) or f"channel {place}"
    missing, distinct = len(values) - len(known), len(np.unique(known))
    return ColumnFacts(name=name, kind="number", missing=missing, distinct=distinct, **ends)
