"""Tables that commands print: names are whole and as they are, be the terminal narrow or none."""

from typing import Any

import pytest
from rich.console import Console

from selftaught.commands.answers import evaluate
from selftaught.judging.classwise import worst
from selftaught.judging.printed import table
from selftaught.judging.result import Detail, Evaluation, Row
from selftaught.reporting.cells import drawn
from selftaught.run.recipes import Evaluate

NAMES = ["[/b]", "[grade 2]", "[bold]", "weight [kg]", ":smile:", "a\\", "<img src=x onerror=alert(1)>\"'&"]
VALUES = {"trained": 0.7, "initial": 0.4, "pixels": 0.293, "scratch": 0.6, "pretrained": 0.7}


def evaluation(measure: str = "mAP") -> Evaluation:
    rows = [
        Row(features=kind, probe="linear", labels="all labels", accuracy=a, low=a - 0.159, high=a + 0.159, repeats=1)
        for kind, a in VALUES.items()
    ]
    rows = [row.model_copy(update={"measure": measure, "measures": {measure: row.accuracy}}) for row in rows]
    shares = [0.1] * len(NAMES)
    details = [
        Detail(features=kind, probe="linear", labels="all labels", recall=list(shares), confusion=None)
        for kind in VALUES
    ]
    about: dict[str, Any] = {"run": "r", "train": "t", "test": None, "train_samples": 9, "test_samples": 9, "seed": 0}
    judged = "linear, all labels: it helped"
    return Evaluation(
        rows=rows, details=details, classes=NAMES, leaks=NAMES, verdict=judged, verdicts=[judged], **about
    )


def printed(shown: Any, width: int = 300) -> str:
    console = Console(width=width)
    with console.capture() as held:
        console.print(shown)
    return " ".join(held.get().split())  # a caption goes on in another line


@pytest.mark.parametrize("measure", ["mAP", "balanced_accuracy"])
def test_no_name_is_taken_for_markup(measure: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = evaluation(measure)
    by_class = printed(worst(result))
    assert not [name for name in NAMES if name not in by_class and name != ":smile:"], by_class
    evaluate(Evaluate(run="", train=""), result).give(False)
    text = " ".join(capsys.readouterr().out.split())
    assert not [name for name in NAMES if text.count(repr(name)) != 1], text  # as a column that labels tell
    assert not [name for name in NAMES if name not in text.replace(repr(name), "")], text
    assert "70.0 ± 15.9" in drawn(result)


def test_a_pipe_gets_the_whole_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    evaluate(Evaluate(run="", train=""), evaluation()).give(False)
    lines = capsys.readouterr().out.splitlines()
    (row,) = (line for line in lines if "all labels" in line and "mAP" in line)
    assert "pre-trained" in lines[2] and row.count("± 15.9") == 5 and "…" not in "".join(lines)
    assert not [line for line in lines if line.endswith(" ")]


def test_a_narrow_terminal_gets_every_letter() -> None:
    text = printed(table(evaluation()), width=80)
    assert "…" not in text and text.count("15.9") == 5


def test_all_that_are_best_are_bold() -> None:
    cells = [next(iter(column.cells)) for column in table(evaluation()).columns]
    assert [cell for cell in cells if "bold" in str(cell)] == ["[bold]70.0 ± 15.9[/]"] * 2
