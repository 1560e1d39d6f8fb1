"""One self-contained HTML page about one or more runs, made from the plain files in their folders."""

import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from markupsafe import Markup
from PIL import Image

from selftaught.judging import units
from selftaught.judging.classwise import in_points, last_details, shares_of
from selftaught.judging.result import Detail, Evaluation, kinds, others_of
from selftaught.reporting.charts import bar_chart, interval_chart, line_chart
from selftaught.reporting.map_section import map_json, neighbours, patches, strip
from selftaught.reporting.page import Live, rendered
from selftaught.run.layout import PICTURES
from selftaught.run.map import read_map
from selftaught.run.records import Environment, Facts
from selftaught.run.standing import standing
from selftaught.system.files import write_atomically
from selftaught.system.interruption import poll
from selftaught.system.pictures import data_uri
from selftaught.system.reading import LARGEST_OBJECT, csv_in, json_in, json_lines, json_object, yaml_in
from selftaught.system.regular import regular_bytes
from selftaught.system.saying import say
from selftaught.system.text import printable

HEALTH = {  # curves of what was seen without labels
    "how far features spread": {"feature_spread": "features", "answer_spread": "answers of the heads"},
    "directions in use (effective rank)": {"rankme": "features", "answer_rank": "answers of the heads"},
    "distance": {"alignment": "two views of a sample", "teacher_distance": "teacher and student"},
}
WATCHED = "on labels that watch; they teach nothing, but choosing by this curve is using them"
WORTH = ("accuracy", "mAP", "R2")  # by which a classifier is measured
FOUND, PRECISE = "the per cent that were found", "the average precision in per cent"
IN_PARTS = "both in per cent"
OF_PIXELS = "intersection over union in per cent: pixels that were found, of those that are or were said to be of it"
MOST_FOLDERS = 20  # whose numbers are drawn
MOST_CONFUSED = 20  # classes; a larger confusion matrix fits no page
# What reading a file raises that is missing, half-written or somebody else's; Pillow has the last two of its own.
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)

T = TypeVar("T")


@dataclass
class ByClass:
    """What a probe makes of each class, with the most labels."""

    title: str
    told: str  # what of each
    one: str  # class, or label
    features: list[str]  # what they are called, one a column
    shares: list[tuple[str, list[str]]]  # of each class, in per cent
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
        title=title or f"selftaught: {', '.join(section['name'] for section in sections)}",
        sections=sections,
        kinds_of=kinds,
        units=units,
        others_of=others_of,
        live=live,
    )


def _section(folder: Path, name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """What the page says of one run; what its folder does not hold is empty."""
    poll()
    held = read_map(folder)
    if labels and not held:
        say(f"note: {printable(folder.name)} has no map (--map 0, or none yet), so --labels colours nothing of it")
    recipe = read(folder / "recipe.yaml", yaml_in) or {}
    status = read(folder, status_of) or {}
    evaluation = read(folder / "evaluation.json", evaluation_of)
    quarantined = read(folder / "quarantine.csv", _rows) or []
    environment = read(folder / "environment.json", partial(json_object, schema=Environment)) or {}
    prepared = environment.pop("preparation", None) or {}
    facts = read(folder / "data.json", partial(json_object, schema=Facts)) or {}
    metrics = read(folder / "metrics.json", json_object) or {}  # of a classifier
    method = recipe["method"].get("name", "?") if isinstance(recipe.get("method"), dict) else "?"
    return {
        "name": printable(name),
        "method": "classifier" if status.get("task") == "finetune" else method,
        "status": status,
        "recipe": {key: _shown(value) for key, value in recipe.items() if value not in (None, {}, False)},
        "preparation": {key: _shown(_short(value)) for key, value in prepared.items()},
        "environment": {key: _shown(value) for key, value in environment.items()},
        "evaluation": evaluation,
        "picture": read(folder / PICTURES, _picture),
        "curves": _curves(json_lines(folder / "metrics.jsonl")[0], status),
        "worth": _worth(status),
        "label_curve": _label_curve(evaluation) if evaluation else None,
        "by_class": (evaluation and _by_class(evaluation)) or _by_class_of(metrics),
        "quarantined": quarantined,
        "data": _data_lines(recipe, facts, quarantined),
        "folders": _folders_chart(facts),
        "thumbnails": strip(held) if held and held.sheet else [],
        "neighbours": neighbours(held) if held else [],
        "patches": patches(held) if held else [],
        "map": Markup(map_json(folder, held, labels)) if held else None,
        "sheet": data_uri(held.sheet, "WEBP") if held and held.sheet else None,
    }


def _data_lines(recipe: dict[str, Any], facts: dict[str, Any], quarantined: list[list[str]]) -> list[tuple[str, str]]:
    """What the run's files say of its data, and what was left out and why."""
    values = {"data": recipe.get("data"), **{name: facts.get(name) for name in ("samples", "as seen")}}
    if looked := facts.get("looked at"):
        values["looked at"] = f"{looked['samples']:,} before the first step, of which {looked['broken']:,} were broken"
    values["fingerprint"] = recipe.get("fingerprint")
    reasons = Counter(_kind_of(row[-1]) for row in quarantined if row)
    values["left out"] = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common(5)) or "nothing"
    return [(name, _shown(value)) for name, value in values.items() if value is not None]


