"""How far work is: plain lines where nobody watches, one line that changes below a notebook's cell."""

import sys
from queue import Queue
from types import ModuleType
from typing import Any

import pytest

from selftaught.system import progress
from selftaught.system.progress import Progress
from selftaught.system.saying import console, quietly
from tests.clocks import HeldClock, held

Sent = list[tuple[str, str, dict[str, str]]]  # what a notebook was told: how, where, and what


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> HeldClock:
    return held(monkeypatch)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """What a kernel sends, with IPython's two functions in the place where they are."""
    sent: Sent = []

    def sending(how: str) -> Any:
        def send(shown: dict[str, str], *, raw: bool, display_id: str) -> None:
            assert raw
            sent.append((how, display_id, shown))

        return send

    display: Any = ModuleType("IPython.display")
    display.display, display.update_display = sending("new"), sending("again")
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(console, "is_jupyter", True)
    return sent


def worked(time: HeldClock, steps: int, of: int) -> None:
    """1,024 steps a second; what is not all is stopped."""
    with Progress("<training>", of, "steps") as bar:
        for step in range(1, steps + 1):
            time.advance(2**-10)
            bar.update(step, "loss 1.5")
        if steps < of:
            raise KeyboardInterrupt


def test_a_notebook_has_one_line_that_changes_twice_a_second(time: HeldClock, notebook: Sent, capsys: Any) -> None:
    worked(time, 4000, of=4000)
    assert 8 <= len(notebook) <= 9 and {where for _, where, _ in notebook} == {notebook[0][1]}
    assert [how for how, *_ in notebook] == ["new"] + ["again"] * (len(notebook) - 1)
    first, last = notebook[0][2], notebook[-1][2]
    assert first["text/plain"].startswith("<training>: 512 of 4,000 steps, ") and "loss 1.5" in first["text/plain"]
    assert "&lt;training&gt;" in first["text/html"] and "value='512'" in first["text/html"]
    assert last["text/plain"].startswith("<training>: 4,000 steps done in ")
    assert capsys.readouterr().err == ""


def test_what_is_short_or_quiet_is_not_shown_and_what_was_cut_says_so(time: HeldClock, notebook: Sent) -> None:
    worked(time, 100, of=100)
    with quietly():
        worked(time, 4000, of=4000)
    assert notebook == []
    with pytest.raises(KeyboardInterrupt):
        worked(time, 900, of=4000)
    assert [shown["text/plain"] for *_, shown in notebook][1:] == ["<training>: ended at 900 of 4,000 steps"]


def test_elsewhere_there_is_a_plain_line_every_quarter_of_a_minute(time: HeldClock, capsys: Any) -> None:
    worked(time, 31_000, of=31_000)
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in said] == ["<training>: 15", "<training>: 30", "<training>: 31"]
    assert said[0].endswith("15,360 of 31,000 steps, 15s left, loss 1.5")
    with quietly():
        worked(time, 31_000, of=31_000)
    assert capsys.readouterr().err == ""


def test_what_is_under_way_is_not_told_as_done(time: HeldClock, capsys: Any) -> None:
    with Progress("fine-tuning", 4, "networks") as bar:
        for done in (2.55, 3.99):
            time.advance(16)
            bar.update(done)
    told = [line.partition(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert told[:2] == ["fine-tuning: 2.5 of 4 networks", "fine-tuning: 3.9 of 4 networks"]


def test_a_piece_that_takes_long_is_told_of_meanwhile_by_the_innermost(
    time: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: Queue[str] = Queue()
    monkeypatch.setattr(progress, "LOOKED", 1e-3)
    monkeypatch.setattr(progress, "say", said.put)
    with Progress("training", 3, "steps") as outer:
        time.advance(14)
        with Progress("probe", 2, "fits"):
            time.advance(16)
            assert said.get() == "probe: 0 of 2 fits, 16s so far"
            time.advance(16)
            assert said.get() == "probe: 0 of 2 fits, 32s so far"
        assert said.get() == "probe: 0 fits done in 32s"
        assert said.get() == "training: 0 of 3 steps, 46s so far"
        outer.update(1, "loss 2.0")
        time.advance(16)
        assert said.get() == "training: 1 of 3 steps, 2m 04s left, loss 2.0"
    assert said.get() == "training: 1 steps done in 1m 02s" and said.empty()
