"""Runs in processes of their own: one that dies, a stop, and cards of which each process sees one."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from selftaught.commands.one_run import end_with_parent
from selftaught.judging import crew
from selftaught.judging.bench import Order
from selftaught.judging.comparison import Ran, Rung
from selftaught.judging.crew import Crew
from selftaught.run.recipes import Compare
from selftaught.system.errors import Interrupted
from selftaught.system.interruption import Stop, stopping
from tests.children import Child, child


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "MODULE", "tests.judging.worker")


def orders(*methods: str) -> Iterator[Order]:
    """An order of a run of each."""
    rung = Rung(rung=1, budget=None, epochs=1, methods=list(methods), kept=[])
    for method in methods:
        about = {"method": method, "seed": 0, "rung": 1, "tokens": False, "run": f"runs/{method}"}
        about |= {"encoder": {"name": "mlp"}}
        yield Order(recipe=Compare.parse({"data": "x"}), folder="", about=about, rung=rung, measure="accuracy")


def made(count: int, stop: Stop, *methods: str, shown: list[list[str]] | None = None) -> list[Ran]:
    return list(Crew(count, stop, (shown if shown is not None else []).append).ran(orders(*methods)))


def test_a_process_that_dies_takes_its_run_with_it_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[list[str]] = []
    found = {ran.method: ran for ran in made(2, Stop(), "dies", "a", "b", shown=shown)}
    assert {method: ran.state for method, ran in found.items()} == {"dies": "failed", "a": "done", "b": "done"}
    assert found["dies"].reason == "its process was ended by SIGKILL: warning: the memory is nearly full"
    assert found["dies"].exit_code == 1
    assert "dies, seed 0, rung 1: warning: the memory is nearly full" in capsys.readouterr().err
    assert max(map(len, shown)) <= 2


def test_a_stop_lets_all_save_and_begins_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = tmp_path / "begun"
    monkeypatch.setenv("BEGUN", str(begun))
    found: list[Ran] = []

    def seen(working: list[str]) -> None:
        if begun.exists() and len(working) == 1:  # the one that would never end
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="stopped by SIGTERM; add --resume to go on"), stopping() as stop:
        found.extend(Crew(2, stop, seen).ran(orders("goes on", "a")))
    with pytest.raises(Interrupted, match="stopped by SIGTERM at step 3"):
        found.extend(Crew(1, Stop(), lambda working: None).ran(orders("b", "is stopped", "c")))
    assert [ran.method for ran in found] == ["a", "b"]


def test_each_process_sees_a_card_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert sorted(ran.verdict for ran in made(2, Stop(), "a", "b")) == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5f")
    assert sorted(ran.verdict for ran in made(2, Stop(), "a", "b")) == ["3", "GPU-5f"]


def test_a_run_whose_comparison_is_gone_saves_and_ends() -> None:
    theirs, ours = os.pipe()

    def work(here: Child) -> int:
        os.close(ours)
        os.dup2(theirs, 0)
        with stopping() as stop:
            end_with_parent()
            while not stop.reason:
                time.sleep(0.01)
        return 75

    with child(work) as orphan:
        os.close(ours)
        os.close(theirs)
        assert orphan.ended() == 75
