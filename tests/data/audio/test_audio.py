"""Clips from end to end: the same methods and commands as for images, unchanged."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import selftaught
from selftaught.commands.cli import run_command
from selftaught.data.audio import MODALITY
from selftaught.data.audio.baseline import statistics
from selftaught.data.audio.decode import decode
from selftaught.data.audio.preparation import Preparation
from selftaught.data.audio.samples import open_samples
from selftaught.system.errors import UsageError
from tests.data.audio.tones import folder, tone, wav

HOW = Preparation.at(4000, (24, 32))
SIZED = ["--size", "16x24"]
QUICK = {
    "check": ["--encoder", "test_resnet", *SIZED, "--batch-size", "16", "--json"],
    "preview": ["--encoder", "test_vit", "--encoder.patch", "4", *SIZED, "--samples", "4"],
    "pretrain": ["--encoder", "test_resnet", *SIZED, "--batch-size", "16", "--precision", "32-true", "--map", "24"],
    "evaluate": ["--probe", "knn,linear", "--labels", "5", "--repeats", "1", "--json"],
    "finetune": ["--finetune.epochs", "1"],
}


def test_the_pages_commands_lead_from_clips_to_a_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "clips", 16)
    page = (Path(__file__).parents[3] / "docs" / "audio.md").read_text()
    install, block = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    assert install == "pip install 'selftaught[audio]'\n"
    said = {}
    for line in block.splitlines():
        words = line.replace("--epochs 100", "--steps 3").replace(" --encoder vit_tiny_patch16_224", "").split()[1:]
        assert run_command([*words, *QUICK.get(words[0], ())]) == 0, line
        said[words[0]] = capsys.readouterr().out
    found, judged = (json.loads(said[name]) for name in ("check", "evaluate"))
    assert found["things"] == "clips" and found["clips"]["rates"] == {"4000": 32} and found["forecast"]["seconds"] > 0
    assert Image.open("preview.png").width > 4 * 96
    assert {"pictures.png", "encoder", "map", "report.html"} <= {path.name for path in Path("run").iterdir()}
    assert {row["features"] for row in judged["rows"]} == {"trained", "untrained", "pixels"}
    shares = {(row["probe"], row["features"]): row["accuracy"] for row in judged["rows"]}
    assert shares["linear", "pixels"] > 0.9  # tones are what cepstra tell apart
    assert "MFCCs" in judged["verdict"] and judged["things"] == "clips"
    assert len(Path("predictions.csv").read_text().splitlines()) == 33
    assert Path("run/encoder/model.onnx").is_file() and "MFCCs" in Path("run/report.html").read_text()
    played = re.findall(r'<audio[^>]* src="data:audio/wav;base64,([^"]+)"', Path("run/report.html").read_text())
    told, sound = decode(base64.b64decode(played[0]), 4000)
    assert len(played) >= 8 * 7 and told.rate == 8000 and told.seconds == 1
    loud = np.abs(np.fft.rfft(sound)).argmax()  # in Hz, as it lasts a second
    assert 200 <= loud <= 280 or 900 <= loud <= 980
    Path("run/map/sounds.npy").write_bytes(b"no array")
    assert run_command(["report", "run"]) == 0 and "<audio" not in Path("run/report.html").read_text()
    encoder = selftaught.load_encoder("run")
    samples = open_samples("clips", like=encoder.preparation)
    (plain,) = samples.views(["plain"])(torch.arange(32), *samples.batch(np.arange(32)))
    with torch.no_grad():
        assert np.allclose(encoder(plain).numpy(), np.load("features.npz")["features"], atol=1e-5)
    card = Path("run/encoder/README.md").read_text()
    assert "audio-feature-extraction" in card and "one channel at 4,000 Hz" in card


def test_a_run_that_goes_on_ends_as_one_that_was_never_stopped(tmp_path: Path) -> None:
    data = str(folder(tmp_path / "clips", 10))
    how: dict[str, Any] = {"method": "simclr", "encoder": "test_resnet", "size": "16x24", "batch_size": 8, "map": 0}
    how |= {"precision": "32-true", "layout": "contiguous", "sampling_rate": 2000, "steps": 4, "grow": "0.5:0.5"}
    whole = selftaught.pretrain(data, out=str(tmp_path / "whole"), **how)
    for step in selftaught.steps(data, out=str(tmp_path / "run"), **how):
        if step.step == 2:
            break
    again = selftaught.pretrain(data, out=str(tmp_path / "run"), resume=True, **how)
    one, two = (selftaught.load_encoder(run.folder) for run in (whole, again))
    assert all(torch.equal(weight, two.state_dict()[name]) for name, weight in one.state_dict().items())
    assert two.preparation.rate == 2000 and again.recipe.size == (16, 24)


def test_the_baseline_is_of_the_whole_clip_and_of_no_silence_that_was_put_round_it(tmp_path: Path) -> None:
    folder(tmp_path / "clips", 2)
    wav(tmp_path / "clips/high/00.wav", np.concatenate([tone(300), np.zeros(800)]))  # below the floor in the end
    samples = open_samples(str(tmp_path / "clips"))
    wider = open_samples(str(tmp_path / "clips"), size=(64, 400))
    assert statistics(samples).shape == (4, 40) and np.array_equal(statistics(samples), statistics(wider))
    part = samples.subset(np.array([2, 0]))
    assert np.array_equal(statistics(part), statistics(samples)[[2, 0]])
    heard, same = part.heard(0, 4000), samples.heard(2, 4000)
    assert heard is not None and same is not None and np.array_equal(heard, same)
    first, count = samples.stretches[0]
    levels = samples.frames[first : first + count].astype(np.float64).clip(samples.preparation.low)
    assert np.isclose(
        statistics(samples)[0, 0], levels.sum(axis=1).mean() / 8, rtol=1e-3
    )  # the first is the mean, times 8


def test_what_is_not_for_clips_is_refused_in_one_line(tmp_path: Path) -> None:
    data = str(folder(tmp_path / "clips", 4))
    for method in ("rotation", "transformation"):
        with pytest.raises(UsageError, match=f"{method} turns samples, whose axes must mean the same for that, and "):
            selftaught.pretrain(data, method=method, out=str(tmp_path / "a"))
    with pytest.raises(UsageError, match=r"colorization asks about colours, and .* holds clips"):
        selftaught.pretrain(data, method="colorization", encoder="test_resnet", batch_size=4, out=str(tmp_path / "a"))
    with pytest.raises(UsageError, match="--sampling-rate 8000 is for sound: rows have no rate that could be another"):
        selftaught.pretrain("sklearn:wine", sampling_rate=8000, out=str(tmp_path / "a"))
    with pytest.raises(UsageError, match="--views-for xray is for images"):
        selftaught.pretrain(data, views_for="xray", out=str(tmp_path / "a"))
    with pytest.raises(UsageError, match=r"--column sound is for images, and .* holds clips"):
        open_samples(data, column="sound")
    assert not MODALITY.TURNABLE and MODALITY.task("classification") == "audio-classification"
    silent = wav(tmp_path / "silent" / "a.wav", 0 * tone(300))
    assert run_command(["pretrain", str(silent.parent), "--out", str(tmp_path / "b")]) == 3
