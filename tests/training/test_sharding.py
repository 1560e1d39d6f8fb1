"""What is gathered at a time where weights are spread over processes, and over how many they are."""

from typing import Any

import pytest
import torch
from timm.models.resnet import BasicBlock, Bottleneck
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from selftaught.data.images.preparation import Preparation
from selftaught.run.plan import Plan
from selftaught.run.recipes import Pretrain
from selftaught.system import processes
from selftaught.system.errors import UsageError
from selftaught.training.engine import Engine, Forward
from selftaught.training.job import on_paper
from selftaught.training.measuring import spreading
from selftaught.training.resolve import Counted, resolve
from selftaught.training.sharding import blocks, spread
from tests.methods.making import made


@pytest.mark.parametrize(("name", "kinds"), [("byol", (BasicBlock, Bottleneck)), ("data2vec", (Block,))])
def test_the_layers_of_a_network_and_of_its_slow_copy_are_gathered_one_by_one(name: str, kinds: tuple[Any]) -> None:
    method = made(name)
    found = blocks(method)
    assert found == [part for part in method.modules() if isinstance(part, kinds)]
    slow = {*method.teacher.modules()}
    assert 0 < len([block for block in found if block in slow]) == len(found) / 2


def test_layers_that_share_a_weight_with_another_part_come_with_the_rest() -> None:
    method = made("mae")
    first, *others = blocks(method)
    method.again = first.attn.proj  # type: ignore[union-attr]
    assert blocks(method) == others


def test_nobody_knows_how_a_network_of_ones_own_calls_its_parts() -> None:
    method = made("simclr")
    method.encoder.origin.library = "own"
    assert blocks(method) == []


def test_a_weight_that_is_a_single_number_is_refused() -> None:
    method = made("simclr")
    method.sharpness = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(UsageError, match=r"--shard 2: sharpness is a single number"):
        spread(method, torch.device("cpu"), 2)


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "count", lambda: 4)


def test_a_network_that_takes_a_weight_past_its_layer_is_told_so() -> None:
    class Past(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            raise RuntimeError("aten.mm: got mixed torch.Tensor and DTensor, all have to be DTensor")

    forward = Forward(Past(), Engine("32-true", torch.device("cpu")))
    with pytest.raises(RuntimeError, match="mixed"):
        forward(torch.zeros(1))
    forward.spread = True
    with pytest.raises(UsageError, match="without calling that layer, so they are not gathered; use --shard none"):
        forward(torch.zeros(1))


PREPARATION = Preparation(channels=1, size=(8, 8), low=0, high=16, mean=(0.5,), std=(0.25,))


def asked(**more: Any) -> tuple[Plan, Pretrain, Any, None]:
    """What is decided by: a plan that is open in this, the recipe, the samples, and no network of the user's."""
    recipe = Pretrain.parse({"data": "sklearn:digits", "encoder": "test_resnet", **more})
    samples = Counted(64, PREPARATION)
    return resolve(recipe, samples), recipe, samples, None


def test_weights_are_spread_over_as_few_as_have_room(four: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert spreading.shard_of(*asked()) == "none"  # on any machine
    monkeypatch.setattr(spreading, "state_bytes", lambda *told: 8)
    for room, shard in ((8, "none"), (7, "2"), (4, "2"), (3, "4"), (1, "4")):
        monkeypatch.setattr(spreading, "_room", lambda plan, room=room: room)
        assert spreading.shard_of(*asked()) == shard, room
    assert spreading.shard_of(*asked(shard="none")) == "none"


def test_a_slow_copy_takes_its_weights_alone() -> None:
    plan, _, samples, module = asked(method="byol")
    method = on_paper(plan, PREPARATION, 64, None)
    slow = sum(weight.numel() for weight in method.teacher.parameters())
    learnt = sum(weight.numel() for weight in method.parameters()) - slow
    assert spreading.state_bytes(plan, samples, module) == 16 * learnt + 4 * slow


def test_what_cannot_be_spread_is_refused(four: None) -> None:
    assert spreading.shard_of(*asked(shard="2")) == "2"
    with pytest.raises(UsageError, match="--shard 3 does not divide the number of processes, 4: use 2 or 4, or none"):
        spreading.shard_of(*asked(shard="3"))
    with pytest.raises(UsageError, match="--shard 2 cannot be had with --compile"):
        spreading.shard_of(*asked(shard="2", compile=True))


def test_one_process_has_nobody_to_spread_over() -> None:
    with pytest.raises(UsageError, match="--shard 2 does not divide the number of processes, 1: start several"):
        spreading.shard_of(*asked(shard="2"))
    with pytest.raises(UsageError, match="--batch-size auto is measured on one device"):
        spreading.refuse_unmeasured(Pretrain.parse({"data": "x", "batch_size": "auto"}))


def test_a_run_that_goes_on_keeps_its_shares_where_they_divide(four: None) -> None:
    saved = Pretrain.parse({"data": "x", "shard": "3"})
    assert spreading.kept(saved, Pretrain.parse({"data": "x"})).shard == "auto"
    assert spreading.kept(saved, Pretrain.parse({"data": "x", "shard": "3"})).shard == "3"
    assert spreading.kept(Pretrain.parse({"data": "x", "shard": "2"}), Pretrain.parse({"data": "x"})).shard == "2"
