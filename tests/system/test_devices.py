"""A device by name, or one line that says why it is not there."""

import os

import pytest
import torch

from selftaught.system.devices import constant, device_of, kernels
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
