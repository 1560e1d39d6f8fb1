"""selftaught check: text, JSON, page and list; a forecast that a run keeps; and no file name that does harm."""

import csv
import json
import os
import shlex
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import selftaught
from selftaught.commands.cli import run_command
from selftaught.commands.flags import RecipeCommand
from selftaught.data.images import inspection
from selftaught.data.sources.files import Files
from selftaught.data.sources.open import open_source
from selftaught.methods.contrastive.negatives.simclr import SimCLR
from selftaught.run.recipes import Check, Pretrain
from selftaught.run.recipes.fields import Mark
from selftaught.training.measuring.forecast import _said_again
from tests.clocks import held, steps_take, when_begun
from tests.reporting.test_run_page import Page

ENCODER = ["--encoder", "test_resnet", "--size", "16"]
EVIL = ("<img src=x onerror=alert(1)>.jpg", "=cmd|'calc'!A0.jpg", "[red]not markup[bold].jpg", "two\nlines.jpg")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for number in range(40):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number:02d}.png")
    return root


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evil names: of broken files, of copies, and of files passed over."""
    root = tmp_path_factory.mktemp("hostile")
    for number, name in enumerate(EVIL):
        (root / name).write_bytes(b"")
        (root / f"{name}.txt").touch()
        for copy in ("1", "2"):
            Image.new("L", (4 + number, 4), 9).save(root / f"{name}{copy}.png")
    return root


def test_json_alone_on_standard_output_and_a_forecast_that_is_kept(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps_take(lambda: 0.25, SimCLR, held(monkeypatch), monkeypatch)
    assert run_command(["check", str(pictures), *ENCODER, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["usable"] and told["count"] == 40 and told["images"]["formats"] == {"PNG": 40}
    assert told["suggested"]["batch_size"] == 8 and told["suggested"]["size"] == [16, 16]
    assert told["suggested"]["command"] == f"selftaught pretrain {pictures} --encoder test_resnet --size 16x16"
    assert told["forecast"]["samples_per_second"] == 8 / 0.25
    assert told["forecast"]["seconds"] == told["suggested"]["steps"] * 0.25
    assert "32-true contiguous on cpu" in told["forecast"]["measured_on"]

    quick = {"precision": "32-true", "layout": "contiguous", "steps": 2}
    run = selftaught.pretrain(pictures, encoder="test_resnet", size=16, out=tmp_path / "run", **quick)
    chosen = run.recipe
    assert (chosen.batch_size, chosen.size) == (8, (16, 16)) and chosen.encoder and chosen.encoder.name == "test_resnet"
    (saved,) = (run.folder / "checkpoints").glob("step_*")
    size = sum(file.stat().st_size for file in saved.glob("*.safetensors"))
    assert told["forecast"]["checkpoint_bytes"] == pytest.approx(size, rel=0.05)


def test_the_command_that_check_suggests_can_be_typed(tmp_path: Path) -> None:
    table = tmp_path / "my table.csv"
    table.write_text("a,b,it helped\n" + "".join(f"{row},{row % 7},{row % 2}\n" for row in range(30)))
    found = selftaught.check(table, method="vime", label_column="it helped")
    assert found.suggested
    words = shlex.split(found.suggested.command)
    assert words[:3] == ["selftaught", "pretrain", str(table)]
    assert words[words.index("--label-column") + 1] == "it helped"


def test_text_for_people_takes_names_as_they_are(hostile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["check", str(hostile), *ENCODER]) == 3
    told = capsys.readouterr()
    assert "[red]not markup[bold].jpg: empty file" in told.out and "two\\x0alines.jpg: empty file" in told.out
    assert "problem" in told.out and "broken, more than 1%" in " ".join(told.out.split())
    assert told.err.splitlines()[-1].startswith(f"error: {hostile} cannot be used: 4 of 12 images (33.3%) are broken")


def test_evil_names_are_escaped_on_the_page_and_harmless_in_the_list(hostile: Path, tmp_path: Path) -> None:
    page, files = tmp_path / "deep" / "check.html", tmp_path / "check.csv"
    assert run_command(["check", str(hostile), "--out", str(page), "--files", str(files), "--json"]) == 3
    read = Page(page.read_text())
    assert not any(name.startswith("on") for _, attributes in read.tags for name in attributes)
    assert not {tag for tag, _ in read.tags} & {"script", "img", "link", "iframe"}
    assert EVIL[0] in read.text and EVIL[1] in read.text and "prefers-color-scheme: dark" in page.read_text()
    with files.open(newline="") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert not any(cell[:1] in "=+-@\t\r" for cell in cells if cell) and "'" + EVIL[1] in cells
    assert sum("looks like" in cell or "the same as" in cell for cell in cells) >= 4


def test_the_page_of_a_table(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,<b>,label\n" + "".join(f"{i},{'xy'[i % 2]},{i % 3}\n" for i in range(12)))
    assert run_command(["check", str(table), "--out", str(tmp_path / "t.html")]) == 0
    text = Page((tmp_path / "t.html").read_text()).text
    assert "<b>" in text and "category" in text and "Ready for training" in text


def test_python_gets_the_same_facts(hostile: Path) -> None:
    found = selftaught.check(hostile, tolerance="50%", encoder="test_resnet", size=16, limit=12)
    assert found.usable and len(found.broken) == 4 and found.suggested and found.suggested.batch_size == 2
    assert isinstance(found, selftaught.Findings)


def test_a_signal_stops_a_check(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read: list[int] = []

    def open_and_stop(data: object, *asked: str | None) -> Files:
        source = open_source(str(data))
        assert isinstance(source, Files)
        own = source.read

        def stopping(row: int) -> bytes:
            read.append(row)
            if row == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return own(row)

        source.read = stopping
        return source

    monkeypatch.setattr(inspection, "open_source", open_and_stop)
    assert run_command(["check", str(pictures), *ENCODER, "--workers", "1"]) == 75
    assert "stopped by SIGTERM" in capsys.readouterr().err and 3 in read


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["nowhere"], 3, "nowhere does not exist"),
        (["/dev/null"], 3, "/dev/null is no regular file"),
        (["series:/dev/null"], 3, "/dev/null is no regular file"),
        (["text:/dev/null"], 3, "/dev/null is no regular file"),
        (["audio:/dev/null"], 3, "/dev/null is no regular file"),
        (["nowhere", "--method", "simclear"], 2, "did you mean 'simclr'"),
        ([".", "--out", "page.txt"], 2, "--out page.txt must end in .html"),
        ([".", "--files", "list"], 2, "--files list must end in .csv"),
        ([".", "--tolerance", "lots%"], 2, "a share looks like 5% or 0.05"),
        (["sklearn:wine", "--method", "rotation"], 2, "rotation asks about images"),
        (["sklearn:digits", "--method", "colorization", "--encoder", "test_resnet"], 2, "needs colour images"),
        ([".", "--time-limit", "1e9y"], 2, "a duration looks like"),
    ],
)
def test_a_mistake_gets_one_line(
    args: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    held(monkeypatch)  # work that takes a second gets a line of its own
    monkeypatch.chdir(tmp_path)
    assert run_command(["check", *args]) == code
    told = capsys.readouterr()
    assert said in told.err and told.err.count("\n") == 1 and not told.out and not list(tmp_path.iterdir())


def test_a_time_limit_ends_a_check(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    time = held(monkeypatch)
    when_begun("checking", lambda: time.advance(60), monkeypatch)
    assert run_command(["check", str(pictures), "--time-limit", "1m"]) == 75


SAID: dict[str, Any] = {
    "method": {"name": "mae", "options": {"ratio": 0.5}},
    "encoder": {"name": "test_vit", "options": {"filters": 200, "mirror": True, "sides": [2, 4]}},
    **{"teacher": "my nets/one's", "teacher_size": (32, 48), "size": (48, 64), "window": 8, "stride": 4, "epochs": 2.5},
    **{"sampling_rate": 16000, "batch_size": 32, "tokenizer": "my words", "vocabulary": 900, "context": 12},
    **{"tolerance": 0.05, "label_column": "what it is", "column": "the text", "range": (0.0, 65535.5)},
    **{"pages": "samples", "bands": "colours"},
}


def test_the_command_that_is_suggested_can_be_typed_as_it_stands() -> None:
    assert SAID.keys() == {*Check.marked(Mark.SHARED)} - ({*Pretrain.marked(Mark.FREE, Mark.COMMAND)} - {"tolerance"})
    dotted = dict.fromkeys(f"{part}.{name}" for part in ("method", "encoder") for name in SAID[part]["options"])
    typed: list[Pretrain] = []
    for names in (*([name] for name in SAID), [*SAID]):
        asked = Pretrain.parse({"data": "my photos", **{name: SAID[name] for name in names}})
        program, verb, *words = shlex.split(_said_again(asked, asked))  # type: ignore[arg-type]
        assert (program, verb) == ("selftaught", "pretrain")
        command = RecipeCommand(
            Pretrain, "data", lambda recipe, as_json: typed.append(recipe), lambda chosen: dict.fromkeys(dotted, "")
        )
        command.main(words, standalone_mode=False)
        assert typed.pop() == asked
