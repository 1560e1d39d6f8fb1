"""Optimisers: LARS against its formula, groups, scaling and schedules."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

import selftaught
from selftaught.contracts.method import Training
from selftaught.data.images.preparation import Preparation
from selftaught.methods import registry
from selftaught.run.recipes import Pretrain
from selftaught.system import components
from selftaught.system.errors import UsageError
from selftaught.training.optimizers import LARS, apply_schedule, build_optimizer, scaled_lr
from selftaught.training.presets import as_begun, training_preset
from selftaught.training.resolve import Counted, resolve


def test_lars_takes_the_papers_step() -> None:
    weight = nn.Parameter(torch.tensor([[3.0, 4.0]]))
    bias = nn.Parameter(torch.tensor([2.0]))
    optimizer = LARS([weight, bias], lr=0.5, momentum=0.9, weight_decay=0.1, trust=0.01)
    expected_weight, expected_bias = weight.detach().clone(), bias.detach().clone()
    velocity = [torch.zeros_like(expected_weight), torch.zeros_like(expected_bias)]
    for grad in ([[1.0, 0.0]], [[0.0, 2.0]]):
        weight.grad, bias.grad = torch.tensor(grad), torch.tensor([0.3])
        decayed = weight.grad + 0.1 * expected_weight
        scaled = decayed * 0.01 * expected_weight.norm() / decayed.norm()
        velocity = [0.9 * velocity[0] + scaled, 0.9 * velocity[1] + bias.grad]
        expected_weight, expected_bias = expected_weight - 0.5 * velocity[0], expected_bias - 0.5 * velocity[1]
        optimizer.step()
    assert torch.allclose(weight, expected_weight) and torch.allclose(bias, expected_bias)


def test_lars_moves_a_weight_of_zeros() -> None:
    weight = nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.ones(2, 2)
    LARS([weight], lr=0.1).step()
    assert torch.allclose(weight, torch.full((2, 2), -0.1))


@pytest.mark.parametrize(("scaling", "expected"), [("linear", 0.4), ("sqrt", 0.2), ("none", 0.1)])
def test_the_learning_rate_grows_with_the_batch(scaling: str, expected: float) -> None:
    assert scaled_lr(Training(lr=0.1, scaling=scaling), 1024) == pytest.approx(expected)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm, self.head = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)
        self.frozen = nn.Parameter(torch.ones(2, 2), requires_grad=False)
        self.cls_token = nn.Parameter(torch.ones(1, 1, 4))


def test_weight_decay_is_kept_off_biases_norms_and_tokens() -> None:
    optimizer = build_optimizer(Net(), Training(weight_decay=0.3, fixed_lr=("head",)), 256)
    found = {name: (g["weight_decay"], g["fixed"]) for g in optimizer.param_groups for name in g["names"]}
    assert found == {
        "layer.weight": (0.3, False),
        "layer.bias": (0.0, False),
        "norm.weight": (0.0, False),
        "norm.bias": (0.0, False),
        "head.weight": (0.3, True),
        "head.bias": (0.0, True),
        "cls_token": (0.0, False),
    }
    everywhere = build_optimizer(Net(), Training(weight_decay=0.3, decay_norms=True), 256)
    assert {g["weight_decay"] for g in everywhere.param_groups} == {0.3}


def test_schedules_move_rates_and_decay_but_not_what_is_fixed() -> None:
    training = Training(lr=0.2, weight_decay=0.1, weight_decay_end=0.5, warmup=0.2, final_lr=0.1, fixed_lr=("head",))
    optimizer = build_optimizer(Net(), training, 256)

    def at(progress: float) -> dict[str, tuple[float, float]]:
        apply_schedule(optimizer, training, progress)
        return {name: (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for name in g["names"]}

    assert at(0.1)["layer.weight"] == pytest.approx((0.1, 0.1 + 0.4 * (1 - 0.97552826) / 1), abs=1e-2)
    assert at(0.2)["layer.weight"][0] == pytest.approx(0.2)
    assert at(0.6)["layer.weight"] == pytest.approx((0.11, 0.362), abs=1e-3)
    assert at(1.0)["layer.weight"] == pytest.approx((0.02, 0.5))
    assert at(0.6)["head.weight"][0] == pytest.approx(0.2) and at(1.0)["layer.bias"][1] == 0


def test_a_rate_may_fall_in_steps_in_place_of_a_cosine() -> None:
    training = Training(lr=0.2, warmup=0.1, drops=(0.5, 0.8), drop=0.25, final_lr=0.3)
    optimizer = build_optimizer(Net(), training, 256)
    found = []
    for progress in (0.05, 0.1, 0.5, 0.51, 0.8, 0.81, 1.0):
        apply_schedule(optimizer, training, progress)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == pytest.approx([0.1, 0.2, 0.2, 0.05, 0.05, 0.0125, 0.0125])
    assert components.checked("training", Training, {"drops": 0.5}) == {"drops": (0.5,)}


def test_biases_and_norms_may_have_a_rate_of_their_own() -> None:
    training = Training(optimizer="lars", lr=0.2, bias_lr=0.0048, warmup=0.0)
    optimizer = build_optimizer(Net(), training, 2048)
    apply_schedule(optimizer, training, 0.5)
    found = {name: g["lr"] for g in optimizer.param_groups for name in g["names"]}
    assert found["layer.weight"] == pytest.approx(0.8) and found["cls_token"] == pytest.approx(0.8)
    for name in ("layer.bias", "norm.weight", "norm.bias", "head.bias"):
        assert found[name] == pytest.approx(0.0048 * 8 / 2)
    assert len(build_optimizer(Net(), Training(), 256).param_groups) == 2  # nothing is parted where there is no other


def test_the_rate_written_down_is_the_one_announced_whatever_layers_have_of_it(tmp_path: Path) -> None:
    slow = {"layer_decay": 0.5, "frozen": 0.5, "warmup": 0.0, "lr": 0.2, "scaling": "none", "final_lr": 0.1}
    how = {"encoder": "test_resnet", "limit": 64, "batch_size": 16, "size": 16, "map": 0, "steps": 4, "log_every": 1}
    run = selftaught.pretrain("sklearn:digits", training=slow, out=tmp_path / "run", **how, precision="32-true")
    expected = [0.2 * (0.1 + 0.9 * (1 + math.cos(math.pi * step / 4)) / 2) for step in (1, 2, 3, 4)]
    assert [line["lr"] for line in run.metrics()] == pytest.approx(expected)


def test_a_batch_that_is_said_in_the_preset_is_the_batch() -> None:
    samples = Counted(64, Preparation(channels=3, size=(32, 32), low=0, high=255, mean=(0.5,) * 3, std=(0.5,) * 3))
    asked = {"data": "x", "device": "cpu"}
    assert resolve(Pretrain.parse(asked), samples).batch_size == 16  # a quarter of the samples at most
    assert resolve(Pretrain.parse({**asked, "training": {"batch_size": 48}}), samples).batch_size == 48
    begun = Pretrain.parse({**asked, "batch_size": 16, "training": {"batch_size": 48}, "fingerprint": "f"})
    assert resolve(begun, samples).batch_size == 16, "as the run began"


def test_a_run_that_goes_on_may_be_told_what_its_preset_has_anyway() -> None:
    saved = Pretrain.parse({"data": "x", "training": {"warmup": 0.2}, "fingerprint": "f"})
    same = Pretrain.parse({"data": "x", "resume": True, "out": "r", "training": {"warmup": 0.2, "final_lr": 0.0}})
    assert as_begun(same, saved).continued(saved).training == {"warmup": 0.2}
    other = Pretrain.parse({"data": "x", "resume": True, "out": "r", "training": {"final_lr": 0.1}})
    with pytest.raises(UsageError, match=r"--training is \{'final_lr': 0.1\}, but the run was started with"):
        as_begun(other, saved).continued(saved)


def test_adams_decay_is_a_part_of_the_gradient() -> None:
    moved = {}
    for name in ("adam", "adamw"):
        net = nn.Linear(1, 1, bias=False)
        nn.init.constant_(net.weight, 4.0)
        optimizer = build_optimizer(net, Training(optimizer=name, lr=0.1, weight_decay=0.5), 256)
        net.weight.grad = torch.tensor([[1e-3]])
        optimizer.step()
        moved[name] = 4.0 - net.weight.item()
    # Adam's first step is as long as its rate, whatever the gradient; a decay beside it comes on top.
    assert moved["adam"] == pytest.approx(0.1, rel=1e-3) and moved["adamw"] == pytest.approx(
        0.1 + 0.1 * 0.5 * 4, rel=1e-3
    )


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars", "adam"])
def test_each_optimiser_descends(name: str) -> None:
    torch.manual_seed(0)
    net = nn.Linear(4, 1, bias=False)  # a bias gets no trust ratio, and LARS rates are far too high for it
    x = torch.randn(64, 4)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]])
    optimizer = build_optimizer(net, Training(optimizer=name, lr={"lars": 20.0}.get(name, 0.05), weight_decay=0), 256)
    losses = []
    for _ in range(60):
        loss = (net(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(
    ("method", "asked", "wanted"),
    [
        ("simclr", {}, ("adamw", 2e-3, 1e-4)),
        ("simclr", {"optimizer": "adamw"}, ("adamw", 2e-3, 1e-4)),
        ("simclr", {"optimizer": "lars"}, ("lars", 0.3, 1e-6)),
        ("simclr", {"optimizer": "sgd"}, ("sgd", 0.05, 1e-4)),
        ("simsiam", {"optimizer": "adamw"}, ("adamw", 1e-3, 0.05)),
        ("simclr", {"optimizer": "lars", "lr": 0.1}, ("lars", 0.1, 1e-6)),
        ("dino", {"optimizer": "lars", "weight_decay": 0.01}, ("lars", 0.3, 0.01)),
    ],
)
def test_an_optimiser_that_is_not_the_methods_own_has_a_rate_that_suits_it(
    method: str, asked: dict, wanted: tuple
) -> None:
    facts = {"low": 0, "high": 255, "mean": (0.5,) * 3, "std": (0.2,) * 3}
    counted = Counted(1000, Preparation(channels=3, size=(32, 32), **facts), "f")
    recipe = Pretrain.parse({"data": "x", "method": method, "training": asked})
    plan, cls = resolve(recipe, counted), registry.method_class(method)
    made = training_preset(cls, plan)
    assert (made.optimizer, made.lr, made.weight_decay) == wanted
    assert made.optimizer == cls.preset.optimizer or made.weight_decay_end is None
    assert resolve(Pretrain.parse({**recipe.model_dump(), "lr": 0.7}), counted).lr == 0.7
    # A run that was begun before went on with the method's own, and does so now.
    begun = Pretrain.parse({**recipe.model_dump(), "fingerprint": "f"})
    assert resolve(begun, counted).training == asked
