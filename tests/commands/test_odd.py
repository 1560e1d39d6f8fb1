"""`odd`: outliers, look-alikes and wrong labels of any kind of data, told, written and shown; nothing is changed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import selftaught
from selftaught.commands.cli import run_command
from selftaught.system.components import Part
from selftaught.system.errors import DataError
from tests.commands.finding import SIDE, lines, run_of


@pytest.fixture
def meddled(pictures: Path, tmp_path: Path) -> Path:
    """The pictures, one of them twice, one that is like no other, and one in the folder of others."""
    data = tmp_path / "data"
    shutil.copytree(pictures, data)
    shutil.copy(data / "b" / "1.png", data / "b" / "again.png")
    Image.fromarray(np.tile(np.array([[0, 255], [255, 0]], np.uint8), (SIDE // 2, SIDE // 2))).save(
        data / "c" / "odd.png"
    )
    (data / "a" / "0.png").rename(data / "b" / "moved.png")
    return data


def test_what_is_odd_is_told_written_and_shown(
    looking: Path, meddled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {file: file.read_bytes() for file in meddled.rglob("*.png")}
    out, page = tmp_path / "odd.csv", tmp_path / "odd.html"
    asked = ["odd", str(looking), str(meddled), "--neighbours", "3", "--out", str(out), "--page", str(page)]
    assert run_command([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    by = {name: [fact for fact in told["odd"] if fact["odd"] == name] for name in ("outlier", "alike", "label")}
    assert by["outlier"][0]["path"] == "c/odd.png" and by["outlier"][0]["score"] > 3.5
    assert [(fact["path"], fact["of"]) for fact in by["alike"]] == [("b/again.png", "b/1.png")]
    assert by["alike"][0]["score"] == pytest.approx(1, abs=1e-4) and by["alike"][0]["label"] == "b"
    assert ("b/moved.png", "b", "a") in {(fact["path"], fact["label"], fact["likely"]) for fact in by["label"]}
    assert {fact["path"] for fact in by["label"]} <= {"b/moved.png", "c/odd.png"}
    assert told["counts"] == {name: len(facts) for name, facts in by.items()} and told["labelled"] == 26
    assert told["labels_can_be_told"] and told["told_right"] > 0.8 > 0.5 > told["commonest_label"] > 0.3
    written = lines(out)
    assert list(written[0]) == ["path", "odd", "score", "of", "label", "likely"]
    assert [(row["path"], row["odd"]) for row in written] == [(fact["path"], fact["odd"]) for fact in told["odd"]]
    html = page.read_text()
    assert "labelled b, more like a" in html and "Look just alike, 1" in html and "data:image/webp" in html
    assert {file: file.read_bytes() for file in meddled.rglob("*.png")} == before
    assert run_command(asked) == 2 and "already exists" in capsys.readouterr().err
    assert run_command(asked[:-4]) == 0
    shown = capsys.readouterr().out
    assert "1 of 26 images looks just like another, in 1 group\n" in shown and "b/moved.png  b, more like a" in shown


def test_labels_come_from_a_csv_or_are_not_looked_at(looking: Path, meddled: Path, tmp_path: Path) -> None:
    none = selftaught.odd(looking, meddled, labels="none")
    assert none.labels is None and none.counts()["label"] == 0 and {fact["label"] for fact in none.facts} == {""}
    named = sorted(str(file.relative_to(meddled)) for file in meddled.rglob("*.png"))
    names = {name: "left" if name[0] == "a" or "moved" in name else "other" for name in named[2:]}
    names["b/3.png"] = "left"
    (tmp_path / "labels.csv").write_text("path,label\n" + "".join(f"{key},{label}\n" for key, label in names.items()))
    found = selftaught.odd(looking, meddled, labels=tmp_path / "labels.csv")
    assert found.labels and len(found.labels.rows) == 24 and found.labels.names == ["left", "other"]
    assert {fact["path"] for fact in found.facts if fact["odd"] == "label"} - {"c/odd.png"} == {"b/3.png"}


def test_labels_that_have_nothing_to_do_with_what_is_seen_are_said_to(
    looking: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    years, page = tmp_path / "years.csv", tmp_path / "odd.html"
    names = [f"{name}/{number}.png,{2020 + number % 2}" for name in "abc" for number in range(8)]
    years.write_text("path,label\n" + "\n".join(names))
    asked = ["odd", str(looking), str(pictures), "--labels", str(years), "--page", str(page)]
    assert run_command([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["labels_can_be_told"] is False and told["commonest_label"] == 0.5
    assert run_command([*asked, "--overwrite"]) == 0
    said = "of the labels right, which is not clearly more than the 50% that have the commonest"
    for text in (capsys.readouterr().out, page.read_text()):
        assert said in " ".join(text.split()) and "--labels none leaves them out" in text
    assert "none is" in page.read_text() and "deviations" not in page.read_text()


def test_labels_that_say_too_little_are_told(
    looking: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(rows: list[str]) -> str:
        (tmp_path / "labels.csv").write_text("path,label\n" + "\n".join(rows))
        assert selftaught.odd(looking, pictures, labels=tmp_path / "labels.csv").labels is None
        return capsys.readouterr().err

    assert "labels of x, y: with fewer than 5 images of a class" in said(["a/0.png,x", "a/1.png,y"])
    assert "only labels that are one class of each sample" in said([f"a/{n}.png,x;y" for n in range(8)])
    assert "only labels that are one class of each sample" in said([f"a/{n}.png,0.5" for n in range(8)])
    assert "only labels that are one class of each sample" in said([f"a/{n}.png,x;" for n in range(8)])
    parts = tmp_path / "parts"
    for name in ("train", "test"):
        shutil.copytree(pictures / "a", parts / name)
    assert selftaught.odd(looking, parts).labels is None and "parts of a split" in capsys.readouterr().err
    few = tmp_path / "few"
    few.mkdir()
    shutil.copy(pictures / "a" / "0.png", few)
    with pytest.raises(DataError, match="few has 1 images: among so few nothing is odd"):
        selftaught.odd(looking, few)


def test_rows_are_looked_through_likewise(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(np.eye(3) * 4, 20, axis=0) + rng.normal(size=(60, 3))
    x[7] = 60
    label = np.repeat(["p", "q", "r"], 20)
    label[30] = "r"
    table = tmp_path / "table.csv"
    cells = [",".join(f"{value:.3f}" for value in row) for row in x]
    table.write_text("u,v,w,label\n" + "\n".join(f"{row},{one}" for row, one in zip(cells, label)))
    run = run_of(tmp_path / "rows", str(table), Part(name="mlp"))
    found = selftaught.odd(run, table)
    assert found.labels and len(found.labels.rows) == 60
    assert ("r", "q") in {(fact["label"], fact["likely"]) for fact in found.facts if fact["odd"] == "label"}