def _kind_of(reason: str) -> str:
    """Why a sample was left out, without what its decoder said; older lists begin with Python's name of the error."""
    kind = reason.partition(":")[0]
    return "cannot be decoded" if re.fullmatch(r"\w*(Error|Exception)", kind) else kind


def _folders_chart(facts: dict[str, Any]) -> Markup | None:
    """How many samples lie in each folder, where that is worth a look."""
    folders = facts.get("folders")
    if not isinstance(folders, dict) or not 1 < len(folders) <= MOST_FOLDERS:
        return None
    of = ", of those looked at" * bool(facts.get("looked at"))
    return bar_chart([(printable(name), count) for name, count in folders.items()], title=f"Samples by folder{of}")


def _curves(metrics: list[dict[str, Any]], status: dict[str, Any]) -> list[Markup]:
    metrics = [line for line in metrics if isinstance(line.get("step"), int)]
    if not metrics:
        return []
    held = [line["terms"] for line in metrics if isinstance(line.get("terms"), dict)]
    names = list(dict.fromkeys(name for terms in held for name in terms))
    terms = {name: curve(metrics, "terms", name) for name in names}
    losses = terms if len(terms) == 1 else {"sum": curve(metrics, "loss"), **terms}
    chance = status.get("chance")
    reference = ("chance: nothing learnt", float(chance)) if chance else None
    rate, pace = curve(metrics, "lr"), curve(metrics, "samples_per_second")
    drawn = [
        line_chart(losses, title="loss", x_label="step", y_label="", reference=reference),
        line_chart({"learning rate": rate}, title="learning rate", x_label="step", y_label=""),
        line_chart({"samples a second": pace}, title="throughput", x_label="step", y_label=""),
    ]
    for title, scores in HEALTH.items():
        series = {called: curve(metrics, "health", score) for score, called in scores.items()}
        if known := {called: points for called, points in series.items() if points}:
            drawn.append(line_chart(known, title=title, x_label="step", y_label=""))
    return [*drawn, *_watched(metrics, status)]


def _watched(metrics: list[dict[str, Any]], status: dict[str, Any]) -> list[Markup]:
    """By step, what labels that look on made of the encoder, from before the first one on; nothing where none did.

    Of a run that others have watched before, only what the last ones saw: the accuracies of two sets are no curve.
    """
    begun = {"step": 0, "watched": status.get("watched_at_start")}
    lines = [begun | {key: status.get(key) for key in ("watched_by", "watched_measure")}, *metrics]
    seen = [line for line in lines if isinstance(line.get("watched"), dict)]
    seen = [line for line in seen if line.get("watched_by") == seen[-1].get("watched_by")]
    if not seen:
        return []
    measure = str(seen[-1].get("watched_measure") or "accuracy")
    times, names = units.scale(measure), dict.fromkeys(name for line in seen for name in line["watched"])
    series = {printable(name): [(x, times * y) for x, y in curve(seen, "watched", name)] for name in names}
    title = f"{units.called(measure)} {WATCHED}"
    return [line_chart(series, title=title, x_label="step", y_label=units.axis(measure))]


