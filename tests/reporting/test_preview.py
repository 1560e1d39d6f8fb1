"""Previews: every method can be seen before it is trained, and after."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import selftaught
from selftaught.commands.cli import run_command
from selftaught.methods import registry
from selftaught.reporting.preview import answers
from selftaught.run.recipes import Preview
from selftaught.system.errors import UsageError
from selftaught.training import job
from selftaught.training.pretrained import load_teacher
from tests.data.series.writing import waves
from tests.data.text.writing import lines
from tests.networks import HALVED, SHALLOW
from tests.networks import flags as flags_of
from tests.teachers import teacher_for

QUICK = {"method": "inpainting", "encoder": HALVED, "steps": 2, "batch_size": 8, "precision": "32-true"}


@pytest.mark.parametrize("name", sorted(registry.places()))
def test_every_method_can_be_previewed(name: str, photos: Path, tmp_path: Path) -> None:
    cls = registry.method_class(name)
    out = tmp_path / "seen.png"
    flags = ["--method", name, *flags_of(SHALLOW if cls.needs_tokens else HALVED), "--size", "32"]
    if (kind := registry.kind_of(cls)) != "images":
        photos, flags = lines(tmp_path) if kind == "text" else waves(tmp_path), ["--method", name]
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


def test_how_the_data_were_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "x.npy", np.zeros((9, 5, 40, 48), np.uint8))
    out = tmp_path / "seen.png"
    flags = [*flags_of(HALVED), "--size", "16", "--samples", "2", "--out", str(out)]
    assert run_command(["preview", str(tmp_path / "x.npy"), "--method", "denoising", *flags]) == 0
    assert "if channels come first, save it as" in capsys.readouterr().err and out.exists()


@pytest.mark.parametrize("bands", [3, 6])
def test_a_page_says_where_bands_are_shown_as_their_mean(bands: int, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (9, 16, 16, bands), dtype=np.uint8))
    out = selftaught.preview(tmp_path / "x.npy", out=tmp_path / "x.html", **SMALL)
    assert ("Of 6 bands the mean is shown as grey" in out.read_text()) == (bands == 6)


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


def test_broken_images_are_left_out_where_that_is_allowed_and_listed_nowhere(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "red" / "broken.jpg").write_bytes(b"no picture")
    monkeypatch.chdir(tmp_path)
    assert run_command(["preview", "photos"]) == 3
    told = capsys.readouterr().err
    assert "`selftaught check` on this data lists all; use --tolerance to go on without them" in told
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    assert run_command(["preview", "photos", "--tolerance", "5%"]) == 0 and Path("preview.png").exists()


class Pairs:
    """A data set as torch and Hugging Face have them."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, row: int) -> dict[str, object]:
        return {"image": Image.fromarray(PIXELS[row]), "label": row % 2}


PIXELS = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
SMALL = {"method": "simclr", "encoder": HALVED, "samples": 4}


def test_what_somebody_holds_in_python_is_shown_as_its_files_are(tmp_path: Path) -> None:
    np.save(tmp_path / "held.npy", PIXELS)
    ways = (PIXELS, torch.from_numpy(PIXELS).permute(0, 3, 1, 2), [Image.fromarray(one) for one in PIXELS], Pairs())
    seen = [selftaught.preview(tmp_path / "held.npy", out=tmp_path / "file.png", **SMALL).read_bytes()]
    for number, data in enumerate(ways):
        more = {"column": "image"} if isinstance(data, Pairs) else {}
        seen.append(selftaught.preview(data, out=tmp_path / f"{number}.png", **SMALL, **more).read_bytes())
    assert len({*seen}) == 1 and seen[0].startswith(b"\x89PNG")


def test_of_fewer_samples_than_are_usual_all_are_shown(tmp_path: Path) -> None:
    six = selftaught.preview(PIXELS, out=tmp_path / "six.png", **{**SMALL, "samples": 6})
    usual = selftaught.preview(PIXELS, out=tmp_path / "usual.png", **{**SMALL, "samples": 8})
    assert usual.read_bytes() == six.read_bytes()


def test_views_of_somebodys_own_are_shown_beside_the_others(tmp_path: Path) -> None:
    views = {"strong_other": torch.zeros_like, "strong": {"crop": [1.0, 1.0]}}
    file = selftaught.preview(PIXELS, out=tmp_path / "own.html", views=views, **{**SMALL, "method": "byol"})
    assert "zeros_like" in file.read_text() and "(1.0, 1.0)" in file.read_text()
    out = selftaught.preview(PIXELS, out=tmp_path / "own.png", views=views, **{**SMALL, "method": "byol"})
    with Image.open(out) as sheet:
        black = np.asarray(sheet.convert("L"))[-40:-20] < 2
    assert black.mean() > 0.4  # the last row of pictures, but for the gaps and its name
    with pytest.raises(UsageError, match="no view 'local' of your own can be used: the method's views are strong"):
        selftaught.preview(PIXELS, views={"local": torch.zeros_like}, **SMALL)


def test_a_network_too_large_for_the_machine_is_refused_beside_a_teacher_that_nobody_has_loaded_yet(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_teacher.cache_clear()
    monkeypatch.setattr(job, "machine_memory", lambda: 1 << 20)
    wide = {"name": "test_resnet", "options": {"width": 64}}
    asked = {"data": str(photos), "method": "distill", "encoder": wide, "size": "32", "samples": 4}
    with pytest.raises(UsageError, match="the network would take"):
        answers(Preview.parse(asked | teacher_for("distill", tmp_path / "teacher")))
