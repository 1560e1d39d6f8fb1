"""Views of a smaller side at first: the same crops, whole ones from a step on, and a run that goes on as it was."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import selftaught
from selftaught.contracts import modality
from selftaught.methods import registry
from selftaught.run.quantities import Growth
from selftaught.run.recipes import Pretrain
from selftaught.system.errors import UsageError
from selftaught.system.interruption import Stop
from selftaught.training.batches import Batches
from selftaught.training.job import prepare
from selftaught.training.measuring.budget import corrected, mean_work, work
from selftaught.training.measuring.forecast import forecast
from selftaught.training.resolve import open_data, preflight, resolve
from tests.networks import HALVED

HALF = Growth(side=0.5, steps=0.75)
QUICK: dict[str, Any] = {
    "encoder": HALVED, "size": 16, "limit": 24, "batch_size": 8, "steps": 4, "map": 0,
    "precision": "32-true", "layout": "contiguous",
}  # fmt: skip


def test_the_same_crops_smaller_for_three_quarters_and_whole_after_that() -> None:
    recipe = Pretrain.parse({"data": "sklearn:digits", **QUICK, "grow": "0.5:0.75"})
    samples = open_data(recipe, Stop())
    job = prepare(resolve(recipe, samples), samples, None)
    whole = prepare(resolve(recipe.model_copy(update={"grow": None}), samples), samples, None)
    assert [job.batches(step)[0].shape[-1] for step in range(4)] == [8, 8, 8, 16]
    small, large = job.batches(2)[0], whole.batches(2)[0]
    assert torch.allclose(small, torch.nn.functional.avg_pool2d(large, 2), atol=0.5)
    assert (small - torch.nn.functional.avg_pool2d(large, 2)).abs().mean() < 0.1 < large.std()
    assert all(torch.equal(a, b) for a, b in zip(job.batches(3), whole.batches(3)))
    job.fit(steps=8, start=2, until=3)  # what is to come is reckoned with
    assert job.batches(5)[0].shape[-1] == 8 and job.batches(6)[0].shape[-1] == 16


def test_a_run_that_was_cut_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = selftaught.pretrain("sklearn:digits", out=tmp_path / "whole", grow="0.5:0.75", **QUICK)
    assert run.recipe.grow == HALF
    made, cut = Batches.__call__, [True]

    def once(self: Batches, step: int) -> Any:
        if step == 3 and cut:
            cut.clear()
            raise KeyboardInterrupt
        return made(self, step)

    monkeypatch.setattr(Batches, "__call__", once)
    how: dict[str, Any] = {"out": tmp_path / "cut", "checkpoint_every": "1", **QUICK}
    with pytest.raises(KeyboardInterrupt):
        selftaught.pretrain("sklearn:digits", grow="0.5:0.75", **how)
    with pytest.raises(UsageError, match="cannot resume: --grow"):
        selftaught.pretrain("sklearn:digits", grow="0.5:0.5", resume=True, **how)
    again = selftaught.pretrain("sklearn:digits", resume=True, **how)
    one, other = (load_file(r.folder / "encoder" / "model.safetensors") for r in (run, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_budget_reckons_with_what_smaller_views_cost() -> None:
    assert mean_work(None) == 1 and mean_work(HALF) == 0.75 / 4 + 0.25
    assert work(HALF, 0, 100, 100) == pytest.approx(100 * mean_work(HALF)) and work(None, 10, 30, 100) == 20
    assert work(HALF, 0, 30, 100) == 30 / 4 and work(HALF, 70, 90, 100) == 5 / 4 + 15


@pytest.mark.parametrize(
    ("step", "left", "steps"), [(30, 36.25, 100), (30, 58.125, 150), (90, 5, 95), (90, 100, 120), (70, 5, 75)]
)
def test_corrected_steps_fill_what_is_left_and_nothing_shrinks_again(
    step: int, left: float, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`left` seconds, at one whole step a second."""
    monkeypatch.setattr("selftaught.training.measuring.budget._left", lambda budget, began: left)
    assert corrected(100.0, 100, step, 1.0, 0.0, HALF) == pytest.approx(steps, abs=1)
    if step < HALF.turn(min(100, steps)):
        assert work(HALF, step, steps, steps) == pytest.approx(left, abs=0.5)
    assert step < HALF.turn(100) or HALF.turn(steps) <= step


def test_a_forecast_takes_less_where_views_are_smaller_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selftaught.training.measuring.forecast.seconds_a_step", lambda job, stop: 1.0)
    told = {"data": "sklearn:digits", "encoder": HALVED, "size": 16, "epochs": 1}
    recipes = (Pretrain.parse({**told, "grow": grow}) for grow in (None, "0.5:0.75"))
    whole, grown = (forecast(recipe, 64, False, Stop())[1].seconds for recipe in recipes)
    assert grown == pytest.approx(whole * mean_work(HALF), rel=0.05)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"data": "sklearn:digits", "method": "mae"}, "--grow 0.5:0.75: mae reckons with how large views are"),
        ({"data": "sklearn:wine"}, "--grow 0.5:0.75 is for images: rows have no size"),
    ],
)
def test_what_cannot_grow_is_refused(told: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        preflight(Pretrain.parse({**told, "grow": "0.5:0.75"}), None)


@pytest.mark.parametrize("value", ["0.5", "0:0.75", "0.5:1", "half:most", "0.5:-1"])
def test_what_is_no_growth_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="--grow"):
        Pretrain.parse({"data": "photos", "grow": value})


GROWING = [
    place.name
    for place in registry.places().values()
    if place.family == "contrastive" and not registry.method_class(place.name).whole_views
]


@pytest.mark.parametrize("name", GROWING)
def test_methods_that_may_grow_take_smaller_views(name: str) -> None:
    kind = modality.named("images")
    method = {"name": name, "options": {"dim": 4} if name == "wmse" else {}}  # which whitens a batch
    encoder = "test_vit" if registry.method_class(name).needs_tokens else HALVED
    recipe = Pretrain.parse(
        {"data": "sklearn:digits", **QUICK, "size": 32, "grow": "0.5:0.75", "method": method, "encoder": encoder}
    )
    preflight(recipe, None, kind)
    samples = open_data(recipe, Stop())
    job = prepare(resolve(recipe, samples), samples, None)
    job.fit(steps=4, start=0, until=1)
    job.fit(steps=4, start=3, until=4)
