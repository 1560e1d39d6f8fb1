"""What a notebook shows of results: small, escaped, and readable whatever the notebook's colours are."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from selftaught.commands.python import Run
from selftaught.contracts.findings import File, Findings
from selftaught.judging.choosing.strategy import Pick
from selftaught.judging.comparison import Comparison, Place, Point, Ran, Rung
from selftaught.judging.find import Found
from selftaught.judging.odd import Oddities
from selftaught.judging.result import Evaluation, Row
from selftaught.judging.select import Selection
from selftaught.reporting.cells import Cell
from selftaught.reporting.page import rendered
from selftaught.system.components import Part

ATTACK = "<script>alert(1)</script>\x1b[31m.png"
SAMPLES: Any = SimpleNamespace(keys=[ATTACK, *(f"{n}.png" for n in range(29))], count=30)
DATA: Any = SimpleNamespace(samples=SAMPLES, kind=SimpleNamespace(THINGS="images"), features=np.eye(30))


class Seen(HTMLParser):
    """The tags of a piece of HTML, its attributes, and its text without style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.words, self._style = list[str](), dict[str, str | None](), list[str](), False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= dict(attrs)
        self._style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        self.words += [data.strip()] if data.strip() and not self._style else []


def seen(result: Any) -> Seen:
    """What is shown of a result, once it is known to load and run nothing, and to hold a name as it is."""
    html = result._repr_html_()
    shown = Seen(html)
    assert not {"script", "link", "iframe", "object"} & {*shown.tags}
    assert not {name for name in shown.attributes if name.startswith("on") or name in ("src", "href")}
    assert "url(" not in html and "@import" not in html and "http" not in html and "\x1b" not in html
    assert len(html) < 20_000
    return shown


def row(features: str, accuracy: float) -> Row:
    ends = {"low": accuracy - 0.05, "high": accuracy + 0.05}
    return Row(features=features, probe="knn", labels="5 per class", accuracy=accuracy, repeats=1, **ends)


def test_a_judgement_shows_its_verdicts_and_its_table() -> None:
    rows = [row("trained", 0.8), row("untrained", 0.5)]
    about: dict[str, Any] = {"classes": ["a"], "train_samples": 9, "test_samples": 9, "seed": 0}
    judged = Evaluation(run=ATTACK, train="t", test=None, rows=rows, verdict="one", verdicts=["one", ATTACK], **about)
    shown = seen(judged)
    assert shown.words.count("one") == 1
    assert shown.words[-4:] == ["knn", "5 per class", "80.0 ± 5.0", "50.0 ± 5.0"]
    assert judged._repr_html_().count('<td class="best">80.0') == 1  # type: ignore[union-attr]
    assert any("<script>" in words for words in shown.words)  # as text, so it was escaped
    assert "Shown" not in repr(judged) and "_repr_html_" not in judged.model_dump()


def test_a_comparison_shows_its_ranking() -> None:
    point = Point(rung=1, minutes=2, value=0.7, low=0.6, high=0.8, seeds=2)
    place = Place(
        **{"rank": 1, "first": 1, "last": 2, "method": "python:Mine", "family": "own", "kind": "own", "encoder": "r"},
        **{"tokens": False, "points": [point], "untrained": 0.5, "pixels": None, "samples": 9, "note": ATTACK},
    )
    about: dict[str, Any] = {"method": "mae", "seed": 0, "rung": 1, "encoder": Part(name="r"), "tokens": False}
    compared = Comparison(
        **{"out": "runs/c", "data": "d", "things": "images", "measure": "knn", "labelled": True, "train": "t"},
        **{"test": None, "labels": "100%", "seeds": 2, "machine": {}, "state": "done", "verdict": "python:Mine leads"},
        rungs=[Rung(rung=1, budget=None, epochs=3, methods=["a"], kept=[])],
        ranking=[place],
        runs=[Ran(**about, run="r", state="failed", reason="too large")],
    )
    words = seen(compared).words
    assert words[words.index("python:Mine") :][:4] == ["python:Mine", "70.0 ± 10.0", "50.0", "3 epochs"]
    assert "python:Mine leads" in words and "mae failed: too large" in words


def test_long_lists_are_cut_and_say_so() -> None:
    picks = [Pick(row, None) for row in range(12)]
    chosen = Selection(DATA, picks, SimpleNamespace(measure=None), 0, 0)  # type: ignore[arg-type]
    near: Any = SimpleNamespace(rows=np.arange(2), cosines=np.array([0.9, 0.8]), asked=np.zeros(2, dtype=int))
    asked: Any = [SimpleNamespace(keys=["asked.png"])]
    around: Any = SimpleNamespace(groups=np.arange(30))
    odd = Oddities(DATA, np.full(30, 7.5), np.array([3]), around)
    shown = seen(chosen)
    assert "12 of 30 images to label first" in shown.words and "and 2 more" in shown.words
    assert "8.png" in shown.words and "9.png" not in shown.words
    assert seen(Found(SAMPLES, asked, near)).words[-4:] == ["0.png", "2", "0.8", "asked.png"]
    assert {"1 outlier, 0 alike, 0 label", "2.png", "7.5"} <= {*seen(odd).words}


def test_findings_say_whether_data_can_be_used() -> None:
    about: dict[str, Any] = {"data": ATTACK, "things": "images", "count": 7, "checked": 7}
    broken = [File(path="a.png", reason="cut")]
    words = seen(Findings(**about, usable=False, problems=["nothing is whole"], broken=broken)).words
    assert "Cannot be used as it is: nothing is whole" in words and "Broken: 1" in words
    assert "Ready for training." in seen(Findings(**about, usable=True)).words


@pytest.fixture
def run(tmp_path: Path) -> Run:
    recipe = {"data": ATTACK, "method": {"name": "mae"}, "encoder": {"name": "vit"}, "steps": 90}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    lines = [{"step": step, "loss": 1 / step, "terms": {}} for step in range(1, 90)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    status = {"state": "done", "steps": 90, "seconds": 61.0, "verdict": "collapsed: all features are alike"}
    (tmp_path / "status.json").write_text(json.dumps(status))
    return Run(tmp_path)


def test_a_run_shows_how_it_stands_and_its_loss(run: Run) -> None:
    shown = seen(run)
    assert {"mae on vit", "done", "While it trained: collapsed: all features are alike"} <= {*shown.words}
    assert "polyline" in shown.tags and any(words.startswith("90 in 1m 01s") for words in shown.words)
    assert any(words.startswith("not judged yet") for words in shown.words)


@pytest.mark.parametrize("name", ["recipe.yaml", "metrics.jsonl", "status.json"])
def test_a_damaged_folder_shows_what_is_left(run: Run, name: str) -> None:
    (run.folder / name).write_bytes(b"\xff{[")
    assert f"Run {run.folder.name}" in seen(run).words
    (run.folder / name).unlink()
    assert f"Run {run.folder.name}" in seen(run).words


def test_colours_read_on_the_ground_of_light_and_of_dark_notebooks() -> None:
    """At a contrast of 3, as WCAG 2.1 (1.4.11) wants of graphics; ink and its shades are the notebook's own."""
    style = rendered("cell.html", cell=Cell(title=""), printable=str)
    colours = re.findall(r"#([0-9a-f]{6}|[0-9a-f]{3})\b", style)
    assert colours
    for colour in colours:
        for ground in ("ffffff", "111111"):
            lights = sorted((light(colour), light(ground)))
            assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 3, colour
    assert not re.search(r"(?m)^(body|main|:root|\*|h\d|table)\b", style)  # nothing outside of the cell is styled


def light(colour: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear))
