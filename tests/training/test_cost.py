"""What a step costs, beside what can be counted by hand."""

from typing import Any

import numpy as np
import pytest
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from selftaught.contracts.encoder import batch_norms
from selftaught.methods.parts.memory import kept_of_each
from selftaught.run.plan import Way
from selftaught.run.recipes import Pretrain
from selftaught.system.interruption import stopping
from selftaught.training.measuring.cost import COUNT, FEW, Cost, cost_of
from selftaught.training.measuring.trial import Trial
from selftaught.training.resolve import open_data, resolve

SIDE, DIM = 8, 16
PIXELS = np.random.default_rng(0).integers(0, 256, (64, SIDE, SIDE, 3), dtype=np.uint8)


def trial_of(module: nn.Module | None = None, **told: Any) -> tuple[Any, Trial]:
    """A plan of 64 small images, and a trial of it."""
    settings = {"data": "x", "batch_size": 16, "steps": 2, "size": SIDE, "device": "cpu", **told}
    recipe = Pretrain.parse(settings | ({"encoder": "own"} if module else {}))
    with stopping(None) as stop:
        samples = open_data(recipe, stop, array=PIXELS)
        plan = resolve(recipe, samples).computed(Way())
        return plan, Trial(samples, stop, module=module, count=COUNT)


def cost(module: nn.Module | None = None, **told: Any) -> Cost:
    return cost_of(*trial_of(module, **told), timed=False)


def test_a_linear_encoder_costs_what_is_counted_by_hand() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, DIM, bias=False))
    plan, trial = trial_of(linear, method="rotation")
    found = cost_of(plan, trial, timed=False)
    with FlopCounterMode(display=False) as counter:  # views are made where the network is, by products as well
        trial.job(plan, FEW).batches(0)
    pixels, turns = 3 * SIDE**2, 4
    encoder = 2 * pixels * DIM  # forward; as much again for the gradient of the weights, none for that of the pixels
    head = 2 * DIM * turns  # and its gradient goes back to the encoder as well
    assert found.operations - counter.get_total_flops() / FEW == turns * (2 * encoder + 3 * head)
    weights = 4 * (pixels * DIM + DIM * turns + turns)
    assert found.learnt == weights
    assert found.optimizer == pytest.approx(2 * weights, rel=0.01)  # AdamW's two numbers a weight, and its steps
    assert found.saved == found.learnt + found.optimizer and found.still == 0
    assert found.views == 4 * pixels
    # The view, its four turns for the weights' gradient, features, scores as logarithms, and what was turned how.
    assert found.kept == pytest.approx(4 * pixels * (1 + turns) + 4 * turns * (DIM + turns) + 8 * turns, abs=4 * turns)
    assert found.norms == 0 and found.of_each == 0 and found.seconds is None


def test_attention_is_counted_whichever_kernel_computes_it() -> None:
    plan, trial = trial_of(method="mae", encoder="test_vit", size=32)
    fused, plain = (cost_of(plan.computed(Way(attention=kind)), trial, timed=False) for kind in ("fused", "plain"))
    assert plain.operations < fused.operations < 1.1 * plain.operations  # which computes scores anew on the way back


def test_batch_norms_and_a_slow_self_are_seen() -> None:
    plan, trial = trial_of(method="byol", encoder="test_resnet", size=32)
    found = cost_of(plan, trial, timed=False)
    method = trial.job(plan, FEW).method
    assert found.norms >= len(batch_norms(method.encoder))  # at least once through each of the encoder's
    slow = sum(p.nbytes for p in method.parameters() if not p.requires_grad)
    assert 0 < slow <= found.still < found.learnt


@pytest.mark.parametrize(
    ("name", "numbers"), [("instance_discrimination", 128), ("pirl", 128), ("deepcluster", 262), ("moco", 0)]
)
def test_what_is_kept_of_each_sample_is_told_from_a_queue(name: str, numbers: int) -> None:
    plan, trial = trial_of(method=name, encoder="test_resnet", size=32)
    found = cost_of(plan, trial, timed=False)
    assert kept_of_each(trial.job(plan, FEW).method) == numbers  # so a run refuses what a plan does
    assert found.of_each == 4 * numbers and found.banks(10**8) == 4e8 * numbers
    assert max(found.saved, found.still) < 4 * 128 * COUNT  # without any banks


@pytest.mark.parametrize(
    ("name", "told", "gathered", "summed"),
    [
        ("simclr", {"dim": 16}, 2 * 2 * 4 * 16, 0),  # both views, and their gradients
        ("barlow_twins", {"width": 16}, 0, None),
        ("rotation", {}, 0, 0),
    ],
)
def test_what_a_method_has_for_other_processes_is_counted(
    name: str, told: dict[str, Any], gathered: int, summed: int | None
) -> None:
    found = cost(method={"name": name, "options": told}, encoder="test_resnet", size=32)
    assert found.gathered == gathered and found.shuffled == 0
    assert found.summed == summed if summed is not None else found.summed > 2 * 4 * 16 * 16
    assert (found.exchanges > 0) == (name != "rotation")


def test_twice_the_batch_keeps_twice_as_much_beside_what_every_step_has() -> None:
    plan, trial = trial_of(method="simclr", encoder="test_resnet", size=32)
    found = cost_of(plan, trial, timed=True)
    assert found.kept > found.views > 0 and found.seconds and found.seconds > 0
    half = cost_of(plan.computed(Way("bf16-mixed")), trial, timed=False)
    assert half.always > found.always and half.kept < found.kept  # weights are kept once in half, the rest is halved
