"""Previews: every method can be seen before it is trained, and after."""

from pathlib import Path

import pytest
from PIL import Image

import selftaught
from selftaught.commands.cli import run_command
from selftaught.methods import registry
from selftaught.reporting.preview import answers
from selftaught.run.recipes import Preview
from tests.teachers import teacher_for

QUICK = {"method": "inpainting", "encoder": "test_resnet", "steps": 2, "batch_size": 8, "precision": "32-true"}


@pytest.mark.parametrize("name", sorted(registry.places()))
def test_every_method_can_be_previewed(name: str, photos: Path, tmp_path: Path) -> None:
    needs_tokens = registry.method_class(name).needs_tokens
    out = tmp_path / "seen.png"
    flags = ["--method", name, "--encoder", "test_vit" if needs_tokens else "test_resnet", "--size", "32"]
    for flag, value in teacher_for(name, tmp_path / "teacher").items():
        flags += [f"--{flag}", value]
    assert run_command(["preview", str(photos), *flags, "--samples", "4", "--out", str(out)]) == 0
    with Image.open(out) as sheet:
        assert sheet.width > 200 and len(sheet.getcolors(1 << 24) or []) > 100


def test_a_page_holds_the_picture_and_every_parameter(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "seen.html"
    assert run_command(["preview", str(photos), "--views.strong.jitter", "0.3", "--out", str(out)]) == 0
    page = out.read_text()
    assert "data:image/png;base64," in page and "--views.strong.jitter" in page and "0.3" in page
    assert "before any training" in page and "--method.temperature" in page


def test_a_runs_own_network_answers(photos: Path, tmp_path: Path) -> None:
    run = selftaught.pretrain(str(photos), out=str(tmp_path / "run"), layout="contiguous", **QUICK)
    out = tmp_path / "seen.html"
    assert run_command(["preview", str(photos), "--run", str(run.folder), "--out", str(out)]) == 0
    assert "inpainting" in out.read_text() and "before any training" not in out.read_text()


@pytest.mark.parametrize("method", ["deepcluster", "instance_discrimination"])
def test_a_runs_network_answers_about_other_and_fewer_images(method: str, photos: Path, tmp_path: Path) -> None:
    """Though it holds a slot for every sample it was trained on."""
    run = selftaught.pretrain(
        str(photos), out=str(tmp_path / "run"), layout="contiguous", **{**QUICK, "method": method}
    )
    recipe = {"data": str(photos), "run": str(run.folder), "limit": 4, "samples": 2}
    _, preparation = answers(Preview.parse(recipe))
    assert preparation == run.encoder().preparation


def test_what_cannot_be_shown_gets_one_line(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["preview", str(photos), "--out", "seen.gif"]) == 2
    assert run_command(["preview", "sklearn:wine"]) == 2
    told = capsys.readouterr().err
    assert "must end in .png or .html" in told and "nothing to see in rows" in told
