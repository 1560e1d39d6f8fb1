"""The stand-in card refuses what CUDA refuses, and counts what makes the host wait."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from tests.gpu.card import CARD, Held, MixedDevicesError, waits
from tests.gpu.machine import beside_a_card


@pytest.fixture(autouse=True)
def card() -> Iterator[None]:
    with beside_a_card():
        yield


def on_the_card(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(CARD)


@pytest.mark.parametrize(
    "mixed",
    [
        lambda x: x + torch.ones(3, 3),
        lambda x: torch.cat([x, torch.ones(3, 3)]),
        lambda x: x @ torch.ones(3, 3),
        lambda x: torch.ones(3, 3)[x.long()],
        lambda x: x.index_put((x.new_zeros(1).long(),), torch.ones(3)),
        lambda x: torch.stack([x[0, 0], torch.tensor(1.0)]),
        lambda x: x.pin_memory(),
    ],
)
def test_what_mixes_devices_is_refused(mixed: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(MixedDevicesError):
        mixed(on_the_card(3, 3))


def test_numpy_gets_nothing_of_the_cards_memory() -> None:
    with pytest.raises(TypeError, match="convert cuda:0"):
        on_the_card(2).numpy()


@pytest.mark.parametrize(
    ("work", "count"),
    [
        (lambda x: x.sum().item(), 1),
        (lambda x: bool(x.isfinite().all()), 1),
        (lambda x: x.cpu(), 1),
        (lambda x: x.to("cpu"), 1),
        (lambda x: x.tolist(), 1),
        (lambda x: x.nonzero(), 1),
        (lambda x: x[x > 0], 1),
        (lambda x: x[torch.arange(2)], 1),
        (lambda x: torch.ones(3).to(x), 1),
        (lambda x: torch.ones(3).to(CARD, non_blocking=True), 1),
        (lambda x: torch.ones(3).pin_memory().to(CARD), 1),
        (lambda x: torch.ones(3).pin_memory().to(CARD, non_blocking=True), 0),
        (lambda x: torch.tensor([1.0, 2.0], device=CARD), 1),
        (lambda x: x.new_tensor([1.0, 2.0]), 1),
        (lambda x: torch.linalg.inv(x), 1),
        (lambda x: torch.linalg.inv_ex(x), 0),
        (lambda x: torch.arange(3, device=CARD) + x.new_full((3,), 0.5), 0),
        (lambda x: x[torch.arange(2, device=CARD)], 0),
        (lambda x: (2 * x).relu().softmax(dim=1).sum() + torch.tensor(1.0), 0),
    ],
)
def test_what_makes_the_host_wait_is_counted(work: Callable[[Tensor], object], count: int) -> None:
    x = on_the_card(3, 3)
    with waits() as found:
        work(x)
    assert found.total() == count


def test_values_and_gradients_are_real() -> None:
    x = torch.randn(4, 3)
    layer = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    layer(x).square().sum().backward()
    gradient = layer[0].weight.grad.clone()
    layer[1].reset_running_stats()
    layer.zero_grad()
    layer.to(CARD)
    assert isinstance(layer[0].weight, Held) and layer[0].weight.device == CARD
    layer(x.to(CARD)).square().sum().backward()
    assert torch.equal(layer[0].weight.grad.cpu(), gradient)
