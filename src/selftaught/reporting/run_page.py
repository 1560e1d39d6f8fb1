"""One self-contained HTML page about one or more runs, made from the plain files in their folders."""

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from PIL import Image

from selftaught.data.images.pictures import data_uri
from selftaught.judging.accuracy import Detail
from selftaught.judging.result import Evaluation, kinds, primary
from selftaught.reporting.charts import interval_chart, line_chart
from selftaught.reporting.data_section import Asked, DataSection, data_section, neighbours, shown
from selftaught.reporting.map_section import map_json
from selftaught.reporting.page import Live, rendered
from selftaught.run.map import read_map
from selftaught.run.standing import standing
from selftaught.system.files import json_lines, json_object, read_yaml, write_atomically
from selftaught.system.interruption import poll
from selftaught.system.text import printable

QUARANTINE_SHOWN = 20
HEALTH = {  # curves of what was seen without labels
    "how far features spread": {"feature_spread": "features", "answer_spread": "answers of the heads"},
    "directions in use (effective rank)": {"rankme": "features", "answer_rank": "answers of the heads"},
    "distance": {"alignment": "two views of a sample", "teacher_distance": "teacher and student"},
}
MOST_CONFUSED = 20  # classes; a larger confusion matrix fits no page


@dataclass
class Section:
    """What the page says of one run; what its folder does not hold is empty."""

    name: str
    method: str
    status: dict[str, Any]
    recipe: dict[str, str]
    environment: dict[str, str]
    evaluation: Evaluation | None
    picture: str | None
    curves: list[Markup]
    label_curve: Markup | None
    by_class: "ByClass | None"
    quarantined: list[list[str]]
    quarantined_count: int
    data: DataSection
    neighbours: list[Asked]
    map: Markup | None
    sheet: str | None


@dataclass
class ByClass:
    """What a probe makes of each class, with the most labels."""

    title: str
    features: list[str]  # what they are called, one a column
    recall: list[tuple[str, list[str]]]  # of each class, in per cent
    confusion: list[tuple[str, list[tuple[int, float]]]]  # this run's, with the share of the class


def write_report(
    folders: Sequence[Path], out: Path, title: str | None = None, labels: Mapping[str, str] | None = None
) -> Path:
    """Write the page about the runs in `folders` to `out`; `labels` by the samples' keys colour their maps."""
    page = page_of(folders, title, labels=labels)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, page)
    return out


def page_of(
    folders: Sequence[Path], title: str | None = None, live: Live | None = None, labels: Mapping[str, str] | None = None
) -> str:
    """The page about the runs in `folders`; with `live` it follows them."""
    folders = [folder.absolute() for folder in folders]  # "." has no name
    names = Counter(folder.name for folder in folders)
    sections = [
        _section(folder, f"{folder.parent.name}/{folder.name}" if names[folder.name] > 1 else folder.name, labels or {})
        for folder in folders
    ]
    return rendered(
        "report.html",
        title=title or f"selftaught: {', '.join(section.name for section in sections)}",
        sections=sections,
        kinds_of=kinds,
        live=live,
    )


def _section(folder: Path, name: str, labels: Mapping[str, str]) -> Section:
    poll()
    held = read_map(folder)
    recipe = _yaml(folder / "recipe.yaml")
    metrics = json_lines(folder / "metrics.jsonl")
    status = _status(folder)
    evaluation = _evaluation(folder / "evaluation.json")
    quarantined = _csv(folder / "quarantine.csv")
    environment = _json(folder / "environment.json")
    method = recipe.get("method", {}).get("name", "?")
    return Section(
        name=printable(name),
        method="classifier" if status.get("task") == "finetune" else method,
        status=status,
        recipe={key: shown(value) for key, value in recipe.items() if value not in (None, {}, False)},
        environment={key: shown(value) for key, value in environment.items()},
        evaluation=evaluation,
        picture=_picture(folder / "pictures.png"),
        curves=_curves(metrics, status),
        label_curve=_label_curve(evaluation),
        by_class=_by_class(evaluation) or _by_class_of(_json(folder / "metrics.json")),
        quarantined=quarantined[:QUARANTINE_SHOWN],
        quarantined_count=len(quarantined),
        data=data_section(recipe, environment, _json(folder / "data.json"), quarantined, held),
        neighbours=neighbours(held) if held else [],
        map=Markup(map_json(folder, held, labels)) if held else None,
        sheet=data_uri(held.sheet, "WEBP") if held and held.sheet else None,
    )


