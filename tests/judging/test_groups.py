"""What is of one group is one piece of evidence: it lies on one side of every split, and has one vote."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selftaught.commands.python import Run
from selftaught.data.images.samples import open_samples
from selftaught.data.tables.samples import open_samples as open_rows
from selftaught.judging.labelled import Labelled, spare, splits
from selftaught.judging.opening import open_labelled
from selftaught.judging.printed import table
from selftaught.judging.subsets import held_out, parse_labels
from selftaught.reporting.run_page import write_report
from selftaught.run.recipes import Evaluate
from selftaught.system.errors import DataError, SelftaughtError, UsageError
from tests.judging.test_leaks import filed, noise, run, stored

__all__ = ["run"]  # the fixture


def recordings(root: Path, count: int = 12, each: int = 5, seed: int = 0) -> tuple[Path, Path]:
    """A folder of `count` recordings of so many pictures, each of both classes, and a CSV that says which is where."""
    x, _ = noise(count * each, seed)
    filed(root, x, np.arange(len(x)) % 2)
    keys = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    lines = [f"{key},r{int(Path(key).stem) // each}" for key in keys]
    file = root.with_suffix(".csv")
    file.write_text("path,group\n" + "\n".join(lines) + "\n")
    return root, file


def opened(train: Path, **more: Any) -> Labelled:
    recipe = Evaluate.parse({"run": "x", "train": str(train), **more})
    return open_labelled(recipe, open_samples(train).preparation)


def test_no_recording_is_on_both_sides(tmp_path: Path) -> None:
    root, file = recordings(tmp_path / "a")
    data = opened(root, groups=file)
    assert data.tested == 12 and data.distinct == 60 and data.named is not None
    drawn = list(splits(data, parse_labels("100%")[0], 2, 0))
    assert len(drawn) == 10 and all(len(split.train) and len(split.test) for split in drawn)
    for split in drawn:
        assert not set(data.named[split.train]) & set(data.named[split.test])
        learnt, held = spare(data, split.train, 0.2, 0)
        assert len(held) >= 0.2 * len(split.train) - 1 and len(learnt) + len(held) == len(split.train)
        assert not set(data.named[learnt]) & set(data.named[held])


def test_groups_that_share_a_copy_are_one(tmp_path: Path) -> None:
    x, y = noise(40, 0)
    x[20] = x[0]  # of recordings 0 and 4
    root = filed(tmp_path / "a", x, y)
    keys = open_samples(root).keys
    lines = [f"{key},{int(Path(key).stem) // 5}" for key in keys]
    (tmp_path / "g.csv").write_text("\n".join(lines) + "\n")
    data = opened(root, groups=tmp_path / "g.csv")
    assert data.tested == 7 and data.copies == 2


def test_a_group_has_one_vote_and_is_not_learnt_from_where_it_is_judged(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, ours = recordings(tmp_path / "train")
    test, theirs = recordings(tmp_path / "test", count=4, seed=1)
    result = run.evaluate(train, test, probe="knn", groups=ours, test_groups=theirs)
    assert "20 images of --train are of groups that --test has as well" in capsys.readouterr().err
    assert (result.test_samples, result.distinct_test_samples, result.independent_test_samples) == (20, 20, 4)
    assert "too few to say (4 independent images" in result.verdict
    assert {row.samples for row in result.rows} == {gain.samples for gain in result.gains} == {4}
    assert table(result).title == "accuracy, 95 % intervals, on 20 images in 4 groups, each counted once"
    page = " ".join(write_report([run.folder], tmp_path / "page.html").read_text().split())
    assert "on 20 samples in 4 groups, each counted once, of " in page
    alone = run.evaluate(train, test, probe="knn")
    assert alone.independent_test_samples == 20 and alone.grouped == ""
    assert table(alone).title == "accuracy, 95 % intervals"
    folded = run.evaluate(train, probe="knn", groups=ours, repeats=1)
    assert {row.samples for row in folded.rows} == {12}


def test_what_is_beyond_the_test_set_has_none_of_its_groups_and_is_folded_by_its_own(tmp_path: Path) -> None:
    train, ours = recordings(tmp_path / "train")
    test, theirs = recordings(tmp_path / "test", count=4, seed=1)
    data = opened(train, test=str(test), groups=ours, test_groups=theirs)
    beyond = data.beyond_test()
    assert beyond.named is not None and (beyond.train.count, beyond.tested, beyond.copies) == (40, 8, 0)
    assert [*beyond.train.keys] == [data.train.keys[row] for row in data.not_tested] and beyond.test is None
    assert not set(beyond.named) & set(data.group[data.test_rows]) and len(set(beyond.named)) == 8
    for split in splits(beyond, parse_labels("100%")[0], 1, 0):
        assert not set(beyond.named[split.train]) & set(beyond.named[split.test])
    x, _ = noise(60, 2)
    numbers = [f"{value:.2f}" for value in np.random.default_rng(0).normal(size=60)]
    one, other = stored(tmp_path / "a.npz", x, np.array(numbers)), stored(tmp_path / "b.npz", x[30:], numbers[30:])
    beyond = opened(one, test=str(other), task="number").beyond_test()
    assert beyond.targets and beyond.truth.tolist() == [float(value) for value in numbers[:30]]
    assert len(beyond.targets.strata) == len(beyond.classes) == 30


def test_a_classifier_is_measured_by_groups(run: Run, tmp_path: Path) -> None:
    root, file = recordings(tmp_path / "a")
    brief = {"epochs": 1, "batch_size": 8}
    metrics = run.finetune(root, out=tmp_path / "clf", groups=file, finetune=brief)
    # A fifth of 12 recordings is held out, half of that measures; three of the five samples may have been enough.
    assert metrics["held_out"] % 5 == 0 and metrics["learnt_from"] + metrics["held_out"] == 60
    assert 5 * metrics["measured_groups"] == metrics["measured_on"]


def test_a_few_recordings_do_not_choose_when_to_stop(run: Run, tmp_path: Path) -> None:
    root, file = recordings(tmp_path / "a", each=30)
    brief = {"epochs": 1, "batch_size": 64}
    apart = run.finetune(root, out=tmp_path / "apart", finetune=brief)
    together = run.finetune(root, out=tmp_path / "together", groups=file, finetune=brief)
    assert apart["temperature_chosen_by"] >= 30 and together["temperature_chosen_by"] >= 30  # windows, of a recording
    assert (apart["stopped_by"], together["stopped_by"]) == ("accuracy", None)


@pytest.mark.parametrize(
    ("lines", "more", "error", "said"),
    [
        ("0/000.png,r1\n", {}, DataError, "has no group for 59 of the 60 samples"),
        ("0/000.png,r1\n0/000.png,r2\n", {}, DataError, "contradicts itself about '0/000.png'"),
        (None, {"test": "train"}, UsageError, "0/000.png is in both sets; name the groups of --test in"),
        (None, {"test_groups": "train.csv"}, UsageError, "--test-groups needs --test"),
        (None, {"groups": "g.csv"}, DataError, "--groups .*g.csv: no such file, a CSV of path,group, and no column of"),
        (None, {"test": "train", "test_groups": "t.csv"}, DataError, "--test-groups .*t.csv: no such file, a CSV of"),
    ],
)
def test_what_cannot_be_grouped_is_one_line(
    run: Run, tmp_path: Path, lines: str | None, more: dict[str, Any], error: type[SelftaughtError], said: str
) -> None:
    train, file = recordings(tmp_path / "train")
    if lines is not None:
        file.write_text(lines)
    with pytest.raises(error, match=said):
        run.evaluate(train, probe="knn", **{"groups": file, **{name: tmp_path / path for name, path in more.items()}})
    with pytest.raises(UsageError, match="--test-groups needs --groups"):
        run.evaluate(train, train, probe="knn", test_groups=file)


def test_what_is_held_out_leaves_every_class_a_group() -> None:
    labels, group = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1]), np.array([0, 0, 1, 1, 0, 0, 0, 1, 2, 2])
    for seed in range(10):
        learnt, held = held_out(labels, group, 0.5, seed)
        assert set(labels[learnt]) == {0, 1} and len(held) and not set(group[learnt]) & set(group[held])


def test_a_table_has_groups_by_row(run: Run, tmp_path: Path) -> None:
    x, y = noise(30, 0)
    file = stored(tmp_path / "a.npz", x, y)
    keys = open_samples(str(file)).keys
    (tmp_path / "g.csv").write_text("key,group\n" + "\n".join(f"{key},{i // 3}" for i, key in enumerate(keys)))
    assert run.evaluate(file, probe="knn", groups=tmp_path / "g.csv", repeats=1).independent_test_samples == 10


def test_groups_may_be_a_column_beside_the_samples(tmp_path: Path) -> None:
    lines = [f"{row},{row % 7},{row * row},c{row // 4},{'ab'[row % 2]}" for row in range(48)]
    for name, rows in (("train", lines[:24]), ("test", lines[20:])):
        (tmp_path / f"{name}.csv").write_text("id,a,b,city,label\n" + "\n".join(rows) + "\n")
    (tmp_path / "g.csv").write_text("key,group\n" + "".join(f"{row},c{row // 4}\n" for row in range(24)))
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    like = open_rows(train).preparation
    by_column, by_file = (
        open_labelled(Evaluate.parse({"run": "x", "train": str(train), "groups": groups}), like)
        for groups in ("city", str(tmp_path / "g.csv"))
    )
    assert by_column.named is not None and by_file.named is not None
    assert by_column.named.tolist() == by_file.named.tolist() and by_column.tested == 6
    both = open_labelled(Evaluate.parse({"run": "x", "train": str(train), "test": str(test), "groups": "city"}), like)
    assert both.named is not None and both.named[20:24].tolist() == both.named[24:28].tolist()
    assert len(both.not_tested) == 20  # what is of a city of the test set is not learnt from
