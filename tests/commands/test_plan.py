"""selftaught plan: text, JSON, a file of settings in place of data, and one line for what cannot be."""

import json
from pathlib import Path
from typing import Any

import pytest

from selftaught.commands.cli import run_command
from selftaught.methods.contrastive.negatives.simclr import SimCLR
from tests.clocks import held, steps_take

NETWORK = ["--encoder", "test_resnet", "--size", "16"]
FAR = ["--nodes", "2", "--devices", "8", "--card", "h100", "--epochs", "1", "--batch-size", "1024"]
LACKING = ["--samples", "100000000", "--storage", "1TB"]


def told(args: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run_command(["plan", *args, "--json"]) == 0
    captured = capsys.readouterr()
    assert not captured.err
    found: dict[str, Any] = json.loads(captured.out)
    return found


def test_json_alone_on_standard_output_whose_numbers_hang_together(capsys: pytest.CaptureFixture[str]) -> None:
    found = told([*NETWORK, *FAR, *LACKING, "--first-pass", "all"], capsys)
    assert (found["samples"], found["steps"], found["precision"]) == (10**8, 97656, "bf16-mixed")
    assert found["machines"]["processes"] == 16 and found["machines"]["network_bytes_per_second"] == 400e9
    memory = found["memory"]
    parts = ("weights", "gradients", "optimizer", "still", "banks", "activations", "context")
    assert memory["total"] == pytest.approx(sum(memory[part] for part in parts)) and memory["there"] == 80e9
    assert found["days"] == pytest.approx(found["steps"] * found["speed"]["step_seconds"] / 86400)
    reading, rate = found["reading"], found["speed"]["samples_per_second"]
    assert reading["home"] == "cache" and reading["bytes_per_second"] == pytest.approx(16 * 16 * 3 * rate)
    assert "seconds" not in found["measured"] and found["measured"]["operations"] > 1e6
    assert any("data sheet" in line for line in found["assumptions"])


def test_text_for_people_says_that_an_estimate_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["plan", *NETWORK, *FAR, *LACKING]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "2 machines with 8 x h100, 16 processes, 8xndr" in shown
    assert "estimated, not measured, for h100 in bf16-mixed" in shown and "is not hidden" in shown
    assert "training stands still" in shown and "assumed h100: NVIDIA H100 data sheet" in shown


def test_without_a_card_it_is_what_was_measured_here(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    steps_take(lambda: 0.25, SimCLR, held(monkeypatch), monkeypatch)
    found = told([str(photos), *NETWORK, "--batch-size", "8", "--nodes", "4", "--samples", "4800"], capsys)
    assert found["measured"]["seconds"] == 0.25 / 8 and found["samples"] == 4800
    assert found["speed"]["compute_seconds"] == 2 * 0.25 / 8
    assert found["machines"]["card"] == "cpu" and "measured on this cpu" in found["speed"]["rests_on"]
    files = [file.stat().st_size for file in photos.rglob("*.jpg")]
    assert found["reading"]["home"] == "memory" and [*tmp_path.iterdir()] == [photos]
    streamed = told(
        [str(photos), *NETWORK, *FAR, *LACKING[:2], "--storage", "1TB", "--memory", "1kB", "--cache", "1kB"], capsys
    )
    assert streamed["reading"]["home"] == "stream"
    assert streamed["reading"]["sample_bytes"] == pytest.approx(sum(files) / len(files))


def test_settings_may_stand_in_the_place_of_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("method: {name: vicreg, options: {width: 64}}\nencoder: test_resnet\nsize: 16\nepochs: 1\n")
    asked = [str(file), *LACKING, "--batch-size", "1024", "--card", "a100", "--method.width", "32"]
    narrow, wide = (told([*asked, "--method.width", width], capsys) for width in ("32", "64"))
    assert narrow["method"] == "vicreg" and narrow["data"] == "no data"
    assert narrow["measured"]["operations"] < wide["measured"]["operations"]


def test_the_batch_that_fits_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--encoder", "test_resnet", "--size", "64", *FAR[:-2], *LACKING, "--batch-size", "auto", "--card", "t4"]
    found = told(asked, capsys)
    share = found["batch_size"] // 16
    assert share & (share - 1) == 0 and share > 64 and found["memory"]["total"] < 16e9


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([*NETWORK, *FAR], "say how many samples there will be and how large: --samples and --size"),
        (["--samples", "1000"], "say how many samples there will be and how large: --samples and --size"),
        ([*NETWORK, *LACKING, "--card", "h1000"], "--card 'h1000' is not known; did you mean 'h100'?"),
        ([*NETWORK, *LACKING, "--network", "8xndx"], "did you mean 'ndr'?"),
        ([*NETWORK, *LACKING, "--devices", "all"], "say how many each of those has"),
        ([*NETWORK, *LACKING, *FAR[:-2], "--batch-size", "1000"], "use 992 or 1008"),
        ([*NETWORK, *LACKING, "--card", "t4", "--precision", "bf16-mixed"], "cannot be foreseen on t4"),
        ([*NETWORK, *FAR, *LACKING, "--method", "simclear"], "did you mean 'simclr'"),
        ([*NETWORK, *FAR, *LACKING, "--storage", "1MB"], "each machine has to read"),
        ([*NETWORK, *FAR, *LACKING, "--shard", "2", "--compile"], "--shard 2 cannot be had with --compile: leave one"),
        (
            [*NETWORK, *FAR, "--samples", "10000000000", "--method", "instance_discrimination"],
            "keeps 128 numbers of each of 10,000,000,000 samples, 5120.0 GB in every process",
        ),
        (
            [*NETWORK, *FAR, "--samples", "100000000", "--method", "deepcluster"],
            "samples, 104.8 GB in every process, and there are 80.0 GB of memory",
        ),
        (
            [*NETWORK, "--size", "32", *FAR, "--samples", "100000000", "--method", "pirl", "--card", "a10"],
            "51.2 GB in every process, and there are 24.0 GB of memory",
        ),
    ],
)
def test_what_cannot_be_gets_one_line_and_exit_code_2(
    args: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held(monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert run_command(["plan", *args]) == 2
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1 and not captured.out and not list(tmp_path.iterdir())


def test_columns_of_metadata_are_looked_for_and_what_they_say_is_not(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [file.relative_to(photos).as_posix() for file in sorted(photos.rglob("*.jpg"))]
    (tmp_path / "facts.csv").write_text(
        "path,patient\n" + "".join(f"{name},p{n // 2}\n" for n, name in enumerate(names))
    )
    asked = ["--metadata", "facts.csv", *NETWORK, *FAR, *LACKING]
    assert run_command(["plan", str(photos), *asked, "--groups", "nosuch"]) == 2
    assert "there is no column 'nosuch' of metadata" in capsys.readouterr().err
    assert run_command(["plan", str(photos), *asked, "--groups", "patient", "--order", "blocks"]) == 2
    assert "--groups arranges every epoch as a whole" in capsys.readouterr().err
    for data in ([str(photos)], []):
        found = told([*data, *asked, "--groups", "patient"], capsys)
        assert found["assumptions"][-1] == "metadata: what patient says of the samples was not looked at"
