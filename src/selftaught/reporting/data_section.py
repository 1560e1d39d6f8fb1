"""What the report shows of a run's data: facts, a few samples, and whom the network takes for alike."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from selftaught.data.images.pictures import data_uri
from selftaught.reporting.charts import bar_chart
from selftaught.run.map import EmbeddingMap
from selftaught.system.text import printable

THUMBNAILS = 18
MOST_FOLDERS = 20  # whose numbers are drawn

Thumbnail = tuple[str, str]  # the name of a sample, and its picture


@dataclass
class DataSection:
    """What is said of the data."""

    lines: list[tuple[str, str]]
    thumbnails: list[Thumbnail]
    folders: Markup | None


@dataclass
class Asked:
    """A sample, and whom the network takes for most like it."""

    sample: Thumbnail
    before: list[Thumbnail]
    now: list[Thumbnail]


def data_section(
    recipe: dict[str, Any],
    environment: dict[str, Any],
    facts: dict[str, Any],
    quarantined: list[list[str]],
    held: EmbeddingMap | None,
) -> DataSection:
    """Facts from the run's files, what was left out and why, and a strip of thumbnails."""
    values = {"data": recipe.get("data"), **{name: facts.get(name) for name in ("samples", "as seen")}}
    values |= {"fingerprint": recipe.get("fingerprint"), **(environment.get("preparation") or {})}
    reasons = Counter(row[-1].partition(":")[0] for row in quarantined if row)
    values["left out"] = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common(5)) or "nothing"
    folders = facts["folders"] if isinstance(facts.get("folders"), dict) else {}
    return DataSection(
        [(name, shown(value)) for name, value in values.items() if value is not None],
        _strip(held) if held and held.sheet else [],
        bar_chart([(printable(name), count) for name, count in folders.items()], title="Samples by folder")
        if 1 < len(folders) <= MOST_FOLDERS
        else None,
    )


def neighbours(held: EmbeddingMap) -> list[Asked]:
    """Every asked sample with its nearest, where samples are images."""
    if held.sheet is None:
        return []
    before = held.start.nearest if held.start else [[] for _ in held.end.asked]
    return [
        Asked(
            _thumbnail(held, row),
            [_thumbnail(held, place) for place in then],
            [_thumbnail(held, place) for place in now],
        )
        for row, then, now in zip(held.end.asked, before, held.end.nearest)
    ]


def _strip(held: EmbeddingMap) -> list[Thumbnail]:
    spread = np.linspace(0, len(held.end.keys) - 1, THUMBNAILS).astype(int)
    return [_thumbnail(held, place) for place in np.unique(spread).tolist()]


def _thumbnail(held: EmbeddingMap, place: int) -> Thumbnail:
    assert held.sheet
    width, height = held.end.cell
    left, top = place % held.end.columns * width, place // held.end.columns * height
    return held.end.keys[place], data_uri(held.sheet.crop((left, top, left + width, top + height)), "WEBP")


def shown(value: Any) -> str:
    """A value of a recipe or another file, for people."""
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
