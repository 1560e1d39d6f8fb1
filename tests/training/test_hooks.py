"""What somebody's own code hears of a run in Python, and the run as a loop."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import selftaught
from selftaught.data.images.samples import open_samples
from selftaught.run.folder import RunFolder
from selftaught.system import randomness
from selftaught.system.errors import UsageError
from selftaught.training.own_views import views_of
from tests.clocks import held
from tests.networks import HALVED

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
FAST: dict[str, Any] = {
    **{"method": "simclr", "encoder": HALVED, "steps": 4, "batch_size": 8, "map": 0},
    **{"precision": "32-true", "layout": "contiguous", "logger": None},
}


def weights(run: Any) -> Tensor:
    return torch.cat([p.flatten() for p in run.encoder().parameters()])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return selftaught.pretrain(PIXELS, out=tmp_path_factory.mktemp("plain") / "run", **FAST)


def test_steps_looks_and_the_end_are_told_and_change_nothing(plain: Any, tmp_path: Path) -> None:
    steps, looks, ends = list[Any](), list[dict[str, Any]](), list[dict[str, Any]]()
    hooks: dict[str, Any] = {"on_step": steps.append, "on_look": looks.append, "on_end": ends.append}
    run = selftaught.pretrain(PIXELS, out=tmp_path / "run", **hooks, **FAST)
    assert [step.step for step in steps] == [1, 2, 3, 4] and {step.steps for step in steps} == {4}
    lines = {line["step"]: line for line in run.metrics()}
    assert steps[0].loss == pytest.approx(lines[1]["loss"]) and set(steps[0].terms) == set(lines[1]["terms"])
    assert not any(term.requires_grad for step in steps for term in step.terms.values())
    assert [look["step"] for look in looks] == [3, 4] and all("health" in look for look in looks)
    assert [end["state"] for end in ends] == ["done"] and torch.equal(weights(run), weights(plain))


def test_the_time_left_goes_by_steps_that_have_no_line_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    time = held(monkeypatch)
    steps: dict[str, Any] = {**FAST, "steps": 40, "log_every": 30}
    selftaught.pretrain(PIXELS, out=tmp_path / "run", on_step=lambda step: time.advance(2), **steps)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("training: ")]
    assert [line.partition(", loss")[0] for line in said[:2]] == [
        "training: 9 of 40 steps, 55s left",
        "training: 17 of 40 steps, 43s left",  # which has no line, nor a look
    ]


def test_what_a_function_raises_ends_the_run(tmp_path: Path) -> None:
    ends = list[dict[str, Any]]()

    def enough(step: Any) -> None:
        if step.step == 2:
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        selftaught.pretrain(PIXELS, out=tmp_path / "run", on_step=enough, on_end=ends.append, **FAST)
    assert [end["state"] for end in ends] == ["failed"]
    for left, code in (("bye", 1), (3, 3)):
        leave: Any = partial(leaves, left)
        with pytest.raises(SystemExit):
            selftaught.pretrain(PIXELS, out=tmp_path / f"left-{code}", on_step=leave, **FAST)
        status = RunFolder.open(tmp_path / f"left-{code}").status
        assert (status["state"], status["reason"], status["exit_code"]) == ("failed", f"SystemExit: {left}", code)
    with pytest.raises(UsageError, match=r"--devices 2 starts processes, which know .* no functions of yours"):
        selftaught.pretrain(PIXELS, out=tmp_path / "b", on_step=enough, devices=2, device="cpu", **FAST)


def test_a_loop_has_each_step_and_the_run(plain: Any, tmp_path: Path) -> None:
    steps = selftaught.steps(PIXELS, out=tmp_path / "run", **FAST)
    assert [step.step for step in steps] == [1, 2, 3, 4] and list(steps) == []
    assert steps.run.status["state"] == "done" and torch.equal(weights(steps.run), weights(plain))
    with pytest.raises(UsageError, match="no method named 'simclear'"):
        next(selftaught.steps(PIXELS, **{**FAST, "method": "simclear"}))


def test_a_loop_that_is_left_goes_on_from_its_last_step(plain: Any, tmp_path: Path) -> None:
    out, seen = tmp_path / "run", list[int]()
    for step in selftaught.steps(PIXELS, out=out, **FAST):
        seen.append(step.step)
        if step.step == 2:
            break
    assert RunFolder.open(out).status["state"] == "preempted"
    rest = selftaught.steps(PIXELS, out=out, resume=True)
    assert seen + [step.step for step in rest] == [1, 2, 3, 4]
    assert torch.equal(weights(rest.run), weights(plain))
    stopped = selftaught.steps(PIXELS, out=tmp_path / "b", on_step=refuse, **FAST)
    with pytest.raises(selftaught.Interrupted, match="by hand"):
        next(stopped)


def test_a_loop_that_is_left_stops_though_it_is_kept(plain: Any, tmp_path: Path) -> None:
    out = tmp_path / "run"
    steps = selftaught.steps(PIXELS, out=out, **FAST)
    assert next(steps).step == 1  # which leaves nothing: the loop goes on from there
    for number, step in enumerate(steps, 2):
        assert step.step == number
        if number == 3:
            break
    assert RunFolder.open(out).status["state"] == "preempted" and list(steps) == []
    rest = selftaught.steps(PIXELS, out=out, resume=True)
    assert [step.step for step in rest] == [4] and torch.equal(weights(rest.run), weights(plain))

    raised = selftaught.steps(PIXELS, out=tmp_path / "b", **FAST)
    with pytest.raises(LookupError):
        for _ in raised:
            raise LookupError
    assert RunFolder.open(tmp_path / "b").status["state"] == "preempted" and raised.run is None


def shifted(images: Tensor) -> Tensor:
    return images + 0.1 * selftaught.randomness.uniform((len(images), 1, 1, 1), "shift", images.device)


def pictured(picture: Any, rng: np.random.Generator) -> Any:
    assert picture.size == (8, 8) and picture.mode == "RGB"
    return picture.rotate(90 * int(rng.integers(4)))


@pytest.mark.parametrize("function", [shifted, selftaught.on_pictures(pictured)])
def test_a_view_of_ones_own_is_made_anew_on_resume(
    function: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    views: dict[str, Any] = {"strong": function}
    whole = selftaught.pretrain(PIXELS, out=tmp_path / "whole", views=views, **FAST)
    assert whole.recipe.own_views == "strong"
    assert ("one picture after the other, which is slower" in capsys.readouterr().err) == (function is not shifted)
    for step in selftaught.steps(PIXELS, out=tmp_path / "cut", views=views, **FAST):
        if step.step == 2:
            break
    with pytest.raises(UsageError, match=r"began with views of somebody's own, views=\{'strong': function\}"):
        selftaught.pretrain(PIXELS, out=tmp_path / "cut", resume=True)
    resumed = selftaught.pretrain(PIXELS, out=tmp_path / "cut", resume=True, views=views)
    assert torch.equal(weights(resumed), weights(whole))


def test_an_own_view_is_normalised_and_leaves_the_others_alone() -> None:
    samples = open_samples(PIXELS)
    names, raw = ("light", "strong", "strong", "index"), samples.batch(np.arange(4))
    rows, ours = torch.arange(4), samples.views(("light", "plain", "plain", "index"))
    samples.own = {"strong": lambda images: ((images - 0.5).abs() < 0.50001).all() * images.flip(3)}
    with randomness.at(0, 1, slice(0, 4)):
        light, strong, again, index = views_of(samples, names)(rows, *raw)
        wanted = ours(rows, *raw)
    assert torch.equal(light, wanted[0]) and torch.equal(index, rows)
    assert torch.allclose(strong, wanted[1].flip(3), atol=1e-6) and torch.equal(again, strong)


def test_an_own_view_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    for views, said in (
        ({"strogn": shifted}, "no view 'strogn' of your own can be used: the method's views are strong"),
        (
            {"strong": lambda images: images[:, :1]},
            r"your view 'strong' gives \(\d+, 1, 8, 8\), and is to give a tensor",
        ),
        ({"strong": lambda images: 3}, "your view 'strong' gives int"),
    ):
        with pytest.raises(UsageError, match=said):
            selftaught.pretrain(PIXELS, out=tmp_path / "run", overwrite=True, views=views, **FAST)


def test_what_is_of_another_type_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    for how, said in (
        ({"views": "strong"}, "--views cannot be 'strong'"),
        ({"on_step": 5}, "on_step cannot be of type int: it is a function, or None"),
        ({"on_end": "done"}, "on_end cannot be of type str"),
    ):
        with pytest.raises(UsageError, match=said):
            selftaught.pretrain(PIXELS, out=tmp_path / "run", **how, **FAST)
    with pytest.raises(UsageError, match="--views cannot be 'strong'"):
        selftaught.preview(PIXELS, views="strong", out=tmp_path / "p.png")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a run cannot be of type NoneType: give its folder"):
        selftaught.Run.open(None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a run cannot be of type NoneType: give its folder"):
        selftaught.evaluate(None, PIXELS)  # type: ignore[arg-type]
    assert not any(tmp_path.iterdir())


def leaves(code: Any, step: Any) -> None:
    sys.exit(code)


def refuse(step: Any) -> None:
    raise selftaught.Interrupted("by hand")
