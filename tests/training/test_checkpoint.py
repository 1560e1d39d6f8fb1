"""Checkpoints: complete or absent, verified, and an exact round trip of every tensor."""

from pathlib import Path

import pytest
import torch
from torch import nn

from selftaught.method import Training
from selftaught.optimizers import build_optimizer
from selftaught.training import checkpoint


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


def test_no_whole_checkpoint_is_an_error(tmp_path: Path) -> None:
    saved(tmp_path, (1,))
    (tmp_path / "step_0000001" / "state.json").write_text("{}")
    with pytest.raises(checkpoint.CheckpointError, match="step_0000001"):
        checkpoint.load_newest(tmp_path)


def test_a_write_that_was_cut_leaves_the_old_one_and_is_cleaned_up(tmp_path: Path) -> None:
    saved(tmp_path, (1,))
    (tmp_path / ".tmp-2-999").mkdir()
    (tmp_path / ".tmp-2-999" / "model.safetensors").write_bytes(b"half")
    assert checkpoint.load_newest(tmp_path)[1]["step"] == 1
    saved(tmp_path, (3,))
    assert not list(tmp_path.glob(".tmp-*"))


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
