"""What the report shows of a run's data: facts, a few samples, and whom the network takes for alike."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from selftaught.reporting.charts import bar_chart
from selftaught.run.map import EmbeddingMap
from selftaught.system.pictures import data_uri
from selftaught.system.text import printable

THUMBNAILS = 18
MOST_FOLDERS = 20  # whose numbers are drawn

Thumbnail = tuple[str, str]  # the name of a sample, and its picture


@dataclass
class Asked:
    """A sample, and whom the network takes for most like it."""

    sample: Thumbnail
    before: list[Thumbnail]
    now: list[Thumbnail]


def data_lines(
    recipe: dict[str, Any], environment: dict[str, Any], facts: dict[str, Any], quarantined: list[list[str]]
) -> list[tuple[str, str]]:
    """What the run's files say of its data, and what was left out and why."""
    values = {"data": recipe.get("data"), **{name: facts.get(name) for name in ("samples", "as seen")}}
    values |= {"fingerprint": recipe.get("fingerprint"), **(environment.get("preparation") or {})}
    reasons = Counter(row[-1].partition(":")[0] for row in quarantined if row)
    values["left out"] = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common(5)) or "nothing"
    return [(name, shown(value)) for name, value in values.items() if value is not None]


def folders_chart(facts: dict[str, Any]) -> Markup | None:
    """How many samples lie in each folder, where that is worth a look."""
    folders = facts.get("folders")
    if not isinstance(folders, dict) or not 1 < len(folders) <= MOST_FOLDERS:
        return None
    return bar_chart([(printable(name), count) for name, count in folders.items()], title="Samples by folder")


def neighbours(held: EmbeddingMap) -> list[Asked]:
    """Every asked sample with its nearest, where samples are images."""
    if held.sheet is None:
        return []
    before = held.start.nearest if held.start else [[] for _ in held.end.asked]

    def thumbnails(places: list[int]) -> list[Thumbnail]:
        return [_thumbnail(held, place) for place in places]

    return [
        Asked(_thumbnail(held, row), thumbnails(then), thumbnails(now))
        for row, then, now in zip(held.end.asked, before, held.end.nearest)
    ]


def strip(held: EmbeddingMap) -> list[Thumbnail]:
    """A few samples, which are images, evenly spread."""
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
