"""Judging end to end where a sample has several labels or a number, or where classes are uneven."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import selftaught
from selftaught.commands import answers
from selftaught.commands.python import Run
from selftaught.judging.classwise import worst
from selftaught.judging.measures import refuse_others
from selftaught.judging.printed import table
from selftaught.judging.result import Evaluation
from selftaught.reporting.run_page import page_of
from selftaught.run.recipes import Evaluate
from selftaught.system.errors import DataError, UsageError

COLUMNS = ["x0", "x1", "x2", "x3"]
QUICK: dict[str, Any] = {"encoder": "mlp", "precision": "32-true", "layout": "contiguous", "map": 0}


def written(file: Path, rows: int, seed: int) -> Path:
    """Rows whose columns tell a number, three labels, the last of which is noise, and a class that is rare."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4))
    number = 50 + 10 * (x[:, 0] - x[:, 1]) + rng.normal(size=rows)
    wet, cold, odd = x[:, 0] > 0.5, x[:, 1] + 0.3 * rng.normal(size=rows) > 0.8, rng.random(rows) < 0.3
    rare = np.where(x[:, 2] > 1.2, "rare", "usual")
    lines = [",".join([*COLUMNS, "length", "wet", "cold", "odd", "kind"])]
    for values, *told in zip(x, number, wet, cold, odd, rare):
        lines.append(",".join([*(f"{value:.5f}" for value in values), f"{told[0]:.3f}", *map(str, told[1:])]))
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A table to learn from, one to judge on, and one of the features alone."""
    folder = tmp_path_factory.mktemp("rows")
    train, test = written(folder / "train.csv", 240, 0), written(folder / "test.csv", 160, 1)
    alone = [line.split(",")[:4] for line in train.read_text().splitlines()]
    (folder / "plain.csv").write_text("\n".join(map(",".join, alone)) + "\n")
    return train, test, folder / "plain.csv"


@pytest.fixture(scope="module")
def run(rows: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("run") / "run"
    return selftaught.pretrain(rows[2], method="vicreg", steps=4, batch_size=32, out=out, **QUICK)


def judged(run: Run, rows: tuple[Path, Path, Path], column: str, fold: bool = False, **more: Any) -> Evaluation:
    return run.evaluate(rows[0], *([] if fold else [rows[1]]), label_column=column, **more)


def row_of(result: Evaluation, features: str = "pixels", probe: str = "linear") -> Any:
    return next(row for row in result.rows if (row.features, row.probe) == (features, probe))


@pytest.mark.parametrize("fold", [False, True])
def test_several_labels_are_judged_by_mean_average_precision(run: Run, rows: Any, fold: bool) -> None:
    result = judged(run, rows, "wet,cold,odd", fold, task="several", repeats=1)
    assert (result.task, result.classes, result.measure) == ("several", ["cold", "odd", "wet"], "mAP")
    for probe in ("linear", "knn"):
        row = row_of(result, probe=probe)
        assert row.measures.keys() == {"mAP", "macro_F1"} and row.accuracy == pytest.approx(row.measures["mAP"])
        precise = next(d for d in result.details if (d.features, d.probe) == ("pixels", probe)).average_precision
        known = dict(zip(result.classes, precise))
        assert known["wet"] > 0.85 and known["cold"] > 0.55 and 0.2 < known["odd"] < 0.5, known
        assert np.mean(precise) == pytest.approx(row.accuracy)
    assert result.train_samples == 240 and result.verdict.startswith("linear, all labels: mAP ")
    page = page_of([run.folder])
    assert "mAP in per cent with 95 % intervals" in page and "with any of 3 labels" in page and "Label by label" in page
    assert "Of each label, the average precision in per cent." in page and "accuracy" not in page.lower()
    shown = worst(result)
    assert shown and next(iter(shown.columns[0].cells)) == "odd", "what is hardest first"


def test_to_have_no_label_is_an_answer_where_several_are_asked(
    run: Run, rows: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    result = judged(run, rows, "wet,cold,odd", probe="knn")
    none = sum(line.split(",")[5:8] == ["False"] * 3 for line in rows[0].read_text().splitlines())
    assert none > 20 and result.train_samples == 240 - none
    assert f"{none} rows of train have none of the labels and are left out; --task several" in capsys.readouterr().err


@pytest.mark.parametrize("fold", [False, True])
def test_numbers_are_judged_by_how_much_is_explained(run: Run, rows: Any, fold: bool) -> None:
    result = judged(run, rows, "length", fold, repeats=1, labels="100%" if fold else "20%,100%")
    assert (result.task, result.classes, result.measure) == ("number", [], "R2")
    row = next(
        row for row in result.rows if (row.features, row.probe, row.labels) == ("pixels", "linear", "all labels")
    )
    assert 0.97 < row.accuracy < 1 and row.accuracy == pytest.approx(row.measures["R2"])
    assert 0.5 < row.measures["MAE"] < 1.2, "in the unit of the labels, whose noise has deviation 1"
    assert row_of(result, probe="knn").accuracy > 0.5
    assert "R² 0." in result.verdict or "R² -" in result.verdict
    page = page_of([run.folder])
    assert "R² with 95 % intervals" in page and "with a number each" in page and "accuracy" not in page.lower()
    assert "mean absolute error" in page and "per cent" not in page


def test_numbers_that_nothing_tells_are_explained_worse_than_by_their_mean(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for name, count in (("a", 100), ("b", 60)):
        lines = [",".join(f"{value:.4f}" for value in rng.normal(size=5)) for _ in range(count)]
        (tmp_path / f"{name}.csv").write_text("\n".join([",".join([*COLUMNS, "y"]), *lines]) + "\n")
    result = run.evaluate(tmp_path / "a.csv", tmp_path / "b.csv", label_column="y", probe="knn")
    assert all(row.low < 0 and row.accuracy < 0.15 for row in result.rows), result.rows
    assert min(row.accuracy for row in result.rows) < 0 and "it helped" not in result.verdict
    assert "-0." in page_of([run.folder])


def test_uneven_classes_are_judged_each_alike(run: Run, rows: Any, capsys: pytest.CaptureFixture[str]) -> None:
    result = judged(run, rows, "kind", repeats=1)
    assert result.measure == "balanced_accuracy" and "differ by more than 4 to 1 (rare " in capsys.readouterr().err
    for row in result.rows:
        assert row.accuracy == pytest.approx(row.measures["balanced_accuracy"])
        detail = next(d for d in result.details if (d.features, d.probe) == (row.features, row.probe))
        assert np.mean(detail.recall) == pytest.approx(row.accuracy) and detail.confusion
    assert row_of(result).measures["accuracy"] > row_of(result).accuracy + 0.02, "most are of the usual class"
    assert result.verdict.startswith("linear, all labels: balanced accuracy ")
    assert [column.header for column in table(result).columns][:3] == ["probe", "labels", "measure"]
    shown = answers.evaluate(Evaluate(run="", train=""), result).shown
    found = [float(cell) for cell in shown[1].columns[1].cells]
    assert len(found) == 2 and found == sorted(found), "what is found least first"
    page = page_of([run.folder])
    assert (
        "Balanced accuracy in per cent with 95 % intervals" in page and '<td class="text quiet">accuracy</td>' in page
    )


def test_even_classes_are_judged_as_ever(run: Run, rows: Any) -> None:
    result = judged(run, rows, "wet", probe="knn")
    assert {row.measure for row in result.rows} == {"accuracy"} and worst(result) is None
    assert row_of(result, probe="knn").measures.keys() == {"accuracy", "balanced_accuracy"}
    assert "Accuracy in per cent" in page_of([run.folder]) and "measure" not in [
        c.header for c in table(result).columns
    ]


def test_an_evaluation_from_before_there_were_measures_is_read(run: Run, rows: Any) -> None:
    told = judged(run, rows, "wet", probe="knn").model_dump(mode="json")
    for row in told["rows"]:
        del row["measure"], row["measures"]
    del told["task"]
    for detail in told["details"]:
        del detail["average_precision"]
    old = Evaluation.model_validate(told)
    assert old.measure == "accuracy" and table(old).title == "accuracy, 95 % intervals"
    (run.folder / "evaluation.json").write_text(json.dumps(told))
    assert "Accuracy in per cent with 95 % intervals" in page_of([run.folder])


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"labels": "5"}, UsageError, "--labels 5 is so many of each class, and the labels are numbers: say 10%"),
        (
            {"label_column": "wet,cold", "task": "several", "labels": "1%,3"},
            UsageError,
            "--labels 3 is so many of each",
        ),
        ({"label_column": "kind", "task": "number"}, UsageError, "has labels that are none, such as"),
        ({"label_column": "wet,length", "task": "several"}, DataError, "column 'length' of train holds '"),
    ],
)
def test_what_suits_classes_alone_is_refused_in_a_line(
    more: dict[str, Any], error: type[Exception], said: str, run: Run, rows: Any
) -> None:
    column = more.pop("label_column", "length")
    with pytest.raises(error, match=said) as raised:
        judged(run, rows, column, **more)
    assert "\n" not in str(raised.value)


def test_a_probe_for_classes_alone_is_refused() -> None:
    able = {"knn": ("classes", "number"), "own": ("classes",)}
    with pytest.raises(UsageError, match="--probe own is for classes, and the labels are numbers"):
        refuse_others("number", able, [])
    refuse_others("classes", able, ["5"])


def test_a_test_set_of_one_value_is_refused(run: Run, rows: Any, tmp_path: Path) -> None:
    lines = rows[1].read_text().splitlines()
    cells = [line.split(",") for line in lines[1:]]
    same = [",".join([*line[:4], "50.5", *line[5:]]) for line in cells]
    (tmp_path / "same.csv").write_text("\n".join([lines[0], *same]) + "\n")
    with pytest.raises(DataError, match="--test has only one value"):
        run.evaluate(rows[0], tmp_path / "same.csv", label_column="length")


def test_methods_are_ranked_by_the_measure_of_the_labels(rows: Any, tmp_path: Path) -> None:
    told: dict[str, Any] = {"methods": "vicreg,barlow_twins", "seeds": 1, "rungs": 1, "epochs": 1}
    quick = {key: value for key, value in QUICK.items() if key != "map"}
    labelled = {"train": str(rows[0]), "test": str(rows[1]), "label_column": "length"}
    result = selftaught.compare(str(rows[0]), **quick, **told, **labelled, out=str(tmp_path / "all"))
    assert result.of == "R2" and {row.measure for ran in result.runs for row in (*ran.judged, *ran.held_out)} == {"R2"}
    best = max(np.mean([row.accuracy for row in ran.held_out if row.features == "trained"]) for ran in result.runs)
    lead = next(ran for ran in result.runs if ran.method == result.ranking[0].method)
    assert row_in(lead.held_out) == pytest.approx(best)
    assert "(linear R²" in result.verdict and result.ranking[0].pixels is not None
    page = (tmp_path / "all" / "comparison.html").read_text()
    assert "R² of a linear probe" in page and "of R² (" in page and "accurac" not in page.lower()
    saved = json.loads((tmp_path / "all" / "comparison.json").read_text())
    assert saved["of"] == "R2" and saved["measure"] == "linear"


def row_in(rows: Any) -> float:
    return next(float(row.accuracy) for row in rows if row.features == "trained")


def test_a_comparison_goes_on_by_what_its_runs_were_measured_by(rows: Any, tmp_path: Path) -> None:
    told: dict[str, Any] = {"methods": "vicreg,barlow_twins", "seeds": 1, "rungs": 1, "epochs": 1}
    quick = {key: value for key, value in QUICK.items() if key != "map"}
    labelled = {"train": str(rows[0]), "label_column": "kind", "probe": "knn"}
    out = tmp_path / "all"
    assert selftaught.compare(str(rows[0]), **quick, **told, **labelled, out=str(out)).of == "balanced_accuracy"
    first = json.loads((out / "comparison.jsonl").read_text().splitlines()[0])
    for row in first["judged"]:  # as it was written before there were measures
        row["accuracy"] = row.pop("measures")["accuracy"]
        del row["measure"]
    (out / "comparison.jsonl").write_text(json.dumps(first) + "\n")
    again = selftaught.compare(str(rows[0]), **quick, **told, **labelled, out=str(out), resume=True)
    assert again.of == "accuracy" and {row.measure for ran in again.runs for row in ran.judged} == {"accuracy"}
