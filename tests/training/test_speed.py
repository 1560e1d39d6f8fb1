"""Choices by measuring: the fastest wins by a margin, is remembered, and is recorded in the recipe."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo.utils

import selftaught
from selftaught.run.plan import Way
from selftaught.run.recipes import Pretrain
from selftaught.system import randomness
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from selftaught.training import devices, job
from selftaught.training import pretrain as pretrain_module
from selftaught.training.batches import Batches
from selftaught.training.measuring import speed, trial
from selftaught.training.measuring.speed import ROUNDS
from tests.clocks import held
from tests.methods.making import BATCH, made, views
from tests.networks import HALVED, SHALLOW

QUICK = {"method": "rotation", "encoder": HALVED, "steps": 2, "batch_size": 8, "size": 16}


def timed(seconds: dict[tuple[str, str], float], monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Replace the clock: each choice takes what `seconds` says; the returned list fills with what was measured."""
    measured: list[tuple[str, str]] = []

    def seconds_a_step(job: Any, *rest: Any) -> float:
        measured.append((job.recipe.precision, job.recipe.layout))
        return seconds.get(measured[-1], 1.0)

    monkeypatch.setattr(trial, "seconds_a_step", seconds_a_step)
    return measured


def planned_only(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let no run train; the returned list fills with the plans that they would have trained by."""
    plans: list[Any] = []
    monkeypatch.setattr(pretrain_module, "_train", lambda job, *rest: plans.append(job.recipe) or {})
    return plans


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFTAUGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(speed, "SHARE", 1e9)  # short as the runs of these tests are, they are worth a measurement
    monkeypatch.setattr(trial, "SHARE", 1e9)


def test_the_fastest_is_chosen_recorded_and_remembered(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = timed({("bf16-mixed", "channels_last"): 0.5}, monkeypatch)
    recipe = selftaught.pretrain(photos, out=str(tmp_path / "a"), **QUICK).recipe
    assert (recipe.precision, recipe.layout) == ("bf16-mixed", "channels_last") and len(measured) == 4 * ROUNDS
    again = selftaught.pretrain(photos, out=str(tmp_path / "b"), **QUICK).recipe
    assert again.precision == "bf16-mixed" and len(measured) == 4 * ROUNDS
    selftaught.pretrain(photos, out=str(tmp_path / "c"), **{**QUICK, "batch_size": 16})
    assert len(measured) == 8 * ROUNDS  # another batch is another question


def test_other_work_on_the_machine_does_not_mislead(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {("bf16-mixed", "channels_last"): iter([5.0, 0.5])}  # disturbed at first
    monkeypatch.setattr(
        trial,
        "seconds_a_step",
        lambda job, *rest: next(seconds.get((job.recipe.precision, job.recipe.layout), iter([1.0]))),
    )
    recipe = selftaught.pretrain(photos, out=str(tmp_path / "a"), **QUICK).recipe
    assert (recipe.precision, recipe.layout) == ("bf16-mixed", "channels_last")


def test_a_small_gain_does_not_beat_the_default(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed({("bf16-mixed", "contiguous"): 0.9}, monkeypatch)
    recipe = selftaught.pretrain(photos, out=str(tmp_path / "a"), **QUICK).recipe
    assert (recipe.precision, recipe.layout) == ("32-true", "contiguous")


def test_what_the_user_says_is_not_measured(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = timed({("32-true", "channels_last"): 0.1}, monkeypatch)
    recipe = selftaught.pretrain(photos, out=str(tmp_path / "a"), precision="32-true", **QUICK).recipe
    assert recipe.layout == "channels_last" and {precision for precision, _ in measured} == {"32-true"}
    measured.clear()
    selftaught.pretrain(photos, out=str(tmp_path / "b"), precision="32-true", layout="contiguous", **QUICK)
    assert not measured


def test_a_resumed_run_keeps_its_choice(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed({("bf16-mixed", "channels_last"): 0.5}, monkeypatch)
    selftaught.pretrain(photos, out=str(tmp_path / "a"), **QUICK)
    monkeypatch.setenv("SELFTAUGHT_CACHE", str(tmp_path / "elsewhere"))
    measured = timed({}, monkeypatch)
    again = selftaught.pretrain(photos, out=str(tmp_path / "a"), resume=True)
    assert again.recipe.precision == "bf16-mixed" and not measured


def test_the_attention_is_measured_where_there_is_one(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[str] = []

    def seconds_a_step(job: Any, *rest: Any) -> float:
        found = {layer.fused_attn for layer in devices.attentions(job.method)}
        assert found == {job.recipe.attention == "fused"}
        tried.append(job.recipe.attention)
        return 0.5 if job.recipe.attention == "plain" else 1.0

    monkeypatch.setattr(trial, "seconds_a_step", seconds_a_step)
    vit = {**QUICK, "method": "byol", "encoder": "test_vit"}
    recipe = selftaught.pretrain(photos, out=str(tmp_path / "a"), **vit).recipe
    first = ["fused"] * 4 * ROUNDS + ["plain", "fused"] * ROUNDS  # the faster one first, from the second turn on
    assert recipe.attention == "plain" and tried == first
    assert "contiguous plain attention on cpu" in capsys.readouterr().err
    plans = planned_only(monkeypatch)
    selftaught.pretrain(photos, out=str(tmp_path / "b"), **vit)
    assert plans[-1].attention == "plain" and tried == first
    selftaught.pretrain(photos, out=str(tmp_path / "c"), attention="fused", **vit)
    assert plans[-1].attention == "fused" and tried[len(first) :] == ["fused"] * 4 * ROUNDS
    both_said = {"precision": "32-true", "layout": "contiguous"}
    selftaught.pretrain(photos, out=str(tmp_path / "d"), **both_said, **vit)
    assert plans[-1].attention == "fused"


def test_either_attention_computes_the_same(photos: Path, tmp_path: Path) -> None:
    said = {**QUICK, "method": "mae", "encoder": "test_vit", "precision": "32-true", "layout": "contiguous"}
    runs = [
        selftaught.pretrain(photos, out=str(tmp_path / attention), attention=attention, log_every=1, **said)
        for attention in ("fused", "plain")
    ]
    for a, b in zip(*(run.metrics() for run in runs)):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)


def test_a_real_measurement_tells_seconds(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    selftaught.pretrain(photos, out=str(tmp_path / "a"), **QUICK)
    told = capsys.readouterr().err
    assert "measured 32-true contiguous" in told and "samples/s:" in told


def test_half_precision_is_kept_away_from_gradients_it_gets_wrong(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 16 px timm's own stem leaves the last stage a map of one cell, where bf16 weight gradients are garbage."""
    measured = timed({("bf16-mixed", "contiguous"): 0.1, ("bf16-mixed", "channels_last"): 0.1}, monkeypatch)
    own_stem = {**QUICK, "encoder": {"name": "test_resnet", "options": {"stem": "timm"}}}
    recipe = selftaught.pretrain(photos, out=str(tmp_path / "a"), **own_stem).recipe
    assert recipe.precision == "32-true" and {precision for precision, _ in measured} == {"32-true"}
    with pytest.raises(UsageError, match="bf16-mixed is not safe here: a strided convolution meets a map of one cell"):
        selftaught.pretrain(photos, out=str(tmp_path / "b"), precision="bf16-mixed", layout="contiguous", **own_stem)


def test_the_smallest_view_decides(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """swav's local views are less than half as large: at 32 px they end in one cell where global views do not."""
    measured = timed({("bf16-mixed", "contiguous"): 0.1}, monkeypatch)
    larger = {**QUICK, "size": 32, "encoder": {"name": "test_resnet", "options": {"stem": "timm"}}}
    assert selftaught.pretrain(photos, out=str(tmp_path / "a"), **larger).recipe.precision == "bf16-mixed"
    measured.clear()
    swav = selftaught.pretrain(photos, out=str(tmp_path / "b"), **{**larger, "method": "swav"})
    assert swav.recipe.precision == "32-true" and {precision for precision, _ in measured} == {"32-true"}


COMPILER = pytest.mark.skipif(not shutil.which("c++"), reason="compiling needs a C++ compiler, c++")


@pytest.mark.parametrize(
    ("method", "encoder", "backend"),
    [
        pytest.param("simclr", SHALLOW, "inductor", marks=COMPILER),
        ("rotation", HALVED, "aot_eager"),
        ("inpainting", HALVED, "aot_eager"),
        ("subtab", HALVED, "aot_eager"),
    ],
)
def test_a_compiled_run_computes_the_same(
    photos: Path, tmp_path: Path, method: str, encoder: Part, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called by forward, by map, and for both: that all is traced is seen without a compiler's minute for each."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    said = {"precision": "32-true", "layout": "contiguous", "log_every": 1, **QUICK}
    said |= {"method": method, "encoder": encoder}
    plain, compiled = (
        selftaught.pretrain(photos, out=str(tmp_path / str(choice)), compile=choice, **said) for choice in (False, True)
    )
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    for a, b in zip(plain.metrics(), compiled.metrics()):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
    assert set(plain.encoder().state_dict()) == set(compiled.encoder().state_dict())


def test_what_makes_features_and_a_map_at_once_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    traced, method = set[str](), made("subtab")
    monkeypatch.setattr(torch, "compile", lambda call: lambda *x: traced.add(call.__name__) or call(*x))
    job._compile_encoders(method)
    with randomness.at(0, 0, slice(0, BATCH)):
        method(*views(method))
    assert traced == {"feature_and_map"}


class Slow:
    """A machine whose clock stands still but for steps, measured or meant, each of which takes a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.steps, self.clock = 0, held(monkeypatch)
        self.began = self.clock.at
        take = Batches.__call__

        def step(batches: Batches, number: int) -> Any:
            self.clock.advance(seconds)
            self.steps += 1
            return take(batches, number)

        monkeypatch.setattr(Batches, "__call__", step)
        monkeypatch.setattr(speed, "SHARE", 0.05)
        monkeypatch.setattr(trial, "SHARE", 0.05)

    @property
    def taken(self) -> float:
        return self.clock.at - self.began


@pytest.mark.parametrize(("seconds", "budget"), [(1.0, 360), (20.0, 3600)])
def test_measuring_takes_a_twentieth_of_the_budget_and_a_minute_at_most(
    seconds: float, budget: int, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Slow(monkeypatch, seconds)
    taken = []
    quick = {**QUICK, "batch_size": "auto", "method": "byol", "encoder": "test_vit"}
    del quick["steps"]
    monkeypatch.setattr(pretrain_module, "_train", lambda *a: taken.append(machine.taken) or {})
    selftaught.pretrain(photos, out=str(tmp_path / "run"), budget=budget, **quick)
    least = 3 * seconds  # memory, a step to warm up, and one that is timed: they are done whatever they take
    assert taken[0] <= max(min(60, 0.05 * budget) + seconds, least)


def test_a_short_run_is_not_measured_at_all(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Slow(monkeypatch, 1.0)
    recipe = selftaught.pretrain(photos, out=str(tmp_path / "run"), **QUICK).recipe
    assert (recipe.precision, recipe.layout) == ("32-true", "contiguous")
    assert machine.steps == 2  # of the run: its pictures are made of a few samples of the first, and are no step


def test_half_precision_that_was_asked_for_is_checked_in_a_short_run_too(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "SHARE", 0.05)
    own_stem = {**QUICK, "encoder": {"name": "test_resnet", "options": {"stem": "timm"}}, "precision": "bf16-mixed"}
    with pytest.raises(UsageError, match="bf16-mixed is not safe here: a strided convolution meets a map of one cell"):
        selftaught.pretrain(photos, out=str(tmp_path / "a"), **own_stem)


def test_on_a_machine_with_a_card_the_cpu_has_choices_of_its_own(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = planned_only(monkeypatch)
    selftaught.pretrain(photos, out=str(tmp_path / "a"), precision="32-true", device="cpu", **QUICK)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    on_card, on_cpu = (Pretrain.parse({"data": str(photos), "device": name, **QUICK}) for name in ("auto", "cpu"))
    assert speed.usual(on_card, plans[0]).precision == "bf16-mixed"
    assert speed.usual(on_cpu, plans[0]).precision == "32-true"
    way, shape = Way("32-true", "channels_last"), (3, 16, 16)
    speed._remember(speed._key(on_cpu, plans[0], shape), way)
    assert speed.remembered(on_cpu, plans[0], shape) == way and speed.remembered(on_card, plans[0], shape) is None


def test_what_there_was_no_time_to_measure_is_the_same_the_next_time(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Slow(monkeypatch, 1.0)
    plans = planned_only(monkeypatch)
    quick = {**QUICK, "epochs": 30}
    del quick["steps"]
    selftaught.pretrain(photos, out=str(tmp_path / "a"), **quick)
    once = machine.steps
    selftaught.pretrain(photos, out=str(tmp_path / "b"), **quick)
    first, again = plans
    assert (again.precision, again.layout) == (first.precision, first.layout) and machine.steps == once > 0


def test_a_first_run_builds_two_networks(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is measured, whatever is asked of it, and one that learns."""
    Slow(monkeypatch, 1.0)
    built: list[str] = []
    build = job.build

    def counted(plan: Any, *rest: Any) -> Any:
        built.append(plan.method.name)
        return build(plan, *rest)

    monkeypatch.setattr(job, "build", counted)
    monkeypatch.setattr(trial, "build", counted)
    quick = {**QUICK, "steps": None, "batch_size": "auto", "budget": "60s"}
    selftaught.pretrain(photos, out=str(tmp_path / "a"), **quick)
    assert len(built) == 2


def test_the_choice_of_other_shapes_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = timed({}, monkeypatch)
    for columns in (4, 400):
        file = tmp_path / f"{columns}.npy"
        np.save(file, np.random.default_rng(0).normal(size=(64, columns)).astype(np.float32))
        selftaught.pretrain(file, method="vicreg", steps=1, batch_size=16, out=tmp_path / str(columns))
        assert measured, f"{columns} columns took the choice of others"
        measured.clear()
