"""torch's generators, which a process has once: a call from Python leaves them alone, and no other call's numbers."""

from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import selftaught
from selftaught import SelfTaughtEncoder
from selftaught.system import generators
from selftaught.system.errors import UsageError

ROWS = np.random.default_rng(0).normal(size=(60, 5))
CLASSES = np.arange(60) % 2
MLP = {"name": "mlp", "options": {"depth": 1, "width": 8}}
FAST: dict[str, Any] = {"precision": "32-true", "layout": "contiguous"}
QUICK: dict[str, Any] = {"method": "vime", "encoder": MLP, "steps": 3, "map": 0, "logger": None, **FAST}


def weights(run: Any) -> Tensor:
    return torch.cat([p.flatten() for p in run.encoder().parameters()])


def goes_on(call: Any) -> bool:
    """Whether the numbers that are drawn after a call are those that would have come without it."""
    torch.manual_seed(7)
    wanted = torch.rand(2)
    torch.manual_seed(7)
    first = torch.rand(1)
    call()
    return torch.equal(torch.cat([first, torch.rand(1)]), wanted)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return selftaught.pretrain(ROWS, out=tmp_path_factory.mktemp("generators") / "run", **QUICK)


def test_every_call_leaves_the_numbers_of_its_user_alone(run: Any, tmp_path: Path) -> None:
    labelled = ROWS, CLASSES
    estimator = SelfTaughtEncoder("vime", encoder=MLP, steps=1, **FAST)

    def refused() -> None:
        def bad(step: Any) -> None:
            raise LookupError

        with pytest.raises(LookupError):
            selftaught.pretrain(ROWS, out=tmp_path / "bad", on_step=bad, **QUICK)
        with pytest.raises(UsageError):
            selftaught.evaluate(run, labelled, probe="none")

    calls = {
        "pretrain": lambda: selftaught.pretrain(ROWS, out=tmp_path / "a", **QUICK),
        "evaluate": lambda: selftaught.evaluate(run, labelled, probe="knn", pretrained="none"),
        "finetune": lambda: run.finetune(labelled, tmp_path / "clf", finetune={"epochs": 1}),
        "predict": lambda: selftaught.predict(tmp_path / "clf", ROWS[:5]),
        "find": lambda: run.find(ROWS, "3"),
        "embed": lambda: run.embed(ROWS, tmp_path / "features.npz"),
        "encoder": run.encoder,
        "fit": lambda: estimator.fit(ROWS),
        "transform": lambda: estimator.transform(ROWS),
        "an error": refused,
    }
    assert [name for name, call in calls.items() if not goes_on(call)] == []


def test_a_training_waits_for_that_of_another_thread_and_both_have_their_own_weights(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, made, said = Event(), dict[str, Any](), list[str]()

    def hear(line: str) -> None:
        said.append(line)
        waits.set()

    def train(name: str, **more: Any) -> None:
        made[name] = selftaught.pretrain(ROWS, out=tmp_path / name, **more, **QUICK)

    second = Thread(target=train, args=("second",))

    def begins(step: Any) -> None:
        if step.step == 1:
            second.start()
            assert waits.wait(60)

    monkeypatch.setattr(generators, "say", hear)
    train("first", on_step=begins)
    second.join()
    assert said == ["note: another call works in this process: pretrain waits for it, as both need torch's generators"]
    assert torch.equal(weights(made["first"]), weights(run)) and torch.equal(weights(made["second"]), weights(run))


def test_what_neither_trains_nor_judges_waits_for_nobody(run: Any, tmp_path: Path) -> None:
    found = list[Any]()

    def asks(step: Any) -> None:
        beside = Thread(target=lambda: found.append(run.find(ROWS, "3").keys))
        beside.start()
        beside.join(60)

    selftaught.pretrain(ROWS, out=tmp_path / "run", on_step=asks, **QUICK)
    assert found == [run.find(ROWS, "3").keys] * 3


def test_a_loop_has_its_own_numbers_between_steps_and_may_call_what_it_likes(run: Any, tmp_path: Path) -> None:
    torch.manual_seed(7)
    wanted, drawn = torch.rand(5), list[Tensor]()
    torch.manual_seed(7)
    steps = selftaught.steps(ROWS, out=tmp_path / "run", **QUICK)
    for _ in steps:
        drawn.append(torch.rand(1))
        selftaught.evaluate(run, (ROWS, CLASSES), probe="knn", pretrained="none")
    assert torch.equal(torch.cat([*drawn, torch.rand(2)]), wanted)
    assert torch.equal(weights(steps.run), weights(run))


def test_a_loop_that_is_let_go_while_another_call_works_ends_all_the_same(run: Any, tmp_path: Path) -> None:
    left = selftaught.steps(ROWS, out=tmp_path / "left", **QUICK)
    next(left)
    made = selftaught.pretrain(ROWS, out=tmp_path / "run", on_step=lambda step: left.close(), **QUICK)
    assert selftaught.Run.open(tmp_path / "left").status["state"] == "preempted"
    assert torch.equal(weights(made), weights(run))