def _curves(metrics: list[dict[str, Any]], status: dict[str, Any]) -> list[Markup]:
    metrics = [line for line in metrics if isinstance(line.get("step"), int)]
    if not metrics:
        return []
    held = [line["terms"] for line in metrics if isinstance(line.get("terms"), dict)]
    names = list(dict.fromkeys(name for terms in held for name in terms))
    terms = {name: _curve(metrics, "terms", name) for name in names}
    losses = terms if len(terms) == 1 else {"sum": _curve(metrics, "loss"), **terms}
    chance = status.get("chance")
    reference = ("chance: nothing learnt", float(chance)) if chance else None
    rate, pace = _curve(metrics, "lr"), _curve(metrics, "samples_per_second")
    drawn = [
        line_chart(losses, title="loss", x_label="step", y_label="", reference=reference),
        line_chart({"learning rate": rate}, title="learning rate", x_label="step", y_label=""),
        line_chart({"samples a second": pace}, title="throughput", x_label="step", y_label=""),
    ]
    for title, scores in HEALTH.items():
        series = {called: _curve(metrics, "health", score) for score, called in scores.items()}
        if known := {called: points for called, points in series.items() if points}:
            drawn.append(line_chart(known, title=title, x_label="step", y_label=""))
    return drawn


def _curve(metrics: list[dict[str, Any]], *path: str) -> list[tuple[float, float]]:
    """By step, what stands under these keys; nothing, such as the loss of a step left out, is a gap."""
    points = []
    for line in metrics:
        value: Any = line
        for key in path:
            value = value.get(key, {}) if isinstance(value, dict) else {}
        if value != {}:
            points.append((line["step"], value if isinstance(value, int | float) else math.nan))
    return points


def _label_curve(evaluation: Evaluation | None) -> Markup | None:
    if evaluation is None:
        return None
    probe = primary(evaluation.rows)
    called = kinds(evaluation.things)
    series: dict[str, list[tuple[str, float, float, float]]] = {}
    for row in evaluation.rows:
        if row.probe == probe:
            series.setdefault(called[row.features], []).append((row.labels, row.accuracy, row.low, row.high))
    return interval_chart(series, title=f"{probe} accuracy by number of labels, with 95 % intervals")


def _by_class(evaluation: Evaluation | None) -> ByClass | None:
    if evaluation is None:
        return None
    probe = primary(evaluation.rows)
    details = [detail for detail in evaluation.details if detail.probe == probe]
    details = [detail for detail in details if detail.labels == details[-1].labels]
    own = next((detail for detail in details if detail.features == "trained"), None)
    names = [printable(name) for name in evaluation.classes]
    if own is None or any(len(detail.recall) != len(names) for detail in details):
        return None
    called = [kinds(evaluation.things).get(detail.features, detail.features) for detail in details]
    return _tables(f"{probe}, {own.labels}", names, called, [detail.recall for detail in details], own.confusion)


def _by_class_of(metrics: dict[str, Any]) -> ByClass | None:
    """What a classifier's metrics.json says of each class, on the labels that were held out."""
    try:
        detail = Detail.model_validate({"features": "", "probe": "", "labels": "", **metrics})
        names = [printable(name) for name in metrics["classes"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if len(detail.recall) != len(names):
        return None
    return _tables("labels held out", names, ["this classifier"], [detail.recall], detail.confusion)


def _tables(
    title: str,
    names: list[str],
    called: list[str],
    recalls: Sequence[list[float | None]],
    confusion: list[list[int]] | None,
) -> ByClass:
    def cell(share: float | None) -> str:
        return "" if share is None else f"{100 * share:.1f}"

    lines = confusion if confusion and len(names) <= MOST_CONFUSED else []
    return ByClass(
        title,
        called,
        [(name, [cell(recall[i]) for recall in recalls]) for i, name in enumerate(names)],
        [(name, [(n, n / max(1, sum(line))) for n in line]) for name, line in zip(names, lines)],
    )


def _status(folder: Path) -> dict[str, Any]:
    """status.json, and where it says that a run goes on, whether that is so."""
    try:
        now = standing(folder)
    except (OSError, ValueError):
        return {}
    return now.status | ({"state": now.state, "reason": now.told} if now.state == "abandoned" else {})


def _yaml(file: Path) -> dict[str, Any]:
    try:
        held = read_yaml(file)
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def _json(file: Path) -> dict[str, Any]:
    try:
        return json_object(file)
    except (OSError, ValueError):
        return {}


def _evaluation(file: Path) -> Evaluation | None:
    try:
        return Evaluation.model_validate_json(file.read_text())
    except (OSError, ValueError):
        return None


def _csv(file: Path) -> list[list[str]]:
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            return list(csv.reader(stream))[1:]
    except (OSError, csv.Error, UnicodeDecodeError):
        return []


def _picture(file: Path) -> str | None:
    try:
        with Image.open(file, formats=["PNG"]) as image:
            return data_uri(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # Pillow raises them all
        return None
