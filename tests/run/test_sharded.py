"""Weights that torch has spread over processes are saved and restored by rows: from one process to two and back."""

import json
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file

from selftaught.run import checkpoint
from tests.children import beside, exit_codes
from tests.run.sharded import by_two, groups, made, restored, step


def test_one_process_two_and_one_again(tmp_path: Path) -> None:
    net, optimizer = made()
    for number in range(2):
        step(net, optimizer, number)
    checkpoint.save(tmp_path, 2, groups(net, optimizer), {})
    assert exit_codes(beside(2, partial(by_two, tmp_path))) == [0, 0]
    last = checkpoint.named(tmp_path, "last")
    assert last and last.name == "step_0000004"
    manifest = json.loads((last / "manifest.json").read_text())
    rows = [manifest[f"model.{n}-of-2.safetensors"]["tensors"]["first.weight"]["rows"] for n in (1, 2)]
    assert rows == [[0, 4], [4, 7]]
    assert "last.weight" not in manifest["model.2-of-2.safetensors"]["tensors"]  # its one row is the first's
    assert set(manifest["model.safetensors"]["tensors"]) == {"seen"}
    again, its_optimizer = made()
    assert restored(tmp_path, again, its_optimizer, checkpoint.ALONE) == 4
    assert set(load_file(tmp_path / "whole.safetensors")) == set(again.state_dict())
    for name, weight in load_file(tmp_path / "whole.safetensors").items():
        assert torch.equal(weight, again.state_dict()[name]), name
    for number in range(2, 4):
        step(net, optimizer, number)
    for number in range(4, 6):
        step(net, optimizer, number)
        step(again, its_optimizer, number)
    for (name, a), b in zip(net.state_dict().items(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, msg=lambda text, name=name: f"{name}: {text}")
