"""Saves are written in the background: of the step they are named by, one at a time, waited for, and never lost."""

import errno
import json
import math
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from selftaught.commands.python import Run
from selftaught.run import checkpoint
from selftaught.run.recipes import Pretrain
from selftaught.system.background import Background
from selftaught.system.errors import Unsaved
from selftaught.training import keeping
from selftaught.training.following import Follower
from selftaught.training.looking import health
from selftaught.training.looking.health import Health
from selftaught.training.pretrain import pretrain
from tests.networks import HALVED
from tests.reliability.faults import in_child
from tests.reliability.states import TINY

MOVED = ("recipe.yaml", "run.log", "selftaught.jsonl", "status.json")  # written by every process that goes on
PATIENCE = 60.0  # seconds; only what has gone wrong takes so long


def command(out: Path, **more: Any) -> Pretrain:
    values = {"data": "sklearn:digits", "limit": 32, "method": "rotation", "encoder": HALVED, "size": 16}
    return Pretrain.parse({**TINY, **values, "steps": 3, "map": 0, "out": str(out), **more})


def after_step(what: Callable[[Follower, int], None], patch: pytest.MonkeyPatch) -> None:
    """Do something as soon as all is done that follows a step."""
    follow = Follower.__call__

    def followed(self: Follower, step: int, terms: dict[str, torch.Tensor]) -> None:
        follow(self, step, terms)
        what(self, step)

    patch.setattr(Follower, "__call__", followed)


def at_files(what: Callable[[Path], Any], patch: pytest.MonkeyPatch) -> None:
    """Do something in the background, before each file of tensors is written."""
    own = checkpoint._write_tensors

    def written(tensors: Any, file: Path) -> None:
        assert threading.current_thread() is not threading.main_thread()
        what(file)
        own(tensors, file)

    patch.setattr(checkpoint, "_write_tensors", written)


def is_of(step: int, file: Path) -> bool:
    return f"step_{step:07d}" in file.parent.name


def test_what_is_written_is_the_state_of_its_step_though_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, known = threading.Event(), dict[int, dict[str, torch.Tensor]]()
    at_files(lambda file: go.wait(PATIENCE), monkeypatch)

    def see(follower: Follower, step: int) -> None:
        job = follower.job
        state = {f"model/{name}": x for name, x in checkpoint.model_tensors(job.method).items()}
        state |= {f"optimizer/{name}": x for name, x in checkpoint.optimizer_tensors(job.optimizer).items()}
        known[step] = {name: x.clone() for name, x in state.items()}
        if step == 3:
            assert not checkpoint.steps(follower.run.checkpoints)  # of step 2 nothing is whole as step 3 is done
            go.set()

    after_step(see, monkeypatch)
    run = pretrain(command(tmp_path / "run", steps=4, checkpoint_every="2"))
    for step in (2, 4):
        folder = run.checkpoints / f"step_{step:07d}"
        for name, tensor in known[step].items():
            group, _, own = name.partition("/")
            assert torch.equal(load_file(folder / f"{group}.safetensors")[own], tensor), (step, name)
    assert any(not torch.equal(known[2][name], known[3][name]) for name in known[2])


def test_one_save_waits_for_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go, inside, most = threading.Event(), list[int](), list[int]()
    at_files(lambda file: go.wait(PATIENCE), monkeypatch)
    save, wait = checkpoint.save, Background.wait

    def counted(folder: Path, step: int, *more: Any, **how: Any) -> Path:
        inside.append(step)
        most.append(len(inside))
        final = save(folder, step, *more, **how)
        inside.remove(step)
        return final

    def waited(self: Background) -> None:
        go.set()
        wait(self)
        go.clear()

    monkeypatch.setattr(checkpoint, "save", counted)
    monkeypatch.setattr(Background, "wait", waited)
    run = pretrain(command(tmp_path / "run"))
    assert most == [1, 1, 1] and not inside
    assert [checkpoint.load(path)[1]["step"] for path in checkpoint.steps(run.checkpoints)] == [2, 3]


