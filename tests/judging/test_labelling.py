"""Labelling by a person: what is asked, what is kept, and that no answer is lost or written over somebody's own."""

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from selftaught.contracts.samples import Samples
from selftaught.data.sources.labels import labels_in_file
from selftaught.data.tables.samples import open_samples
from selftaught.judging.choice import NONE, Choice, Likely
from selftaught.judging.choosing import strategy
from selftaught.judging.label_file import LabelFile
from selftaught.judging.labelling import Labelling
from selftaught.judging.targets import Task
from selftaught.system.errors import DataError, UsageError
from tests.judging.test_choosing import blobs

KEYS = [*(f"{place}.png" for place in range(87)), "a, b.png", 'say "it".png', "no\udcff.png"]


def table(file: Path) -> Samples:
    """Ninety rows, of which three have each name."""
    file.write_text("id,a\n" + "".join(f"{row % 30},{row / 7}\n" for row in range(90)))
    return open_samples(file)


def choice(by: str = "typiclust", labelled: Sequence[int] = (), likely: Likely | None = None) -> Choice:
    """Of 90 samples in three heaps, of which none look just alike."""
    x = blobs()
    held: Any = SimpleNamespace(
        samples=SimpleNamespace(count=len(x), keys=KEYS), features=x, kind=SimpleNamespace(THINGS="images")
    )
    known = np.array(labelled, np.int64) if labelled else NONE
    return Choice(held, strategy.named(by), x, np.arange(len(x)), 0.0, known, 3, 0, likely)


def sitting(
    file: Path, classes: Sequence[str] = ("cat", "dog"), at_a_time: int = 3, task: Task = "classes", **how: Any
) -> Labelling:
    own = LabelFile(file)
    made = Labelling(choice(**how), own, classes, at_a_time, task)
    own.begin()
    return made


def row_of(one: Labelling) -> int:
    pick = one.asked()
    assert pick is not None
    return pick.row


