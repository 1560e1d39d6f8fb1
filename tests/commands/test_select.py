"""`select`: what to label first of any kind of data, from the command line and Python."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import selftaught
from selftaught.commands.cli import run_command
from selftaught.data.sources.labels import labels_in_file
from selftaught.system.components import Part
from selftaught.system.errors import DataError, UsageError
from tests.commands.finding import lines, run_of
from tests.data import signals


def test_one_of_each_cluster_is_written_shown_and_told(
    looking: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, page = tmp_path / "new" / "to_label.csv", tmp_path / "new" / "to_label.html"
    asked = ["select", str(looking), str(pictures), "--count", "3", "--out", str(out), "--page", str(page), "--json"]
    assert run_command(asked) == 0
    told = json.loads(capsys.readouterr().out)
    found = lines(out)
    assert list(found[0]) == ["path", "rank", "cluster", "typicality", "label"] and len(found) == 3
    assert {row["path"][0] for row in found} == {"a", "b", "c"} and all(row["label"] == "" for row in found)
    assert [row["rank"] for row in found] == ["1", "2", "3"] and len({row["cluster"] for row in found}) == 3
    assert [row["path"] for row in told["chosen"]] == [row["path"] for row in found]
    assert told["samples"] == 24 and told["by"] == "typiclust" and told["labelled"] == 0
    html = page.read_text()
    assert html.count("data:image/webp") == 3 and all(row["path"] in html for row in found)
    assert not [file for file in out.parent.iterdir() if file not in (out, page)]


def test_what_is_there_is_never_replaced_unasked(
    looking: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("mine")
    asked = ["select", str(looking), str(pictures), "--count", "2", "--by", "random"]
    with monkeypatch.context() as nothing:  # and no work is done for it
        nothing.setattr("selftaught.commands.select.chosen", lambda recipe, module: pytest.fail("it was begun"))
        assert run_command([*asked, "--out", str(mine)]) == 2 and mine.read_text() == "mine"
    assert run_command([*asked, "--out", str(tmp_path / "o.csv"), "--page", str(mine)]) == 2  # no page
    assert [file.name for file in tmp_path.iterdir()] == ["mine.csv"]
    assert run_command([*asked, "--out", str(mine), "--overwrite"]) == 0 and len(lines(mine)) == 2


def test_what_came_meanwhile_is_not_replaced(
    looking: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, before = tmp_path / "o.csv", selftaught.commands.select.chosen  # type: ignore[attr-defined]

    def slowly(recipe, module):  # type: ignore[no-untyped-def]
        found = before(recipe, module)
        out.write_text("theirs")
        return found

    monkeypatch.setattr("selftaught.commands.select.chosen", slowly)
    with pytest.raises(UsageError, match="already exists; use --overwrite"):
        selftaught.select(looking, pictures, out, count=2, by="random")
    assert out.read_text() == "theirs" and len(list(tmp_path.iterdir())) == 1


def test_a_filled_in_table_is_what_is_labelled_and_what_is_learnt_from(
    looking: Path, pictures: Path, tmp_path: Path
) -> None:
    first = selftaught.select(looking, pictures, tmp_path / "first.csv", count=3)
    filled = (tmp_path / "first.csv").read_text().splitlines()
    filled = [filled[0], *(f"{line}{line[0]}" for line in filled[1:3]), filled[3]]  # the third is not known yet
    (tmp_path / "first.csv").write_text("\n".join(filled))
    assert {*labels_in_file(tmp_path / "first.csv").values()} == {*"abc"} - {first.keys[2][0]} | {""}
    second = selftaught.select(
        looking, pictures, tmp_path / "second.csv", count=1, labelled=str(tmp_path / "first.csv")
    )
    assert second.labelled == 2 and second.keys[0][0] == first.keys[2][0]
    (tmp_path / "odd.csv").write_text("path,label\nz/9.png,a\n")
    with pytest.raises(DataError, match="name none of the images"):
        selftaught.select(looking, pictures, tmp_path / "third.csv", labelled=str(tmp_path / "odd.csv"))


def test_labelled_data_of_its_own_covers_what_is_like_it(looking: Path, pictures: Path, tmp_path: Path) -> None:
    labelled = tmp_path / "labelled"
    for name in "ab":
        (labelled / name).mkdir(parents=True)
        shutil.copy(pictures / name / "0.png", labelled / name)
    found = selftaught.select(looking, pictures, tmp_path / "o.csv", count=1, labelled=labelled)
    assert found.labelled == 2 and found.like_labelled == 2 and found.keys[0][0] == "c"
    every = selftaught.select(looking, pictures, tmp_path / "p.csv", count=24, labelled=labelled)
    assert len(every.keys) == 22 and not {"a/0.png", "b/0.png"} & {*every.keys}


def test_no_two_look_alikes_are_chosen(
    looking: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "pictures"
    shutil.copytree(pictures, data)
    for number in range(8):
        shutil.copy(data / "a" / f"{number}.png", data / "c" / f"copy{number}.png")
        Image.open(data / "b" / f"{number}.png").save(data / "b" / f"again{number}.jpg", quality=98)
    found = selftaught.select(looking, data, tmp_path / "o.csv", count=40, by="coreset")
    assert len(found.keys) == 24
    assert "24 are chosen and not 40: there are 40 images, 0 labelled" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--by", "margin"], "--by margin needs a classifier"),
        (["--classifier", "x"], "--classifier is for --by uncertainty and --by margin"),
        (["--by", "typicalest"], "'typicalest' is not one of"),
        (["--out", "o.txt"], "--out o.txt must end in .csv"),
        (["--page", "p.htm"], "--page p.htm must end in .html"),
        (["--count", "0"], "--count"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    asked: list[str], said: str, looking: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run_command(["select", str(looking), str(pictures), "--out", "o.csv", *asked]) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_other_kinds_of_data_need_nothing_of_their_own(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals.register(monkeypatch)
    phase = np.where(np.arange(48)[:, None] % 2 == 0, 1, 3) * np.linspace(0, 6, 12)
    with (tmp_path / "some.signal").open("wb") as file:
        np.save(file, (np.sin(phase) + 0.1 * np.random.default_rng(0).normal(size=(48, 12))).astype(np.float32))
    data = str(tmp_path / "some.signal")
    own = run_of(tmp_path / "own", data, Part(name="spectrum"))
    assert (
        run_command(
            [
                "select",
                str(own),
                data,
                "--count",
                "2",
                "--out",
                str(tmp_path / "o.csv"),
                "--page",
                str(tmp_path / "p.html"),
            ]
        )
        == 0
    )
    assert {int(row["path"].split()[1]) % 2 for row in lines(tmp_path / "o.csv")} == {0, 1}
    assert "data:image" not in (tmp_path / "p.html").read_text() and "at " in (tmp_path / "p.html").read_text()
    with pytest.raises(UsageError, match=r"takes signals, and .*pictures is taken for images$"):
        selftaught.select(own, pictures, tmp_path / "q.csv")
    rows = run_of(tmp_path / "rows", "sklearn:wine", Part(name="mlp"))
    found = selftaught.select(rows, "sklearn:wine", tmp_path / "rows.csv", count=9, by="probcover", classes=3)
    assert [fact["rank"] for fact in found.facts()] == list(range(1, 10)) and found.facts()[0]["covered"] > 1
