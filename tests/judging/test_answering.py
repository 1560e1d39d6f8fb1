"""What may be answered of a sample, how a file has it, and which file goes on with what."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from selftaught.data.sources.cells import NO_VALUE
from selftaught.data.sources.labels import labels_in_file
from selftaught.judging.answering import answers_of, task_of
from selftaught.judging.choice import CLASSES, Likely, _listed
from selftaught.judging.label_file import LabelFile
from selftaught.judging.targets import Task, looks, names_in, targets_of
from selftaught.run.meaning import Meaning
from selftaught.system.errors import DataError, UsageError
from tests.judging.test_labelling import sitting


@pytest.mark.parametrize(
    ("said", "text"),
    [(["dog", "cat"], "cat;dog"), (["dog"], "dog;"), ([], ";"), (["cat", "cat"], "cat;"), ("cat", "cat;")],
)
def test_any_set_of_classes_is_one_label_that_reads_as_several(said: str | list[str], text: str) -> None:
    several = answers_of("several")
    for name in ("cat", "dog"):
        several.add_class(name)
    assert (
        several.text(said) == text
        and looks([text]) == "several"
        and {*names_in(text)} == {*([said] if said == "cat" else said)}
    )
    assert several.counts([text, "cat;dog"]) == {"cat": 1 + ("cat" in said), "dog": 1 + ("dog" in said)}
    with pytest.raises(UsageError, match="'eel' is none of the classes"):
        several.text(["cat", "eel"])
    with pytest.raises(UsageError, match="no classes yet"):
        answers_of("several").text([])


def test_a_name_that_cannot_be_printed_is_shown_once_escaped() -> None:
    with pytest.raises(UsageError, match=r"^'a\\x1bb' is none of the classes"):
        answers_of("classes").text("a\x1bb")
    with pytest.raises(UsageError, match=r"and 'a\\x1bb' is none$"):
        answers_of("classes").add_class("a\x1bb")


def test_only_what_files_of_labels_have_for_none_is_no_name(tmp_path: Path) -> None:
    for mark in NO_VALUE - {""}:
        answers, file = answers_of("classes"), tmp_path / "labels.csv"
        file.write_text(f"path,label\na,{mark}\nb,x\n")
        if labels_in_file(file)["a"]:
            answers.add_class(mark)
            assert answers.text(mark) == mark
        else:
            with pytest.raises(UsageError, match="files of labels have it for no label"):
                answers.add_class(mark)


@pytest.mark.parametrize(
    ("said", "text"), [("3", "3"), (" -2.50 ", "-2.5"), ("1e3", "1000"), ("0.1", "0.1"), ("1e-9", "1e-09")]
)
def test_numbers_are_written_as_they_are_read(said: str, text: str) -> None:
    number = answers_of("number")
    assert number.text(said) == text
    assert targets_of([[text, "7", "8"]], "number").values[0] == float(said)


@pytest.mark.parametrize(
    "said", ["", " ", "nan", "inf", "-Infinity", "1e999", "3,5", "1_1", "three", "1;2", "-", "x" * 500, ["3"]]
)
def test_what_is_no_finite_number_is_refused_in_a_short_line(said: str) -> None:
    with pytest.raises(UsageError, match="is no finite number") as told:
        answers_of("number").text(said)
    assert len(str(told.value)) < 200 and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("asked", "held", "classes", "says", "task"),
    [
        ("auto", [], [], None, "classes"),
        ("auto", [], ["cat"], "number", "classes"),
        ("auto", [], [], "several", "several"),
        ("auto", ["cat;"], [], None, "several"),
        ("auto", ["cat;dog", "cat"], ["eel"], "classes", "several"),
        ("auto", ["1", "2.5"], [], None, "number"),
        ("auto", ["1", "2"], [], None, "classes"),  # which are names, as `evaluate` takes them
        ("auto", ["1", "2"], [], "number", "number"),
        ("auto", ["cat"], [], "several", "classes"),
        ("auto", ["1.5"], ["1.5", "2"], None, "classes"),  # since somebody calls them so
        ("number", ["1", "2"], [], "classes", "number"),
        ("several", [";"], [], None, "several"),
        ("classes", ["cat"], ["dog"], "several", "classes"),
    ],
)  # fmt: skip
def test_what_is_answered_is_as_asked_or_as_what_is_there(
    asked: str, held: list[str], classes: list[str], says: Task | None, task: Task
) -> None:
    assert task_of(asked, classes, held, says, "labels.csv") == task


@pytest.mark.parametrize(
    ("asked", "classes", "held", "found"),
    [
        ("several", [], ["cat", "dog"], "holds one class a sample, such as 'cat', and --task several asks for several"),
        ("several", [], ["1.5"], "holds a number a sample, such as '1.5', and --task several"),
        ("classes", [], ["cat", "cat;dog"], "holds several labels a sample, such as 'cat;dog', and --task classes"),
        ("classes", ["1", "2"], ["1.5", "2"], "holds a number a sample, such as '1.5', and --task classes"),
        ("auto", ["cat"], ["1.5", "2"], "holds a number a sample, such as '1.5', and --classes asks for one class"),
        ("number", [], ["3", "cat"], "holds one class a sample, such as 'cat', and --task number asks for a number"),
        ("number", [], ["3", "1;2"], "holds several labels a sample, such as '1;2', and --task number"),
    ],
)
def test_a_file_of_another_sort_is_refused_by_name(asked: str, classes: list[str], held: list[str], found: str) -> None:
    with pytest.raises(DataError, match=r"^labels\.csv holds") as told:
        task_of(asked, classes, held, None, "labels.csv")
    assert found in str(told.value) and "name another --out" in str(told.value)


def test_classes_and_numbers_contradict_each_other() -> None:
    with pytest.raises(UsageError, match="--task number has no classes: leave --classes out"):
        task_of("number", ["cat"], [], None, "labels.csv")


def test_several_are_kept_given_to_all_taken_back_and_gone_on_with(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    one = sitting(file, task="several")
    one.answer([3, 5], ["dog", "cat"])
    one.answer([4], [])
    held = "path,label\n3.png,cat;dog\n5.png,cat;dog\n4.png,;\n"
    assert file.read_text() == held and one.counts() == {"cat": 2, "dog": 2} and one.asked()
    one.answer([6], ["dog"])
    one.take_back()
    assert file.read_text() == held and 6 not in one.labels
    again = sitting(file, classes=(), task="several")
    assert again.labels == {3: "cat;dog", 5: "cat;dog", 4: ";"} and again.classes == ["cat", "dog"]
    assert LabelFile(file).held() == ["cat;dog", "cat;dog", ";"]
    with pytest.raises(UsageError, match=r"4\.png has a label already"):
        again.answer([4], ["cat"])


def test_numbers_are_kept_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    one = sitting(file, classes=(), task="number")
    one.answer([3], "2.50")
    for rows, said in (([4, 5], "1"), ([4], "much")):
        with pytest.raises(UsageError, match="number"):
            one.answer(rows, said)
    assert file.read_text() == "path,label\n3.png,2.5\n"
    one.answer([4], "-1")
    assert one.summary() == "-1 to 2.5, 0.75 on average" and one.counts() == {}
    one.take_back()
    assert sitting(file, classes=(), task="number").labels == {3: "2.5"}


def test_of_several_labels_the_least_sure_decision_is_asked_about_first(tmp_path: Path) -> None:
    probabilities = np.full((90, 3), 0.97)
    probabilities[:, 1] -= np.linspace(0.3, 0.1, 90)
    probabilities[23] = 0.02, 0.98, 0.45
    probabilities[71] = 0.01, 0.56, 0.02
    likely = Likely(["owl", "eel", "elk"], probabilities, Meaning(task="several", thresholds=(0.5, 0.5, 0.4)))
    for by in ("margin", "uncertainty"):
        one = sitting(tmp_path / f"{by}.csv", classes=(), by=by, likely=likely, task="several")
        picks = one.choice.picks(2, one.choice.pool())
        assert [pick.row for pick in picks] == [23, 71]
    assert picks[0].worth == pytest.approx(0.45)
    assert one.thought(23) == [("eel", 0.98), ("elk", 0.45)] and one.thought(71) == [("eel", 0.56)]


def test_numbers_have_no_doubts_but_what_was_said_is_told() -> None:
    numbers = Likely([], np.empty((2, 0)), Meaning(task="number", margin=0.25), np.array([3.14159, np.nan]))
    assert numbers.doubts is None and numbers.says(0) == [("3.142", 0.25)] and numbers.says(1) == []
    meaning = Meaning(task="number", mean=1_700_000_000.0, deviation=5_000.0)
    assert Likely([], np.empty((1, 0)), meaning, np.array([1_700_001_234.0])).says(0) == [("1700001234", 0.0)]


@pytest.mark.parametrize(
    ("labels", "rows", "classes"),
    [
        (["a", "", "b", "c"], [0, 2, 3], 3),
        (["", "a;b", "c;", ";"], [1, 2, 3], 3),
        (["1.5", "2", "3"], [0, 1, 2], CLASSES),
    ],
)
def test_what_is_listed_says_how_many_classes_there_are(labels: list[str], rows: list[int], classes: int) -> None:
    held: Any = SimpleNamespace(samples=SimpleNamespace(told_labels=lambda: labels))
    known, there = _listed(Path("labels.csv"), held)
    assert known.tolist() == rows and there == classes