def test_every_answer_is_on_the_disk_and_taken_up_again_without_an_end(tmp_path: Path) -> None:
    file = tmp_path / "new" / "labels.csv"
    first = sitting(file)
    asked = []
    for label in ("cat", "dog", "cat", "dog"):  # more than are chosen at a time
        asked.append(row_of(first))
        first.answer([asked[-1]], label)
        assert labels_in_file(file)[KEYS[asked[-1]]] == label  # before anything else is asked of it
    assert len({*asked}) == 4 and {row // 40 + (row >= 70) for row in asked[:3]} == {0, 1, 2}  # one of each heap
    again = sitting(file, classes=())  # as after a kill: nothing of the first has ended
    assert again.labels == dict(zip(asked, ("cat", "dog", "cat", "dog"))) and again.classes == ["cat", "dog"]
    assert row_of(again) not in asked and again.counts() == {"cat": 2, "dog": 2}


def test_names_of_any_kind_are_written_so_that_they_are_found_again(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    sitting(file).answer([87, 88, 89], "cat")
    assert labels_in_file(file) == dict.fromkeys(KEYS[87:], "cat")
    assert sitting(file).labels == {87: "cat", 88: "cat", 89: "cat"}
    assert file.read_bytes().split(b"\n")[3:] == [b"no\xff.png,cat", b""]


def test_rows_of_one_name_are_answered_one_by_one(tmp_path: Path) -> None:
    rows, file = table(tmp_path / "rows.csv"), tmp_path / "labels.csv"

    def begun() -> Labelling:
        held = choice()
        held.data.samples.keys = rows.keys
        return Labelling(held, LabelFile(file), ("cat", "dog"), 3)

    one = begun()
    one.file.begin()
    for row, said in ((3, "cat"), (33, "dog"), (63, "cat")):  # all called 3
        one.answer([row], said)
    assert begun().labels == {3: "cat", 33: "dog", 63: "cat"}
    labelled = open_samples(tmp_path / "rows.csv", labels=file, labelled=True)
    assert dict(zip(labelled.keys, labelled.labels or [])) == {"3#1": "cat", "3#2": "dog", "3#3": "cat"}


def test_a_stroke_is_taken_back_as_it_was_made(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    one = sitting(file)
    with pytest.raises(UsageError, match="nothing to take back"):
        one.take_back()
    first = row_of(one)
    one.answer([first, *one.alike(first)[:4]], "dog")
    before, second = file.read_bytes(), row_of(one)
    one.answer([second, *one.alike(second)], "cat")
    third = row_of(one)
    one.pass_over(third)
    assert row_of(one) not in (first, second, third) and one.counts() == {"cat": 13, "dog": 5}
    one.take_back()
    assert row_of(one) == third
    one.take_back()
    assert row_of(one) == second and file.read_bytes() == before and one.counts() == {"cat": 0, "dog": 5}
    one.take_back()
    assert row_of(one) == first and file.read_bytes() == b"path,label\n" and not one.can_take_back


def test_what_is_most_like_a_sample_is_its_heap_without_what_is_known(tmp_path: Path) -> None:
    one = sitting(tmp_path / "labels.csv", labelled=[3])
    x = blobs()
    near = one.alike(0)
    assert 3 not in near and 0 not in near and max(near) < 40 and len(near) == 12
    likeness = (x @ x[0])[near]
    assert (np.diff(likeness) <= 0).all() and likeness[-1] >= np.delete(x @ x[0], [0, 3, *near]).max()
    one.answer(near[:6], "cat")
    assert one.alike(0)[:6] == near[6:]


def test_it_ends_when_all_have_an_answer_or_are_passed_over(tmp_path: Path) -> None:
    one = sitting(tmp_path / "labels.csv", at_a_time=7)
    asked = 0
    while (pick := one.asked()) is not None:
        asked += 1
        one.pass_over(pick.row) if asked % 2 else one.answer([pick.row], "cat")
    assert asked == 90 and len(one.labels) == 45
    one.take_back()
    assert one.asked() is not None


def test_a_classifier_says_what_it_thinks(tmp_path: Path) -> None:
    probabilities = np.full((90, 2), 0.5)
    probabilities[:, 0] += np.linspace(0.1, 0.4, 90)
    probabilities[17] = 0.48, 0.52
    likely = Likely(["owl", "eel"], probabilities)
    one = sitting(tmp_path / "labels.csv", classes=(), by="margin", likely=likely)
    assert one.classes == ["owl", "eel"] and row_of(one) == 17 and one.thought(17) == [("eel", 0.52)]
    assert sitting(tmp_path / "other.csv").thought(17) is None


@pytest.mark.parametrize("name", ["", "  ", "cat", "a;b", "N/A", "None", "-", "x" * 101, "a\nb"])
def test_classes_that_files_of_labels_cannot_hold_are_refused(tmp_path: Path, name: str) -> None:
    one = sitting(tmp_path / "labels.csv")
    with pytest.raises(UsageError, match="class"):
        one.add_class(name)
    assert one.classes == ["cat", "dog"]
    one.add_class(" eel ")
    one.answer([5], "eel")
    assert labels_in_file(tmp_path / "labels.csv") == {"5.png": "eel"}


@pytest.mark.parametrize("name", ["none", "na", "Null", "n/A", "?", "Nan"])
def test_a_class_that_is_called_none_is_one_wherever_it_comes_from(tmp_path: Path, name: str) -> None:
    file = tmp_path / "labels.csv"
    sitting(file, classes=(name, "cat")).answer([5], name)
    assert labels_in_file(file) == {"5.png": name} and sitting(file, classes=()).classes == [name]
    likely = Likely(["cat", name], np.full((90, 2), 0.5))
    assert sitting(tmp_path / "other.csv", classes=(), by="margin", likely=likely).classes == ["cat", name]


def test_a_class_that_cannot_be_is_said_to_come_from_a_file_or_a_classifier(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(f"path,label\n1.png,{'x' * 101}\n")
    with pytest.raises(DataError, match=r"labels\.csv has a class that cannot be answered: a class has a name of 1 to"):
        sitting(file)
    likely = Likely(["cat", "N/A"], np.full((90, 2), 0.5))
    with pytest.raises(DataError, match=r"^the classifier has a class that cannot be answered: a class cannot be call"):
        sitting(tmp_path / "other.csv", classes=(), by="margin", likely=likely)
    with pytest.raises(UsageError, match=r"^a class cannot be called 'N/A': files of labels have it for no label"):
        sitting(tmp_path / "other.csv", classes=("N/A",))


@pytest.mark.parametrize(
    ("rows", "label"), [([], "cat"), ([90], "cat"), ([-1], "cat"), ([1, 1], "cat"), ([1], "eel"), ([1], "")]
)
def test_answers_about_nothing_change_nothing(tmp_path: Path, rows: list[int], label: str) -> None:
    one = sitting(tmp_path / "labels.csv")
    with pytest.raises(UsageError):
        one.answer(rows, label)
    for done in (0, 1):
        one.answer([done], "cat")
        with pytest.raises(UsageError, match=rf"{done}\.png has a label already"):
            one.answer([2, done], "dog")
    assert labels_in_file(tmp_path / "labels.csv") == {"0.png": "cat", "1.png": "cat"}
    assert one.labels == {0: "cat", 1: "cat"}


def test_a_file_that_somebody_changes_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    one = sitting(file)
    one.answer([1], "cat")
    file.write_text("path,label\n1.png,dog\n")
    for refused in (lambda: one.answer([2], "cat"), one.take_back):
        with pytest.raises(DataError, match="changed by somebody else"):
            refused()
    assert file.read_text() == "path,label\n1.png,dog\n" and one.labels == {1: "cat"} and one.can_take_back
    file.unlink()
    with pytest.raises(DataError, match="no longer there"):
        one.answer([2], "cat")
    assert not file.exists()


def test_a_file_of_other_cells_is_refused_before_an_answer_would_spoil_it(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("path;label\n1.png;1,5\n")
    with pytest.raises(DataError, match="has semicolons between its cells, and answers have commas: name"):
        LabelFile(file)
    file.write_text('path,label\n1.png,"1,5"\n')  # one answer more would make of 1,5 no number again
    assert LabelFile(file).held() == ["1,5"] and LabelFile(file).labels(KEYS, "images")[1] == "1,5"


@pytest.mark.parametrize("held", ["path,rank,label\n1.png,1,\n", "mine", ""])
def test_a_file_of_other_columns_is_refused_and_left(tmp_path: Path, held: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(held)
    with pytest.raises(DataError, match="not with path,label as --out does: name another --out"):
        LabelFile(file)
    assert file.read_text() == held
    for wrong in (tmp_path / "labels.txt", tmp_path):
        with pytest.raises(UsageError, match="--out"):
            LabelFile(wrong)


def test_lines_are_added_behind_what_an_editor_left_without_an_end(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_bytes(b"Path,Label\r\n4.png,dog")
    one = sitting(file)
    one.answer([7], "cat")
    assert labels_in_file(file) == {"4.png": "dog", "7.png": "cat"}
    one.take_back()
    assert file.read_bytes() == b"Path,Label\r\n4.png,dog"


def test_an_answer_is_flushed_or_not_there_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "labels.csv"
    one = sitting(file)
    flushed: list[bytes] = []
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(file.read_bytes()))
    one.answer([1, 2], "cat")
    assert flushed[-1] == b"path,label\n1.png,cat\n2.png,cat\n"

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        one.answer([3], "dog")
    assert file.read_bytes() == flushed[-1] and 3 not in one.labels