def curve(metrics: list[dict[str, Any]], *path: str) -> list[tuple[float, float]]:
    """By step, what stands under these keys; nothing, such as the loss of a step left out, is a gap."""
    points = []
    for line in metrics:
        value: Any = line
        for key in path:
            value = value.get(key, {}) if isinstance(value, dict) else {}
        if value != {}:
            points.append((line["step"], value if isinstance(value, int | float) else math.nan))
    return points


def _label_curve(evaluation: Evaluation) -> Markup:
    called, measure = kinds(evaluation.things), evaluation.measure
    series: dict[str, list[tuple[str, float, float, float]]] = {}
    for row in evaluation.rows:
        if row.probe == evaluation.probe:
            series.setdefault(called[row.features], []).append((row.labels, row.accuracy, row.low, row.high))
    title = f"{evaluation.probe} {units.called(measure)} by number of labels, with 95 % intervals"
    return interval_chart(series, title=title, called=units.axis(measure), percent=units.is_share(measure))


def _by_class(evaluation: Evaluation) -> ByClass | None:
    details = last_details(evaluation)
    own = next((detail for detail in details if detail.features == "trained"), None)
    called = kinds(evaluation.things)
    if own is None or not evaluation.classes:
        return None
    shares = {called[detail.features]: shares_of(detail) for detail in details}
    told = PRECISE if own.average_precision else OF_PIXELS if own.iou else FOUND
    return _tables(f"{own.probe}, {own.labels}", told, evaluation.classes, shares, own.confusion)


def _worth(status: Mapping[str, Any]) -> str:
    """What a classifier comes to, in a line; nothing where its status does not say so."""
    for key in WORTH:
        values = [status.get(part) for part in (key, "low", "high")]
        if all(isinstance(value, int | float) for value in values):
            value, low, high = (units.written(key, part) for part in values if part is not None)
            return f"{units.called(key)} {value} (95 %: {low} to {high}) on labels that chose nothing"
    return ""


def _by_class_of(metrics: dict[str, Any]) -> ByClass | None:
    """What a classifier's metrics.json says of each class, on the labels that were held out."""
    try:
        detail = Detail.model_validate({"features": "", "probe": "", "labels": "", "confusion": None, **metrics})
        precise = detail.average_precision
        columns = {"average precision": precise} if precise else {}
        columns |= {"recall" if precise else "this classifier": detail.recall}
        told = IN_PARTS if precise else FOUND
        return _tables("labels held out", told, metrics["classes"], columns, detail.confusion)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _tables(
    title: str, told: str, classes: list[str], shares: dict[str, list[float | None]], confusion: list[list[int]] | None
) -> ByClass | None:
    """Tables by class; `shares` by what the features are called. None where a file does not fit its classes."""
    names = [printable(name) for name in classes]
    if any(len(own) != len(names) for own in shares.values()):
        return None
    lines = confusion if confusion and len(names) <= MOST_CONFUSED else []
    return ByClass(
        title,
        told,
        "label" if told in (PRECISE, IN_PARTS) else "class",
        list(shares),
        [(name, [in_points(share) for share in own]) for name, *own in zip(names, *shares.values())],
        [(name, [(n, n / max(1, sum(line))) for n in line]) for name, line in zip(names, lines)],
    )


def _shown(value: Any) -> str:
    """A value of a recipe or another file, for people."""
    # YAML knows dates, which JSON does not.
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _short(value: Any) -> Any:
    """The same with six digits of each number that has more."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list):
        return [_short(one) for one in value]
    return {key: _short(one) for key, one in value.items()} if isinstance(value, dict) else value


def read(file: Path, by: Callable[[Path], T]) -> T | None:
    """What a reader makes of a file; None where it is missing or damaged."""
    try:
        return by(file)
    except UNREADABLE:
        return None


def status_of(folder: Path) -> dict[str, Any]:
    """status.json, and where it says that a run goes on, whether that is so."""
    now = standing(folder)
    return now.status | ({"state": now.state, "reason": now.line} if now.state == "abandoned" else {})


def evaluation_of(file: Path) -> Evaluation | None:
    held = Evaluation.model_validate(json_in(file))
    return held if held.rows else None


def _rows(file: Path) -> list[list[str]]:
    return csv_in(file)[1:]


def _picture(file: Path) -> str | None:
    with Image.open(io.BytesIO(regular_bytes(file, LARGEST_OBJECT)), formats=["PNG"]) as image:
        return data_uri(image)
