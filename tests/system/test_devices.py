"""A device by name, or one line that says why it is not there."""

import pytest
import torch

from selftaught.system.devices import device_of
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
