"""What a run folder that a power cut or a stranger has had its hands on still tells, and what it is refused for."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from selftaught.data.cache import Facts
from selftaught.judging.comparison import read_runs
from selftaught.reporting.run_page import page_of
from selftaught.run import checkpoint, export
from selftaught.run.checkpoint import CheckpointError
from selftaught.run.digests import read_digests
from selftaught.run.export import load_encoder
from selftaught.run.folder import RunFolder
from selftaught.run.plan import Way
from selftaught.system.errors import UsageError
from selftaught.system.reading import json_lines
from selftaught.training.measuring.speed import way_in
from tests.reliability.written import LINES, write_run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    write_run(tmp_path / "run")
    return RunFolder(tmp_path / "run")


def test_a_status_that_cannot_be_read_counts_for_nothing_and_is_said_once(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.status["state"] == "done"
    (run.folder / "status.json").write_text('{"state": "done", "health_at_start": 5}')
    assert run.status == {} and run.status == {}
    said = capsys.readouterr().err
    assert said.count("status.json cannot be read, and is made anew: health_at_start: ") == 1
    run.set_status("running")
    assert run.status["state"] == "running"


def test_lines_that_cannot_be_read_are_left_out_aloud(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    file = run.folder / "metrics.jsonl"
    file.write_text('{"a": 1}\n' + file.read_text() + '{"step": 1, "health": {"x": "y"}}\n{"step": 3, "lo')
    (run.folder / "bad_batches.jsonl").write_text('{"step": null}\n{"step": 2}\n')
    assert run.metrics() == LINES and run.bad_steps() == [2]
    run.forget_metrics_after(2)
    said = capsys.readouterr().err
    assert "2 of 5 lines of metrics.jsonl cannot be read, and are left out" in said
    assert "1 of 2 lines of bad_batches.jsonl cannot be read" in said
    assert [json.loads(line) for line in file.read_text().splitlines()] == LINES[:2]
    run.forget_metrics_after(2)
    assert not capsys.readouterr().err


def test_lines_of_a_run_that_goes_on_are_kept_however_many_there_are(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = run.folder / "metrics.jsonl"
    whole = file.read_text()
    monkeypatch.setattr(json_lines, "__defaults__", (dict, len(whole) // 3))  # bytes that are read at once
    run.forget_metrics_after(2)
    assert file.read_text() == "".join(whole.splitlines(keepends=True)[:2]) and not capsys.readouterr().err
    assert not list(run.folder.glob(".*"))


def test_lines_of_a_comparison_that_are_none_are_counted(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    file = run.folder / "comparison.jsonl"
    assert [ran.method for ran in read_runs(file)] == ["mae", "mae"] and not capsys.readouterr().err
    whole = file.read_text().splitlines(keepends=True)
    file.write_text(f"{whole[0]}{{\n[]\n{whole[1].replace(': 0,', ': null,')}{whole[1]}{whole[1][:9]}")
    assert len(read_runs(file)) == 2
    assert "3 of 5 lines of " in (said := capsys.readouterr().err) and said.count("\n") == 1


def test_features_that_nobody_knows_go_by_their_own_name(run: RunFolder) -> None:
    file = run.folder / "evaluation.json"
    held = file.read_text()
    file.write_text(held.replace('"untrained"', '"of <others>"'))
    assert held != file.read_text()
    assert "of &lt;others&gt;" in page_of([run.folder])


def config(run: RunFolder, change: Callable[[dict[str, Any]], None]) -> None:
    file = run.folder / "encoder/config.json"
    held = json.loads(file.read_text())
    change(held["selftaught"])
    file.write_text(json.dumps(held))


@pytest.mark.parametrize(
    ("place", "name", "value", "said"),
    [
        ("preparation", "size", [0, 0], "size.0: input should be greater than"),
        ("preparation", "size", [-4, 8], "size.0"),
        ("preparation", "size", [2**40, 8], "size.0"),
        ("preparation", "mean", [], "one mean and one std for each channel"),
        ("preparation", "mean", ["NaN", 1, 1], "mean.0: input should be a finite number"),
        ("preparation", "mean", [float("nan"), 1, 1], "mean.0"),
        ("preparation", "std", [0, 0, 0], "std.0: input should be greater than"),
        ("preparation", "std", [1e-300] * 3, "std.0"),
        ("preparation", "low", 255, "low is to lie below high"),
        ("preparation", "high", float("inf"), "high: input should be a finite number"),
        ("preparation", "channels", 0, "channels: "),
        ("preparation", "channels", 10**12, "channels: "),
        ("encoder", "options", [], "options: it is no object"),
        ("encoder", "options", {"depth": 1_000_000}, "encoder test_resnet option 'depth' cannot be 1000000"),
        ("encoder", "options", {"pretrained": True}, "encoder test_resnet has no option 'pretrained'"),
        ("encoder", "options", {"drop_path": 2}, "encoder test_resnet option 'drop_path' cannot be 2"),
        ("encoder", "options", {"depth": 500, "width": 30_000}, "its network takes "),
        ("encoder", "name", "nope", "no encoder named 'nope'"),
        ("encoder", "name", "hf-hub:a/b", "no encoder named 'hf-hub:a/b'"),
        ("encoder", "name", "local-dir:/etc", "no encoder named 'local-dir:/etc'"),
        ("encoder", "name", 3, "name: "),
    ],
)
def test_a_config_that_no_network_is_made_of_is_refused_in_one_line(
    run: RunFolder, place: str, name: str, value: Any, said: str
) -> None:
    config(run, lambda held: held[place].update({name: value}))
    with pytest.raises(UsageError) as caught:
        load_encoder(run.folder)
    assert said in str(caught.value) and "\n" not in str(caught.value) and "/encoder/config.json" in str(caught.value)


@pytest.mark.parametrize("change", [{"encoder": 3}, {"preparation": None}, {"modality": "../data"}, {"modality": []}])
def test_a_config_of_something_else_is_refused_in_one_line(run: RunFolder, change: dict[str, Any]) -> None:
    config(run, lambda held: held.update(change))
    with pytest.raises(UsageError, match=r"config.json was not written by selftaught, or was changed since: "):
        load_encoder(run.folder)


def test_weights_whose_header_is_beyond_measure_are_not_read(run: RunFolder) -> None:
    file = run.folder / "encoder/model.safetensors"
    file.write_bytes((1 << 30).to_bytes(8, "little") + bytes(100))
    with pytest.raises(UsageError, match=r"is not this encoder's: its header has 1,073,741,824 bytes"):
        load_encoder(run.folder)


def test_a_network_may_be_wider_in_memory_than_its_weights_on_the_disk(run: RunFolder, monkeypatch: Any) -> None:
    file = run.folder / "encoder/model.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(file).items()}, file)
    monkeypatch.setattr(export, "HARMLESS", 0)
    load_encoder(run.folder)


@pytest.mark.parametrize(
    "manifest", ["[]", '{"state.json": 3}', '{"state.json": {"bytes": -1, "sha256": ""}}', "[" * 9999]
)
def test_a_manifest_that_is_none_is_a_damaged_checkpoint(run: RunFolder, manifest: str) -> None:
    (path,) = checkpoint.steps(run.checkpoints)
    (path / "manifest.json").write_text(manifest)
    with pytest.raises(CheckpointError):
        checkpoint.load(path)


@pytest.mark.parametrize("content", ["5", "null", '["32-true", "contiguous", "evil"]', "", "[" * 9999])
def test_a_remembered_choice_that_is_none_is_measured_anew(run: RunFolder, content: str) -> None:
    file = run.folder / "choice.json"
    assert way_in(file) == Way()
    file.write_text(content)
    assert way_in(file) is None


WHOLE: dict[str, Any] = {"kept": [0, 1, 3], "aspect": [1.0, 2.0, 0.5], "quarantined": [(2, "empty file")]}


@pytest.mark.parametrize(
    "change",
    [
        {"kept": [1000, 1001, 1003]},
        {"kept": [0, 1], "aspect": [1.0, 2.0]},
        {"kept": [3, 1, 0]},
        {"kept": [0, 1, 1]},
        {"kept": [-1, 1, 3]},
        {"kept": "x"},
        {"aspect": [1.0, 2.0, 0.0]},
        {"quarantined": []},
        {"quarantined": [(2, 2)]},
    ],
)
def test_a_record_of_decoded_images_that_does_not_fit_them_is_made_anew(
    tmp_path: Path, change: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "record.json"
    assert Facts.read(file, 4) is None and not capsys.readouterr().err
    Facts(**WHOLE).write(file)
    known = Facts.read(file, 4)
    assert known and known.kept == [0, 1, 3]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic's, of values that no facts have
        Facts.model_construct(**WHOLE | change).write(file)
    assert Facts.read(file, 4) is None and Facts.read(file, 4) is None
    assert capsys.readouterr().err.count("record.json is damaged, and is made anew") == 1


def test_a_record_that_was_changed_is_made_anew_though_it_fits(tmp_path: Path) -> None:
    Facts(**WHOLE).write(file := tmp_path / "record.json")
    held = json.loads(file.read_text())
    file.write_text(json.dumps(held | {"aspect": [1.0, 2.5, 0.5]}))
    assert Facts.read(file, 4) is None
    file.write_text(json.dumps(held))
    assert Facts.read(file, 4)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\x08\x00{'a': (\n", bytes(300), b"x" * 3000])
def test_digests_that_are_none_count_for_nothing(run: RunFolder, content: bytes) -> None:
    assert read_digests(run.folder) is not None
    (run.folder / "data.digests.npy").write_bytes(content)
    assert read_digests(run.folder) is None


def test_a_recipe_may_hold_what_json_does_not_know(run: RunFolder) -> None:
    (run.folder / "recipe.yaml").write_text("method: {name: simclr}\ndata: 2020-01-01\nsize: {1: [2020-01-01]}\n")
    assert "2020-01-01" in page_of([run.folder])
