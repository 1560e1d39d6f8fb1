"""A device by name, or one line that says why it is not there."""

import os

import pytest
import torch
from torch import nn

from selftaught.system.devices import constant, device_of, kernels, unmoved
from selftaught.system.errors import UsageError


def there(monkeypatch: pytest.MonkeyPatch, *kinds: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in kinds)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in kinds)


@pytest.mark.parametrize(
    ("kinds", "taken"), [((), "cpu"), (("mps",), "mps"), (("cuda",), "cuda"), (("cuda", "mps"), "cuda")]
)
def test_auto_takes_a_card_where_there_is_one(kinds: tuple, taken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there(monkeypatch, *kinds)
    assert device_of("auto") == torch.device(taken)


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_named_one_is_taken_or_its_absence_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there(monkeypatch)
    with pytest.raises(UsageError, match=rf"--device {name}: .*; use --device cpu") as error:
        device_of(name)
    assert "\n" not in str(error.value)
    there(monkeypatch, name)
    assert device_of(name) == torch.device(name)


def test_the_cpu_is_taken_beside_a_card_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    there(monkeypatch, "cuda")
    assert device_of("cpu") == torch.device("cpu")


def test_an_unknown_name_is_named() -> None:
    with pytest.raises(UsageError, match="--device cannot be 'gpu': it is one of auto, cpu, cuda, mps"):
        device_of("gpu")


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_cards_kernels_are_the_fastest_or_those_that_repeat_and_only_inside(
    deterministic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)

    def state() -> tuple[bool, bool]:
        return torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled()

    with kernels(torch.device("cpu"), deterministic):
        assert state() == (False, False)
    with pytest.raises(ZeroDivisionError), kernels(torch.device("cuda"), deterministic):
        assert state() == (not deterministic, deterministic)
        assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) is deterministic
        raise ZeroDivisionError
    assert state() == (False, False)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)


def test_a_constant_is_made_once_for_a_type() -> None:
    x = torch.zeros(2)
    assert constant((0.1, 0.2), x).tolist() == torch.tensor([0.1, 0.2]).tolist()
    assert constant((0.1, 0.2), x) is constant((0.1, 0.2), x) is not constant((0.1, 0.2), x.double())
    assert constant((True, False), x).dtype == torch.float32 and constant((1,), x, torch.long).dtype == torch.long


def test_a_network_is_as_it_was_after_work_that_failed() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    module[1].eval().running_var = module[1].running_var.double()
    module[0](torch.ones(1, 2)).sum().backward()
    weight, modes = module[0].weight, [part.training for part in module.modules()]
    kinds = {name: x.dtype for name, x in module.state_dict().items()}
    values = {name: x.clone() for name, x in module.state_dict().items()}
    with pytest.raises(ValueError), unmoved(module):
        module.eval().to(torch.float16)
        module[0].weight.data.zero_()
        raise ValueError
    assert {name: x.dtype for name, x in module.state_dict().items()} == kinds
    assert all(torch.equal(x, values[name]) for name, x in module.state_dict().items())
    assert [part.training for part in module.modules()] == modes and not all(modes)
    assert module[0].weight is weight and weight.grad is not None and weight.grad.dtype == torch.float32
    with unmoved(None):
        pass
