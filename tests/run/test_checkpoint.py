"""Checkpoints: complete or absent, verified, and an exact round trip of every tensor."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from selftaught.contracts.method import Training
from selftaught.run import checkpoint
from selftaught.system import lock as writer
from selftaught.system.errors import UsageError
from selftaught.training.optimizers import build_optimizer


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 5))


def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    x = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    model(x).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_training_goes_on_bit_for_bit(tmp_path: Path, name: str, layout: torch.memory_format) -> None:
    training = Training(optimizer=name, lr=0.1)

    def fresh() -> tuple[nn.Module, torch.optim.Optimizer]:
        model = network().to(memory_format=layout)
        return model, build_optimizer(model, training, 256)

    model, optimizer = fresh()
    for seed in range(3):
        step(model, optimizer, seed)
    groups = {
        "model": checkpoint.model_tensors(model),
        "optimizer": checkpoint.optimizer_tensors(optimizer),
    }
    checkpoint.save(tmp_path, 3, groups, {"note": "x"})
    other, other_optimizer = fresh()
    loaded, state, complaints = checkpoint.load_newest(tmp_path)
    checkpoint.restore_model(other, loaded["model"])
    checkpoint.restore_optimizer(other_optimizer, loaded["optimizer"])
    assert state == {"step": 3, "note": "x"} and not complaints
    for seed in range(3, 6):
        step(model, optimizer, seed)
        step(other, other_optimizer, seed)
    for (key, a), b in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b) and a.stride() == b.stride(), key


def saved(folder: Path, steps: tuple[int, ...], keep: int = 2) -> None:
    for number in steps:
        checkpoint.save(folder, number, {"model": {"w": torch.full((4,), float(number))}}, {}, keep=keep)


def test_the_newest_are_kept_and_last_names_the_newest(tmp_path: Path) -> None:
    saved(tmp_path, (1, 2, 3))
    assert [path.name for path in checkpoint.steps(tmp_path)] == ["step_0000002", "step_0000003"]
    assert (tmp_path / "last").read_text() == "step_0000003\n"


@pytest.mark.parametrize("harm", ["flip", "cut", "delete", "manifest"])
def test_a_damaged_newest_is_passed_over_aloud(tmp_path: Path, harm: str) -> None:
    saved(tmp_path, (1, 2))
    file = tmp_path / "step_0000002" / "model.safetensors"
    content = bytearray(file.read_bytes())
    if harm == "flip":
        content[-1] ^= 1
        file.write_bytes(content)
    elif harm == "cut":
        file.write_bytes(content[:-3])
    elif harm == "delete":
        file.unlink()
    else:
        (file.parent / "manifest.json").write_text('{"model.saf')
    groups, state, complaints = checkpoint.load_newest(tmp_path)
    assert state["step"] == 1 and groups["model"]["w"][0] == 1
    assert len(complaints) == 1 and "step_0000002" in complaints[0]


@pytest.mark.parametrize("state", [{"threads": "many"}, {"threads": 0}, {"threads": [1]}, {"threads": 1e300}])
def test_a_newest_whose_state_is_none_is_passed_over_aloud(tmp_path: Path, state: dict[str, Any]) -> None:
    saved(tmp_path, (1,))
    checkpoint.save(tmp_path, 2, {"model": {"w": torch.zeros(4)}}, state)
    _, found, complaints = checkpoint.load_newest(tmp_path)
    assert found["step"] == 1
    assert len(complaints) == 1 and "checkpoint step_0000002 is damaged and was passed over" in complaints[0]
    assert "threads" in complaints[0] and "\n" not in complaints[0]


def test_a_checkpoint_without_a_network_is_damaged(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, {"begun": {"weights": torch.zeros(4)}}, {})
    with pytest.raises(checkpoint.CheckpointError, match=r"its manifest does not cover model\.safetensors"):
        checkpoint.load_newest(tmp_path)


def test_last_catches_up_with_the_newest_when_a_run_goes_on(tmp_path: Path) -> None:
    saved(tmp_path, (1, 2))
    (tmp_path / "last").write_text("step_0000001\n")  # as a kill between the two leaves it
    assert checkpoint.load_newest(tmp_path)[1]["step"] == 2
    assert (tmp_path / "last").read_text() == "step_0000001\n"  # a reader changes nothing
    gone = writer.signature().rsplit("-", 1)[0] + "-1"  # a process of this number that was born at another time
    (tmp_path / f".last~{gone}~0").write_text("step_00")
    assert checkpoint.load_to_go_on(tmp_path)[1]["step"] == 2
    assert not list(tmp_path.glob(".last*")) and (tmp_path / "last").read_text() == "step_0000002\n"


def test_what_is_not_surely_on_the_disk_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    saved(tmp_path, (1,))
    with monkeypatch.context() as patch, pytest.raises(OSError, match="Input/output"):
        patch.setattr(checkpoint, "flush_folder", fails)
        saved(tmp_path, (2,))
    assert [path.name for path in checkpoint.steps(tmp_path)] == ["step_0000001"]
    assert checkpoint.named(tmp_path, "last") == tmp_path / "step_0000001"


def test_no_whole_checkpoint_is_an_error(tmp_path: Path) -> None:
    saved(tmp_path, (1,))
    (tmp_path / "step_0000001" / "state.json").write_text("{}")
    with pytest.raises(checkpoint.CheckpointError, match="step_0000001"):
        checkpoint.load_newest(tmp_path)


def test_a_write_that_was_cut_leaves_the_old_one_and_is_cleaned_up(tmp_path: Path) -> None:
    saved(tmp_path, (1,))
    dead = f"{writer.host()}-{os.getpid()}-0123"  # the number is in use again, by a process that started later
    alive, elsewhere = writer.signature(), "another_host-1-0"
    for signed in (dead, alive, elsewhere):
        half = tmp_path / f".step_0000002~{signed}~0"
        half.mkdir()
        (half / "model.safetensors").write_bytes(b"half")
    assert checkpoint.load_newest(tmp_path)[1]["step"] == 1
    saved(tmp_path, (3,))
    assert {path.name.split("~")[1] for path in tmp_path.glob(".*")} == {alive, elsewhere}


def test_last_always_names_a_whole_checkpoint_when_a_step_is_saved_again(tmp_path: Path) -> None:
    saved(tmp_path, (1, 2))
    newest = checkpoint.named(tmp_path, "last")
    assert newest
    (newest / "state.json").write_text("{}")  # passed over, so the run comes to step 2 again
    saved(tmp_path, (2,))
    again = checkpoint.named(tmp_path, "last")
    assert again and checkpoint.load(again)[1]["step"] == 2
    assert checkpoint.steps(tmp_path) == [tmp_path / "step_0000001", again]
    saved(tmp_path, (2, 3))
    assert [checkpoint.load(path)[1]["step"] for path in checkpoint.steps(tmp_path)] == [2, 3]


def test_what_is_past_the_step_a_run_went_back_to_is_removed(tmp_path: Path) -> None:
    saved(tmp_path, (1, 5))
    (tmp_path / "step_0000005" / "model.safetensors").write_bytes(b"")
    saved(tmp_path, (2,))
    assert [path.name for path in checkpoint.steps(tmp_path)] == ["step_0000001", "step_0000002"]


def test_the_best_is_kept_beside_the_newest(tmp_path: Path) -> None:
    def save(number: int, best: bool) -> None:
        checkpoint.save(tmp_path, number, {"model": {"w": torch.full((4,), float(number))}}, {}, best=best)

    for number in range(1, 7):
        save(number, best=number in (1, 3))
    assert [path.name[-1] for path in checkpoint.steps(tmp_path)] == ["3", "5", "6"]
    best = checkpoint.named(tmp_path, "best")
    assert best and checkpoint.load(best)[0]["model"]["w"][0] == 3


def test_only_what_the_manifest_vouches_for_is_loaded(tmp_path: Path) -> None:
    saved(tmp_path, (1,))
    stray = tmp_path / "step_0000001" / "optimizer.safetensors"
    save_file({"w": torch.zeros(2)}, stray)
    with pytest.raises(checkpoint.CheckpointError, match=r"does not cover optimizer\.safetensors"):
        checkpoint.load_newest(tmp_path)
    stray.unlink()
    assert checkpoint.load_newest(tmp_path)[0].keys() == {"model"}
    manifest = tmp_path / "step_0000001" / "manifest.json"
    facts = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**facts, "/dev/zero": {}}))
    with pytest.raises(checkpoint.CheckpointError, match="no file of the checkpoint"):
        checkpoint.load_newest(tmp_path)
    del facts["state.json"]
    manifest.write_text(json.dumps(facts))
    with pytest.raises(checkpoint.CheckpointError, match="does not cover"):
        checkpoint.load_newest(tmp_path)


def test_a_disk_that_is_too_small_is_refused_with_numbers(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    checkpoint.refuse_small_disk(tmp_path / "run" / "checkpoints", 1000, 1000)
    with pytest.raises(UsageError, match=r"a run writes [\d.]+ GB \(3 checkpoints of .* are free"):
        checkpoint.refuse_small_disk(tmp_path / "run" / "checkpoints", free, 1000)
    assert not (tmp_path / "run").exists()


def test_a_disk_that_is_only_read_is_not_called_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match="cannot be written to; choose another --out"):
        checkpoint.refuse_small_disk(tmp_path / "run" / "checkpoints", 1000, 1000)


def test_another_network_is_refused() -> None:
    with pytest.raises(checkpoint.CheckpointError, match="another network"):
        checkpoint.restore_model(network(), {"0.weight": torch.zeros(4, 3, 3, 3)})


def test_a_tensor_with_two_names_is_stored_once(tmp_path: Path) -> None:
    model = network()
    model.again = model[0]
    tensors = checkpoint.model_tensors(model)
    assert "0.weight" in tensors and "again.weight" not in tensors
    checkpoint.save(tmp_path, 1, {"model": tensors}, {})
    other = network()
    other.again = other[0]
    checkpoint.restore_model(other, checkpoint.load_newest(tmp_path)[0]["model"])


def test_what_somebody_has_put_into_a_checkpoint_stays(tmp_path: Path) -> None:
    tensors = {"model": {"w": torch.zeros(3)}}
    for step in (1, 2):
        checkpoint.save(tmp_path, step, tensors, {})
    (tmp_path / "step_0000001" / "notes.txt").write_text("the best so far")
    (tmp_path / "mine").symlink_to(tmp_path / "step_0000002")
    (tmp_path / "step_0000000").symlink_to(tmp_path / "step_0000002")
    for step in (3, 4, 5):
        checkpoint.save(tmp_path, step, tensors, {})
    assert (tmp_path / "step_0000001" / "notes.txt").read_text() == "the best so far"
    assert [path.name[-1] for path in checkpoint.steps(tmp_path)] == ["1", "4", "5"]
    assert (tmp_path / "mine").is_symlink() and (tmp_path / "step_0000000").is_symlink()


def test_what_somebody_has_put_into_a_half_written_checkpoint_stays(tmp_path: Path) -> None:
    half = tmp_path / f".step_0000001~{writer.host()}-1-0~0"  # whose process has ended
    for name in ("album", ".state.json~x-1-0~0.json"):
        (half / name).mkdir(parents=True) if name == "album" else (half / name).write_text("{")
    (half / "model.safetensors").write_bytes(b"half")
    (half / "album" / "1.jpg").write_text("a face")
    tensors = {"model": {"w": torch.zeros(3)}}
    checkpoint.save(tmp_path, 2, tensors, {})
    checkpoint.load_to_go_on(tmp_path)
    assert [str(path.relative_to(half)) for path in half.rglob("*")] == ["album", "album/1.jpg"]
    shutil.rmtree(half / "album")
    checkpoint.save(tmp_path, 3, tensors, {})
    assert not half.exists()
