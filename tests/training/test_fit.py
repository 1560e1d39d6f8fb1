"""The loop: order of its hooks, and a step that is not finite never reaches the weights."""

from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder
from selftaught.contracts.method import Data, Method, Training
from selftaught.system import randomness
from selftaught.system.errors import DivergedError
from selftaught.training.fit import fit
from selftaught.training.optimizers import build_optimizer


class Flat(Encoder):
    dim = 4

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1))

    def map(self, x: Tensor) -> Tensor:
        return self(x)[:, :, None, None]


class Noted(Method):
    """Pulls features to drawn targets, and notes when each hook ran."""

    question = "?"
    paper = "-"
    preset: ClassVar[Training] = Training(optimizer="sgd", lr=0.1, scaling="none", warmup=0.5)

    def __init__(self, encoder: Encoder, data: Data, /) -> None:
        super().__init__(encoder, data)
        self.notes: list[tuple[str, float]] = []
        self.targets: list[Tensor] = []

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        self.notes.append(("forward", len(self.notes)))
        self.targets.append(randomness.normal((len(views[0]), 4), "target"))
        return {
            "a": (self.encoder(views[0]) - self.targets[-1]).square().mean(),
            "b": self.encoder(views[0]).mean(),
        }

    def before_step(self, progress: float) -> None:
        assert self.encoder.layer.weight.grad is not None
        self.notes.append(("before", progress))

    def after_step(self, progress: float) -> None:
        self.notes.append(("after", progress))


def run(steps: int, start: int = 0, poison: int | None = None, state: dict | None = None) -> Noted:
    torch.manual_seed(0)
    method = Noted(Flat(), Data(8, (3, 2, 2), (0.5,) * 3, (0.25,) * 3))
    if state:
        method.load_state_dict(state)
    optimizer = build_optimizer(method, method.preset, 8)

    def batches(step: int) -> tuple[Tensor, ...]:
        x = torch.randn(8, 3, 2, 2, generator=torch.Generator().manual_seed(step))
        return (x * (torch.nan if step == poison else 1),)

    method.watched = []

    def watch(step: int, terms: dict[str, Tensor]) -> None:
        method.watched.append((step, optimizer.param_groups[0]["lr"], set(terms)))

    method.weights = method.encoder.layer.weight
    try:
        fit(
            method,
            optimizer,
            batches,
            steps=steps,
            start=start,
            training=method.preset,
            seed=5,
            watch=watch,
        )
    except DivergedError as error:
        method.error = error
    return method


def test_hooks_run_in_order_with_progress_from_0_to_1() -> None:
    method = run(4)
    assert [name for name, _ in method.notes] == ["forward", "before", "after"] * 4
    assert [p for name, p in method.notes if name == "before"] == [0, 0.25, 0.5, 0.75]
    assert [p for name, p in method.notes if name == "after"] == [0.25, 0.5, 0.75, 1]
    assert [step for step, _, _ in method.watched] == [1, 2, 3, 4]
    assert method.watched[0][2] == {"a", "b"}


def test_the_learning_rate_warms_up_and_decays_to_zero() -> None:
    rates = [lr for _, lr, _ in run(4).watched]
    assert rates == pytest.approx([0.05, 0.1, 0.05, 0.0], abs=1e-9)


def test_draws_depend_on_the_step_alone() -> None:
    whole, tail = run(4), run(4, start=2)
    assert torch.equal(whole.targets[2], tail.targets[0])
    assert not torch.equal(whole.targets[0], whole.targets[1])


def test_a_step_that_is_not_finite_stops_before_the_weights() -> None:
    good, bad = run(2), run(4, poison=2)
    assert "step 3" in str(bad.error) and "nan" in str(bad.error)
    assert bad.weights.isfinite().all() and len(bad.watched) == 2
    rates = [lr for _, lr, _ in bad.watched]
    assert rates == pytest.approx([0.05, 0.1]) and good.weights.shape == bad.weights.shape
