"""Where nobody names a network or a size, they are those that the device can train; what a GPU would take is said."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import selftaught
from selftaught.commands.cli import run_command
from selftaught.contracts import modality
from selftaught.data.images.preparation import default_size
from selftaught.judging.bench import Bench
from selftaught.judging.compare import RECIPE
from selftaught.reporting.check_page import lines
from selftaught.run.recipes import Compare, Pretrain
from selftaught.system.interruption import Stop
from selftaught.system.measured import known
from selftaught.training.resolve import Counted, resolve
from selftaught.training.usual import encoder_flags, flags_of
from tests.methods.making import images

QUICK = ["--steps", "1", "--batch-size", "4", "--precision", "32-true", "--layout", "contiguous", "--memory", "1GB"]
USUAL = known().usual
ENCODER = encoder_flags(USUAL.encoder) if USUAL.encoder else []
FEW = (
    f"chosen for a CPU and fewer than 10,000 images: {' '.join([*ENCODER, *flags_of(USUAL.views)])}; "
    f"--method simclr, named, keeps the views of its preset{' and has a plain encoder' * bool(ENCODER)}"
)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Photos of two sizes."""
    (tmp_path / "album").mkdir()
    for i, side in enumerate([120, 150] * 4):
        noise = np.random.default_rng(i).integers(0, 255, (side, 130, 3), np.uint8)
        PIL.Image.fromarray(noise).save(tmp_path / f"album/{i}.png")
    return tmp_path / "album"


def encoder(on: str | None, **told: object) -> str:
    recipe = Pretrain.parse({"data": "photos", **told})
    return resolve(recipe, Counted(50_000, images(), device=on)).encoder.name


def test_the_network_is_by_the_device_where_nothing_names_another() -> None:
    assert encoder(None, device="cpu") == encoder("cpu") == "resnet10t"
    assert encoder("cuda") == encoder("mps") == "resnet18"
    assert encoder("cpu", encoder="resnet50") == "resnet50"
    assert encoder("cpu", method="mae") == encoder("cuda", method="mae") == "vit_tiny_patch16_224"
    # Of what other weights are named for, a file of them has to fit, wherever it is trained.
    assert encoder("cpu", init="weights.safetensors") == encoder("cpu", teacher="weights.safetensors") == "resnet18"
    assert Bench(Compare.parse({"data": "sklearn:digits"}), {}, Stop()).encoder.name == "resnet10t"
    for kind in ("series", "tables", "text"):
        known = modality.named(kind)
        assert known.usual_encoder("cpu") == known.usual_encoder("cuda") == known.ENCODER


def test_photos_are_as_large_as_the_device_can_take_and_small_images_as_they_are(album: Path) -> None:
    sides = {"cpu": 96, "mps": 128, "cuda": 224}
    assert {device: default_size({(300, 200)}, device) for device in sides} == {k: (v, v) for k, v in sides.items()}
    assert default_size({(40, 48)}, "cuda") == (40, 48)
    opened = modality.named("images").open_samples
    for device, side in sides.items():
        samples = opened(album, device=device)
        assert samples.preparation.size == (side, side)
        assert samples.batch(np.arange(2))[0].shape[-1] > side  # there is more to crop from


def test_check_and_pretrain_say_what_was_chosen_for_a_cpu(
    album: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(album.parent)
    said = "chosen for a CPU: --encoder resnet10t --size 96; for a GPU it would be resnet18 at 224 px"
    findings = selftaught.check("album", batch_size=4)
    assert findings.as_json()["suggested"]["by_device"] == [said, FEW]
    assert ("", said) in lines(findings) and ("", FEW) in lines(findings)
    capsys.readouterr()
    asked = ["pretrain", "album", "--device", "cpu", *QUICK, "--out", "run"]
    assert run_command(asked) == 0
    told = capsys.readouterr().err
    assert told.count(said) == told.count(FEW) == 1
    assert run_command([*asked, "--resume"]) == 0
    assert "chosen for" not in capsys.readouterr().err  # the run has them


@pytest.mark.parametrize(
    ("data", "asked", "said"),
    [
        ("album", ["--encoder", "test_resnet"], ["chosen for a CPU: --size 96; for a GPU it would be 224 px"]),
        (
            "sklearn:digits",
            ["--limit", "20"],
            ["chosen for a CPU: --encoder resnet10t; for a GPU it would be resnet18", FEW],
        ),
        (
            "sklearn:digits",
            ["--limit", "20", "--method", "simclr"],
            ["chosen for a CPU: --encoder resnet10t; for a GPU it would be resnet18"],
        ),
        ("sklearn:digits", ["--limit", "20", "--encoder", "test_resnet"], []),
        ("album", ["--size", "32", "--encoder", "test_resnet"], []),
    ],
)
def test_no_more_is_said_than_was_chosen(
    data: str, asked: list[str], said: list[str], album: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(album.parent)
    assert run_command(["pretrain", data, "--device", "cpu", *asked, *QUICK, "--out", "run"]) == 0
    told = [line.strip() for line in capsys.readouterr().err.splitlines() if "chosen for" in line]
    assert told == said


def test_a_comparison_goes_on_with_what_it_began_with(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "compared"
    words = ["--epochs", "0.1", "--precision", "32-true", "--layout", "contiguous", "--seeds", "1"]
    asked = ["compare", str(photos), "--methods", "simclr", *words, "--out", str(out)]
    assert run_command(asked) == 0
    assert "chosen for a CPU: --encoder resnet10t; for a GPU it would be resnet18" in capsys.readouterr().err
    begun = Compare.load(out / RECIPE)
    assert (begun.encoder and begun.encoder.name, begun.size) == ("resnet10t", (16, 16))
    # One that was begun when these were not noted has what was usual then.
    former = begun.model_copy(update={"encoder": None, "size": None})
    bench = Bench(former, {}, Stop())
    assert (bench.encoder.name, bench.device) == ("resnet18", "mps")
