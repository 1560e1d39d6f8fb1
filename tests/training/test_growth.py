"""Views of a smaller side at first: the same crops, whole ones from a step on, and a run that goes on as it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import selftaught
from selftaught.contracts import modality
from selftaught.methods import registry
from selftaught.run.quantities import Growth
from selftaught.run.recipes import Pretrain
from selftaught.system.errors import UsageError
from selftaught.system.interruption import Stop
from selftaught.training.batches import Batches
from selftaught.training.job import Job, prepare
from selftaught.training.measuring.budget import Pace, Work, seconds_of_steps
from selftaught.training.measuring.forecast import forecast
from selftaught.training.measuring.trial import Trial
from selftaught.training.resolve import open_data, preflight, resolve
from tests.clocks import HeldClock, held
from tests.networks import HALVED

HALF = Growth(side=0.5, steps=0.75)
QUICK: dict[str, Any] = {
    "encoder": HALVED, "size": 16, "limit": 24, "batch_size": 8, "steps": 4, "map": 0,
    "precision": "32-true", "layout": "contiguous",
}  # fmt: skip


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> HeldClock:
    return held(monkeypatch)


def views_take(
    seconds: Callable[[Tensor], float], time: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> set[tuple[int, int]]:
    """Let the views of a step take so long, and nothing else; how many were made and their sides, as they come."""
    made, sizes = Batches.__call__, set[tuple[int, int]]()

    def slow(self: Batches, step: int) -> tuple[Tensor, ...]:
        views = made(self, step)
        sizes.add((len(views[0]), views[0].shape[-1]))
        time.advance(seconds(views[0]))
        return views

    monkeypatch.setattr(Batches, "__call__", slow)
    return sizes


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
        if step == 3 and cut and (tmp_path / "cut/metrics.jsonl").exists():  # not of what is measured before
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
    work, whole = Work(HALF, 0.25), Work()
    assert whole.mean == 1 and work.mean == 0.75 / 4 + 0.25
    assert work.of(0, 100, 100) == pytest.approx(100 * work.mean) and whole.of(10, 30, 100) == 20
    assert work.of(0, 30, 100) == 30 / 4 and work.of(70, 90, 100) == 5 / 4 + 15


@pytest.mark.parametrize("small", [0.25, 0.5])
@pytest.mark.parametrize(("minutes", "rows"), [(60, 32), (1, 8)], ids=["time for whole batches", "for few samples"])
def test_a_budget_measures_what_smaller_views_cost(
    minutes: int, rows: int, small: float, time: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("selftaught.training.measuring.budget.ROWS", 8)
    sizes = views_take(lambda views: len(views) / 64 * (small if views.shape[-1] == 8 else 1.0), time, monkeypatch)
    told = {**QUICK, "limit": None, "batch_size": 32, "steps": None, "budget": 60.0 * minutes, "grow": "0.5:0.75"}
    recipe = Pretrain.parse({"data": "sklearn:digits", **told})
    samples = open_data(recipe, Stop())
    trial = Trial(samples, Stop(), budget=recipe.budget)
    trial.run_seconds = 1.0 if rows == 8 else trial.run_seconds  # so that hardly any of it may go on measuring
    seconds, work = seconds_of_steps(resolve(recipe, samples), trial)
    assert seconds == pytest.approx(0.5) and work.small == pytest.approx(small) and work.growth == HALF
    assert {side for _, side in sizes} == {8, 16} and {number for number, _ in sizes} >= {rows}


def test_a_run_whose_views_grow_plans_the_steps_that_it_does(
    tmp_path: Path, time: HeldClock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a small step costs more than its pixels say, as it does, nothing is left to correct."""
    views_take(lambda views: 1.0 if views.shape[-1] == 16 else 0.5, time, monkeypatch)
    told = {**QUICK, "steps": None, "budget": "2m", "grow": "0.5:0.75", "out": str(tmp_path / "run")}
    run = selftaught.pretrain("sklearn:digits", **told)
    assert run.recipe.steps == pytest.approx((120 - 6 - 5) / Work(HALF, 0.5).mean, rel=0.02)
    said = capsys.readouterr().err
    assert "steps instead of" not in said, said
    # Small steps done, and those left of both kinds, each with what it takes: until the end the time left is right.
    first = next(line for line in said.splitlines() if line.startswith("training: "))
    assert first.startswith("training: 30 of 176 steps, 1m 35s left"), first


@pytest.mark.parametrize(
    ("step", "left", "steps"), [(30, 36.25, 100), (30, 58.125, 150), (90, 5, 95), (90, 100, 120), (70, 5, 75)]
)
def test_corrected_steps_fill_what_is_left_and_nothing_shrinks_again(
    step: int, left: float, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`left` seconds, at one whole step a second."""
    monkeypatch.setattr(Pace, "left", left)
    work = Work(HALF, 0.25)
    assert Pace(work, 100.0).corrected(100, step, 1.0) == pytest.approx(steps, abs=1)
    if step < HALF.turn(min(100, steps)):
        assert work.of(step, steps, steps) == pytest.approx(left, abs=0.5)
    assert step < HALF.turn(100) or HALF.turn(steps) <= step


def test_a_forecast_takes_less_where_views_are_smaller_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(job: Job, stop: Stop) -> float:
        return 0.25 if job.recipe.grow else 1.0

    monkeypatch.setattr("selftaught.training.measuring.forecast.seconds_a_step", seconds)
    told = {"data": "sklearn:digits", "encoder": HALVED, "size": 16, "epochs": 1}
    recipes = (Pretrain.parse({**told, "grow": grow}) for grow in (None, "0.5:0.75"))
    whole, grown = (forecast(recipe, 64, False, Stop())[1].seconds for recipe in recipes)
    assert grown == pytest.approx(whole * Work(HALF, 0.25).mean, rel=0.05)


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
