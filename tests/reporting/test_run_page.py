"""The page and its pictures: escaped, self-contained, right to the pixel, and calm about what is missing."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from selftaught.contracts.modality import raw_of
from selftaught.data.images.pictures import contact_sheet, visible
from selftaught.data.images.preparation import Preparation
from selftaught.data.sheets import GAP, MARGIN, Row, sheet_of
from selftaught.judging.result import KINDS
from selftaught.reporting import charts as curves
from selftaught.reporting.charts import bar_chart, interval_chart, line_chart, ticks
from selftaught.reporting.run_page import page_of, write_report

EVIL = "<img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def folder(root: Path, name: str = "run", full: bool = True) -> Path:
    run = root / name
    run.mkdir()
    (run / "recipe.yaml").write_text(yaml.safe_dump({"data": EVIL, "method": {"name": "simclr", "options": {}}}))
    if not full:
        return run
    lines = [
        {"step": s, "loss": 3.0 / s, "terms": {"nt_xent": 3.0 / s}, "lr": 0.1, "samples_per_second": 100 + s}
        for s in range(1, 40)
    ]
    lines[9] |= {"loss": None, "terms": {"nt_xent": None}}  # a step that was left out
    lines[19]["health"] = lines[38]["health"] = {"feature_spread": 0.4, "rankme": 30.0, "answer_spread": 0.7}
    cut = json.dumps(lines[-1])[:20]  # a line that a crash cut short
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + cut)
    status = {"state": "done", "reason": "", "chance": 5.5, "verdict": "collapsing: so it was"}
    (run / "status.json").write_text(json.dumps(status))
    (run / "quarantine.csv").write_text(f'path,reason\n"{EVIL}.jpg",empty file\n')
    rows = [
        {
            "features": kind,
            "probe": "linear",
            "labels": labels,
            "accuracy": a,
            "low": a - 0.02,
            "high": a + 0.02,
            "repeats": 1,
        }
        for labels in ("1 per class", "all labels")
        for kind, a in (("trained", 0.8), ("untrained", 0.5), ("pixels", 0.6))
    ]
    facts = {"run": "r", "train": EVIL, "test": None, "classes": ["a", "b"], "train_samples": 9, "test_samples": 0}
    told = {**facts, "seed": 0, "rows": rows, "verdict": f"linear, 1 per class: it helped {EVIL}", "verdicts": []}
    (run / "evaluation.json").write_text(json.dumps(told))
    Image.new("RGB", (40, 30), (200, 10, 10)).save(run / "pictures.png")
    return run


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    page = Page(write_report([folder(tmp_path)], tmp_path / "report.html").read_text())
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object")
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            if name in attributes:
                assert str(attributes[name]).startswith(("data:image/png", "#"))
    assert sum(tag == "img" for tag, _ in page.tags) == 1  # the picture, not the evil name
    assert page.text.count(EVIL) >= 3


def test_the_page_says_verdict_accuracies_and_chance(tmp_path: Path) -> None:
    text = Page(write_report([folder(tmp_path)], tmp_path / "report.html").read_text()).text
    assert "it helped" in text and "80.0 ± 2.0" in text and "raw pixels" in text and "1 per class" in text
    assert "chance: nothing learnt" in text and "1 file that could not be used" in text
    assert "While it trained: collapsing" in text
    assert "how far features spread" in text and "answers of the heads" in text and "teacher and student" not in text


def test_why_samples_were_left_out_is_counted_without_words_of_pythons(tmp_path: Path) -> None:
    run = folder(tmp_path)
    lines = ["empty file", "ValueError: Premature end", "cannot be decoded: cut", "holds no pixels: none"]
    (run / "quarantine.csv").write_text("path,reason\n" + "".join(f"{line}.jpg,{line}\n" for line in lines))
    text = Page(write_report([run], tmp_path / "report.html").read_text()).text
    assert "2 cannot be decoded, 1 empty file, 1 holds no pixels" in text


def test_the_page_tells_classes_apart(tmp_path: Path) -> None:
    run = folder(tmp_path)
    told = json.loads((run / "evaluation.json").read_text())
    same = {"probe": "linear", "labels": "all labels"}
    told["classes"] = ["a", EVIL]
    told["details"] = [
        {"features": "trained", **same, "recall": [0.125, None], "confusion": [[1, 7], [0, 0]]},
        {"features": "pixels", **same, "recall": [0.5, None], "confusion": None},
    ]
    (run / "evaluation.json").write_text(json.dumps(told))
    page = Page(write_report([run], tmp_path / "report.html").read_text())
    assert "Class by class (linear, all labels)" in page.text and "12.5" in page.text and "50.0" in page.text
    assert any("39%" in str(attributes.get("style")) for _, attributes in page.tags)  # 7 of 8, of 45 at most
    assert sum(tag == "img" for tag, _ in page.tags) == 1


def test_the_curve_is_of_the_probe_whose_verdict_it_is(tmp_path: Path) -> None:
    """Also where the probe has gone since, or where the verdict names none."""
    run = folder(tmp_path)
    held = json.loads((run / "evaluation.json").read_text())
    held["rows"] = [{**row, "probe": name} for name in ("knn", "gone") for row in held["rows"]]
    for verdict, probe in (("gone, 1 per class: it helped", "gone"), ("it helped", "knn")):
        (run / "evaluation.json").write_text(json.dumps({**held, "verdict": verdict}))
        text = Page(write_report([run], tmp_path / "report.html").read_text()).text
        assert f"{probe} accuracy by number of labels" in text
    (run / "evaluation.json").write_text(json.dumps({**held, "rows": []}))
    assert "Not judged yet" in Page(write_report([run], tmp_path / "report.html").read_text()).text


def test_a_page_is_made_of_files_alone_without_torch(tmp_path: Path) -> None:
    folder(tmp_path)
    code = "import sys; from selftaught.commands.cli import run_command; "
    code += "assert run_command(['report', sys.argv[1]]) == 0; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True, check=True
    )
    assert not {"torch", "sklearn", "timm"} & set(done.stdout.split())
    assert "80.0" in (tmp_path / "run" / "report.html").read_text()
    assert KINDS["pixels"] == raw_of("images")  # which the page knows without asking


def test_several_runs_stand_together_and_missing_files_are_told(tmp_path: Path) -> None:
    folders = [folder(tmp_path, "one"), folder(tmp_path, "two", full=False)]
    page = Page(write_report(folders, tmp_path / "deep" / "report.html", title="Both").read_text())
    assert {a["href"] for tag, a in page.tags if tag == "a"} == {"#run-1", "#run-2"}
    assert "Not judged yet" in page.text and "nothing logged yet" in page.text
    (tmp_path / "two" / "evaluation.json").write_text('{"rows": [')
    (tmp_path / "two" / "pictures.png").write_bytes(b"no picture")
    odd = [{"loss": 1.0}, {"step": "x"}, {"step": 2, "loss": "NaN", "terms": [], "lr": {}}, {"step": 3, "loss": 2.0}]
    (tmp_path / "two" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in odd))
    (tmp_path / "two" / "data.json").write_text('{"folders": 7}')
    write_report(folders, tmp_path / "report.html")


def test_a_run_that_was_killed_is_not_said_to_go_on(tmp_path: Path) -> None:
    run = folder(tmp_path)
    (run / "status.json").write_text('{"state": "running"}')
    text = Page(write_report([run], tmp_path / "report.html").read_text()).text
    assert "(simclr, abandoned)" in text and "no process writes this run any more" in text


def test_a_classifier_shows_what_it_is_worth(tmp_path: Path) -> None:
    run = folder(tmp_path, full=False)
    known = {"accuracy": 0.8, "low": 0.7, "high": 0.9}
    (run / "status.json").write_text(json.dumps({"state": "done", "task": "finetune", **known}))
    metrics = {"classes": ["a", EVIL], "recall": [0.75, None], "confusion": [[3, 1], [0, 0]], "measured_on": 4}
    (run / "metrics.json").write_text(json.dumps(metrics))
    text = Page(write_report([run], tmp_path / "report.html").read_text()).text
    assert "(classifier, done)" in text and "accuracy 80.0 (95 %: 70.0 to 90.0)" in text
    assert "Class by class (labels held out)" in text and "75.0" in text and EVIL in text
    assert "Not judged yet" not in text and "nothing logged yet" not in text
    (run / "metrics.json").write_text('{"classes": 7, "recall": "x"}')
    assert "accuracy 80.0" in write_report([run], tmp_path / "report.html").read_text()


def test_every_run_has_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = []
    for parent in ("first", "second"):
        (tmp_path / parent).mkdir()
        folders.append(folder(tmp_path / parent))
    text = Page(write_report(folders, tmp_path / "report.html").read_text()).text
    assert "first/run (simclr): linear, 1 per class: it helped" in text
    assert "second/run (simclr): linear, 1 per class: it helped" in text
    monkeypatch.chdir(folders[0])
    assert "run (simclr, done)" in Page(write_report([Path()], Path("report.html")).read_text()).text


@pytest.mark.parametrize("zeros", [0, 150_000], ids=["cut short", "never written"])
def test_a_picture_with_a_damaged_end_is_left_out(zeros: int, tmp_path: Path) -> None:
    run = folder(tmp_path)
    Image.effect_noise((400, 400), 90).save(run / "pictures.png")
    assert pictures_of(run) == 1
    whole = (run / "pictures.png").read_bytes()
    assert len(whole) > 150_000
    (run / "pictures.png").write_bytes(whole[: len(whole) - 150_000] + bytes(zeros))
    assert pictures_of(run) == 0


def pictures_of(run: Path) -> int:
    """How many its page shows."""
    return sum(tag == "img" for tag, _ in Page(write_report([run], run / "report.html").read_text()).tags)


def test_a_curve_goes_through_its_points() -> None:
    svg = str(line_chart({"loss": [(0, 0.0), (5, 1.0), (10, 0.5)]}, title="t", x_label="x", y_label="y"))
    found = [tuple(map(float, p.split(","))) for p in re.search(r"points='([^']+)'", svg)[1].split()]
    inner = curves.HEIGHT - curves.BOTTOM - curves.TOP
    for (x, y), (place, height) in zip([(0, 0.0), (5, 1.0), (10, 0.5)], found):
        assert place == pytest.approx(curves.LEFT + x / 10 * (curves.WIDTH - curves.RIGHT - curves.LEFT), abs=0.1)
        assert height == pytest.approx(curves.HEIGHT - curves.BOTTOM - (y + 0.06) / 1.12 * inner, abs=0.1)


def test_how_rows_were_prepared_is_folded(tmp_path: Path) -> None:
    run = folder(tmp_path)
    columns = [{"name": f"c{n}", "kind": "number", "mean": 1 / 3, "std": 2 / 3, "values": []} for n in range(64)]
    (run / "environment.json").write_text(json.dumps({"python": "3.12", "preparation": {"columns": columns}}))
    page = page_of([run])
    folded = "".join(re.findall(r"<details>.*?</details>", page, re.DOTALL))
    assert folded.count("std") == page.count("std") == 64 and folded.count("0.666667") == 64


@pytest.mark.parametrize("beside", [("untrained", "pixels"), ("initial", "pixels", "scratch", "pretrained")])
def test_each_column_of_accuracies_is_explained_and_no_other(beside: tuple[str, ...], tmp_path: Path) -> None:
    run = folder(tmp_path)
    told = json.loads((run / "evaluation.json").read_text())
    about = {"probe": "linear", "labels": "all labels", "accuracy": 0.5, "low": 0.4, "high": 0.6, "repeats": 1}
    told["rows"] = [{**about, "features": kind} for kind in ("trained", *beside)]
    (run / "evaluation.json").write_text(json.dumps({**told, "train_samples": 10_000}))
    text = Page(page_of([run])).text
    explained = [kind for kind, name in KINDS.items() if f"“{name.capitalize()}” " in text]
    assert explained == [kind for kind in KINDS if kind in ("trained", *beside)]
    assert "on 10,000 samples" in text and "With few labels" not in text


def numbers(svg: object, anchor: str) -> list[str]:
    """What stands at the ticks of an axis: those of y end there, those of x have it in their middle."""
    found = re.findall(rf"<text class='tick' x='[^']+' y='([^']+)' text-anchor='{anchor}'>([^<]*)<", str(svg))
    return [number for height, number in found if float(height) != curves.HEIGHT - 4]


@pytest.mark.parametrize(("low", "high"), [(6.2383, 6.238302), (0.0, 0.0004), (1e-5, 3e-5), (12_345_670, 12_345_679)])
def test_each_tick_has_its_own_number_and_room_for_it(low: float, high: float) -> None:
    svg = str(line_chart({"a": [(1, low), (2, high)]}, title="", x_label="step", y_label="loss"))
    found = numbers(svg, "end")
    assert len(found) > 2 and len(set(found)) == len(found)
    end = float(re.search(r"x='([\d.]+)' y='[^']+' text-anchor='end'", svg)[1])
    assert end >= 10 * max(map(len, found)) + 20, "digits of 18 pixels, and what is along the axis"


def test_what_is_counted_has_whole_ticks() -> None:
    for last, told in ((1, ["1"]), (3, ["1", "2", "3"]), (12, ["5", "10"]), (130, ["50", "100"])):
        points = [(step, 1.0) for step in range(1, last + 1)]
        assert numbers(line_chart({"a": points}, title="", x_label="step", y_label=""), "middle") == told
    assert numbers(bar_chart([("a", 1), ("b", 1)], title=""), "end") == ["0", "1"]


def test_charts_survive_odd_series() -> None:
    gap = str(line_chart({"a": [(0, 1.0), (1, float("nan")), (2, 3.0), (3, 2.0)]}, title=EVIL, x_label="", y_label=""))
    assert gap.count("<polyline") == gap.count("<circle") == 1 and EVIL not in gap  # a point alone is a dot
    assert "<circle" in str(line_chart({"a": [(4, 1.0)]}, title="", x_label="", y_label=""))
    nothing = str(line_chart({"a": [(4, float("nan"))]}, title="loss", x_label="", y_label=""))
    assert "loss" in nothing and "no finite value" in nothing
    assert "nothing logged" in str(line_chart({"a": []}, title="", x_label="", y_label=""))
    long = str(line_chart({"a": [(i, float(i)) for i in range(10_000)]}, title="", x_label="", y_label=""))
    assert re.search(r"points='([^']+)'", long)[1].count(",") <= curves.POINTS + 1
    assert "a, all: 50.0 (95 %: 40.0 to 60.0)" in str(interval_chart({"a": [("all", 0.5, 0.4, 0.6)]}, title=""))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.2, 7.9), (0.00012, 0.00031), (12_345.0, 99_999.0)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 3 <= len(found) <= 11 and low - 1e-9 <= found[0] and found[-1] <= high * (1 + 1e-9)
    assert np.allclose(np.diff(found), found[1] - found[0])


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_a_picture_shows_the_stored_values_again(channels: int) -> None:
    facts = Preparation(channels=channels, size=(9, 9), low=0, high=255, mean=(0.4,) * channels, std=(0.2,) * channels)
    stored = torch.rand(4, channels, 9, 9)
    shown = visible((stored - 0.4) / 0.2, facts)
    expected = stored if channels == 3 else stored.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    assert np.abs(shown / 255 - expected.permute(0, 2, 3, 1).numpy()).max() < 0.005
    sheet = contact_sheet({"input": (stored - 0.4) / 0.2, "a much longer name": (stored[:2] - 0.4) / 0.2}, facts)
    pixels = np.asarray(sheet).astype(int)
    tile = np.kron(shown[0], np.ones((8, 8, 1))).astype(int)  # 9 pixels enlarged eight times
    found = [
        left for left in range(sheet.width - 72) if np.abs(pixels[12 : 12 + 72, left : left + 72] - tile).max() <= 1
    ]
    assert len(found) == 1


def test_what_is_of_one_sample_is_a_column_whatever_its_size() -> None:
    """As local views are, which are smaller and made larger by another factor."""
    rows = [
        Row("global", np.zeros((3, 8, 8, 3), np.uint8), (64, 64)),
        Row("l", np.zeros((3, 5, 5, 3), np.uint8), (50, 50)),
    ]
    dark = np.asarray(sheet_of(rows).convert("L")) < 5
    starts = [np.flatnonzero(np.diff(line.astype(int)) == 1)[-3:].tolist() for line in (dark[14], dark[-14])]
    assert starts[0] == starts[1] and np.diff(starts[0]).tolist() == [70, 70]


@pytest.mark.parametrize(("large", "small"), [(32, 12), (48, 20), (36, 10), (100, 35)])
def test_a_small_view_is_drawn_no_larger_than_a_large_one(large: int, small: int) -> None:
    facts = Preparation(channels=1, size=(9, 9), low=0, high=255, mean=(0.0,), std=(1.0,))
    black = {"global": torch.zeros(1, 1, large, large), "local": torch.zeros(1, 1, small, small)}
    pixels = np.asarray(contact_sheet(black, facts).convert("L"))
    dark = pixels[:, -MARGIN - 2 * 72 :] < 5  # without names, which are no black
    first, last = np.flatnonzero(dark.any(axis=1))[[0, -1]]
    gap = int(np.flatnonzero(~dark.any(axis=1)[first:])[0])  # as high as the first row of pictures
    beside = last + 1 - first - gap - GAP
    assert small <= beside <= gap