def test_who_leaves_at_once_leaves_when_all_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go, wait = threading.Event(), Background.wait
    at_files(lambda file: go.wait(PATIENCE), monkeypatch)

    def leave(follower: Follower, step: int) -> None:
        raise KeyboardInterrupt

    def again(self: Background) -> None:  # while it is waited for
        join = self._thread.join

        def joined() -> None:
            self._thread.join = join  # type: ignore[method-assign]
            go.set()
            raise KeyboardInterrupt

        self._thread.join = joined  # type: ignore[method-assign]
        wait(self)

    after_step(leave, monkeypatch)
    monkeypatch.setattr(Background, "wait", again)
    with pytest.raises(KeyboardInterrupt):
        pretrain(command(tmp_path / "run"))
    run = Run(tmp_path / "run")
    assert run.status["state"] == "preempted" and not (run.folder / "lock").exists()
    assert [thread.name for thread in threading.enumerate()].count("background") == 0
    assert checkpoint.named(run.checkpoints, "last") == run.checkpoints / "step_0000001"
    assert checkpoint.load_newest(run.checkpoints)[1]["step"] == 1 and not list(run.checkpoints.glob(".*"))
    assert (run.folder / "encoder" / "model.safetensors").exists()


@pytest.mark.parametrize(("seldom", "exported"), [(math.inf, [1, 3]), (0, [1, 2, 3])])
def test_a_save_exports_now_and_then_and_statistics_are_measured_once_a_step(
    seldom: float, exported: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured, written = list[int](), list[int]()
    own, encoder, packed = health.estimate_norms, Health.encoder, keeping.packed_encoder
    told: list[Any] = []

    def measure(*given: Any) -> Any:
        measured.append(told[-1].job.moves)
        return own(*given)

    def note(self: Health) -> Any:
        told.append(self)
        return encoder(self)

    def pack(net: Any, part: Any, preparation: Any, about: dict[str, Any]) -> Any:
        written.append(about["step"])
        return packed(net, part, preparation, about)

    monkeypatch.setattr(health, "estimate_norms", measure)
    monkeypatch.setattr(Health, "encoder", note)
    monkeypatch.setattr(keeping, "packed_encoder", pack)
    monkeypatch.setattr(keeping, "SELDOM", seldom)
    run = pretrain(command(tmp_path / "run", checkpoint_every="1"))
    assert written == exported and measured == [0, *exported]
    assert [checkpoint.load(path)[1]["step"] for path in checkpoint.steps(run.checkpoints)] == [2, 3]


def test_an_export_of_earlier_weights_goes_with_them_and_one_of_the_same_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exports = [tmp_path / "run" / "encoder" / name for name in ("model.onnx", "model.pte")]
    own = tmp_path / "run" / "encoder" / "notes.onnx"
    pretrain(command(tmp_path / "run", steps=2))
    for file in (*exports, own):
        file.write_bytes(b"as it was exported")
    pretrain(command(tmp_path / "run", steps=2, resume=True))
    assert all(file.exists() for file in exports)
    own.with_name("model.safetensors").write_bytes(b"of an earlier step")
    pretrain(command(tmp_path / "run", steps=2, resume=True))
    assert not any(file.exists() for file in exports) and own.exists()
    assert "encoder/model.onnx was of earlier weights and is removed" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("choose", ["last", "alignment"])
def test_what_is_done_stays_as_it_was_made_where_nothing_is_left_to_train(
    choose: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An earlier version has measured statistics of batch norm, and all that depends on them, in another way."""
    more = {"steps": 4, "map": 8, "choose": choose, "encoder": {"name": "test_resnet"}, "size": 32}
    run = pretrain(command(tmp_path / "run", **more)).folder
    weights = load_file(run / "encoder" / "model.safetensors")
    name = next(name for name in weights if name.endswith("running_mean"))
    save_file({**weights, name: weights[name] + 1}, run / "encoder" / "model.safetensors", {"format": "pt"})
    for file in ("encoder/model.onnx", "encoder/README.md", "pictures.png", "map/sheet.webp", "environment.json"):
        (run / file).write_bytes(b"as it was")
    status = json.loads((run / "status.json").read_text())
    status["health"]["lidar"], status["measures"] = 99.5, {"accuracy": 0.5}
    (run / "status.json").write_text(json.dumps(status))
    kept = {file: file.read_bytes() for file in run.rglob("*") if file.is_file() and file.name not in MOVED}

    again = pretrain(command(run, **more, resume=True))
    assert {file: file.read_bytes() for file in kept} == kept
    assert {**again.status, "pid": 0} == {**status, "pid": 0}
    assert "is removed" not in capsys.readouterr().err

    again.set_status("preempted", "stopped by SIGTERM", 75)  # while it was resumed
    (run / "pictures.png").unlink()
    assert pretrain(command(run, **more, resume=True)).status["state"] == "done"
    assert (run / "encoder" / "model.onnx").exists() and (run / "pictures.png").exists()  # which is made up for


@pytest.mark.parametrize("lost", ["README.md", "model.safetensors", "step", "weights", "status"])
def test_what_a_run_that_was_done_has_lost_is_exported_again(lost: str, tmp_path: Path) -> None:
    run = pretrain(command(tmp_path / "run", steps=2))
    encoder = run.folder / "encoder"
    kept = {file: file.read_bytes() for file in encoder.iterdir()}
    if lost == "step":
        about = json.loads((encoder / "config.json").read_text())
        about["selftaught"]["step"] = 1
        (encoder / "config.json").write_text(json.dumps(about))
    elif lost == "weights":
        other = {name: weight + 1 for name, weight in load_file(encoder / "model.safetensors").items()}
        save_file(other, encoder / "model.safetensors", {"format": "pt"})
    elif lost == "status":  # it was cut before it was known to be done
        (run.folder / "status.json").write_text('{"state": "running"}')
        (encoder / "README.md").write_text("of an earlier step")
    else:
        (encoder / lost).unlink()
    pretrain(command(tmp_path / "run", steps=2, resume=True))
    assert {file: file.read_bytes() for file in encoder.iterdir()} == kept


def test_a_save_that_fails_in_the_background_is_said_and_the_last_one_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(file: Path) -> None:
        if is_of(1, file) or is_of(3, file):
            raise OSError(errno.EIO, os.strerror(errno.EIO), file.name)

    at_files(fails, monkeypatch)
    with pytest.raises(Unsaved, match=r"^step 3 could not be saved: .*Input/output.*; step_0000002 is kept") as caught:
        pretrain(command(tmp_path / "run"))
    assert caught.value.exit_code == 75 and Run(tmp_path / "run").status["state"] == "preempted"
    said = capsys.readouterr().err
    assert said.count("training goes on") == 1
    assert "warning: step 1 could not be saved: [Errno 5] Input/output error: 'model.safetensors'; there is no" in said
    assert checkpoint.load_newest(tmp_path / "run/checkpoints")[1]["step"] == 2


def test_our_own_fault_in_the_background_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(file: Path) -> None:
        raise ZeroDivisionError("a bug")

    at_files(fails, monkeypatch)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        pretrain(command(tmp_path / "run"))
    assert Run(tmp_path / "run").status["state"] == "failed"


def test_a_death_while_a_save_is_written_leaves_the_one_before(tmp_path: Path) -> None:
    def work() -> None:
        with pytest.MonkeyPatch.context() as patch:
            at_files(lambda file: os._exit(99) if is_of(2, file) else None, patch)
            pretrain(command(tmp_path / "run"))

    assert in_child(work) == 99
    folder = tmp_path / "run" / "checkpoints"
    assert list(folder.glob(".step_0000002*")) and checkpoint.load_newest(folder)[1]["step"] == 1
    assert checkpoint.named(folder, "last") == folder / "step_0000001"
    run = pretrain(command(tmp_path / "run", resume=True))
    assert checkpoint.load_newest(run.checkpoints)[1]["step"] == 3 and not list(folder.glob(".*"))
