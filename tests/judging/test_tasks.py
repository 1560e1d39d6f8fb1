"""From pre-training to predictions where a sample has several labels, or a number, on images and on rows."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import selftaught
from selftaught.commands.cli import run_command
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.data.sources.labels import labels_for
from selftaught.data.tables.samples import open_samples
from selftaught.judging.predict import Predictions
from selftaught.judging.targets import targets_of
from selftaught.reporting.run_page import write_report
from selftaught.run.classifier import Calibrated, load_classifier, save_classifier
from selftaught.run.meaning import Meaning
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from tests.networks import HALVED, onnx_answers

COUNT = 300
NAMES = ("left", "lower", "warm")
TASKS = ("several", "number")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of which parts are bright, rows with a number for each part, and CSVs of which those are and of a sum."""
    folder, rng = tmp_path_factory.mktemp("tasks"), np.random.default_rng(0)
    bright = rng.random((COUNT, 3)) < (0.5, 0.4, 0.3)
    pixels = rng.integers(0, 60, (COUNT, 16, 16))
    pixels[:, :8, :8] += 120 * bright[:, 0, None, None]
    pixels[:, 8:] += 90 * bright[:, 1, None, None]
    pixels[:, :8, 8:] += 100 * bright[:, 2, None, None]
    (folder / "images").mkdir()
    for number, own in enumerate(pixels.astype(np.uint8)):
        Image.fromarray(own).save(folder / "images" / f"{number:03}.png")
    rows = rng.normal(size=(COUNT, 6)) * 0.3
    rows[:, :3] += 2.0 * bright
    lines = [",".join(f"{value:.4f}" for value in own) for own in rows]
    (folder / "rows.csv").write_text("\n".join([",".join(f"c{i}" for i in range(6)), *lines]) + "\n")
    said = {
        "several": [";".join(name for name, on in zip(NAMES, own) if on) for own in bright],
        "number": [f"{100 + own @ (10, 5, 20) + rng.normal() / 5:.3f}" for own in bright],
    }
    for kind, keys in (("images", [f"{i:03}.png" for i in range(COUNT)]), ("rows", [str(i) for i in range(COUNT)])):
        for task, labels in said.items():
            lines = [f"{key},{label}" for key, label in zip(keys, labels)]
            (folder / f"{kind}_{task}.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    return folder


def data_in(place: Path, kind: str) -> str:
    return str(place / ("images" if kind == "images" else "rows.csv"))


@pytest.fixture(scope="module")
def made(place: Path) -> dict[tuple[str, str], Path]:
    """A classifier for each kind of data and task, from a run of a few steps, all from the command line."""
    found = {}
    for kind, (method, encoder) in {"images": ("simclr", HALVED), "rows": ("vicreg", "mlp")}.items():
        run = place / f"run_{kind}"
        selftaught.pretrain(data_in(place, kind), method=method, encoder=encoder, steps=3, batch_size=16, out=str(run))
        for task in TASKS:
            found[kind, task] = out = place / f"clf_{kind}_{task}"
            command = ["finetune", str(run), data_in(place, kind), "--labels", str(place / f"{kind}_{task}.csv")]
            command += ["--out", str(out), "--finetune.epochs", "24", "--finetune.lr", "3e-3"]
            still = ["--finetune.light.flip", "0", "--finetune.light.crop", "1,1"] if kind == "images" else []
            assert run_command([*command, "--finetune.batch_size", "32", *still]) == 0
    return found


def truth(place: Path, kind: str, task: str) -> dict[str, str]:
    return {row["path"]: row["label"] for row in csv.DictReader((place / f"{kind}_{task}.csv").open())}


def predicted(made: dict, place: Path, kind: str, task: str, *more: str) -> list[dict[str, str]]:
    out = place / f"p_{kind}_{task}.csv"
    assert run_command(["predict", str(made[kind, task]), data_in(place, kind), "--out", str(out), *more]) == 0
    return list(csv.DictReader(out.open()))


@pytest.mark.parametrize("kind", ["images", "rows"])
def test_several_labels_from_images_or_rows_to_predictions(
    made: dict, place: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads((made[kind, "several"] / "metrics.json").read_text())
    assert told["task"] == "several" and told["classes"] == sorted(NAMES) and told["stopped_by"] == "mAP"
    assert told["mAP"] > 0.8 and told["low"] < told["mAP"] <= told["high"] <= 1 and told["macro_F1"] > 0.7
    assert len(told["average_precision"]) == len(told["thresholds"]) == 3 and "accuracy" not in told
    assert np.mean(told["average_precision"]) == pytest.approx(told["mAP"])
    assert told["temperature"] > 0 and 0 <= told["calibration_error"] <= 1
    capsys.readouterr()
    rows, labels = predicted(made, place, kind, "several", "--all", "--json"), truth(place, kind, "several")
    said = json.loads(capsys.readouterr().out)
    assert list(rows[0]) == ["path", "predicted", "probability", *told["classes"]] and len(rows) == COUNT
    right = [
        set(filter(None, row["predicted"].split(";"))) == set(filter(None, labels[row["path"]].split(";")))
        for row in rows
    ]
    assert np.mean(right) > 0.75
    for row in rows:
        own = [name for name, least in zip(told["classes"], told["thresholds"]) if float(row[name]) >= least - 1e-6]
        assert row["predicted"] == (";".join(own) or ";") and row["probability"] == ";".join(row[name] for name in own)
    assert said["task"] == "several" and said["counts"] == {
        name: sum(name in row["predicted"].split(";") for row in rows) for name in told["classes"]
    }


@pytest.mark.parametrize("kind", ["images", "rows"])
def test_numbers_from_images_or_rows_to_predictions(
    made: dict, place: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads((made[kind, "number"] / "metrics.json").read_text())
    assert told["task"] == "number" and told["classes"] == [] and told["stopped_by"] == "R²"
    assert told["R2"] > 0.6 and told["MAE"] <= told["RMSE"] < 8 and told["low"] < told["R2"] < told["high"]
    assert told["margin"] > 0 and told["held_by_margin"] > 0.7 and "measured_per_class" not in told
    capsys.readouterr()
    rows, labels = predicted(made, place, kind, "number", "--json"), truth(place, kind, "number")
    said = json.loads(capsys.readouterr().out)
    assert list(rows[0]) == ["path", "predicted", "low", "high"] and len(rows) == COUNT
    off = np.array([float(row["predicted"]) - float(labels[row["path"]]) for row in rows])
    assert np.abs(off).mean() < 5
    assert all(float(r["high"]) - float(r["predicted"]) == pytest.approx(told["margin"], abs=1e-3) for r in rows)
    values = [float(row["predicted"]) for row in rows]
    assert said["task"] == "number" and said["counts"] == {}
    assert said["values"]["lowest"] == pytest.approx(min(values), rel=1e-5)
    assert said["values"]["highest"] == pytest.approx(max(values), rel=1e-5)


def test_several_labels_that_were_predicted_are_read_again_and_none_of_them_too(tmp_path: Path) -> None:
    likely = np.array([[0.9, 0.2], [0.1, 0.3], [0.7, 0.8], [0.4, 0.6]])
    meaning, keys = Meaning(task="several", thresholds=(0.5, 0.5)), ["a", "b", "c", "d"]
    said = Predictions(keys, ["cat", "dog"], likely, [], meaning=meaning)
    for every in (False, True):
        said.write(tmp_path / "p.csv", every)
        labels = labels_for(tmp_path / "p.csv", keys, "rows", "predicted")
        assert labels == said.predicted == ["cat", ";", "cat;dog", "dog"]
        read = targets_of([labels])
        assert read.names == ["cat", "dog"] and read.values.tolist() == (likely >= 0.5).tolist()


def test_from_python_the_same_is_said(made: dict, place: Path) -> None:
    several = selftaught.predict(made["images", "several"], data_in(place, "images"))
    rows = predicted(made, place, "images", "several")
    assert several.probabilities.shape == (COUNT, 3) and several.predicted == [row["predicted"] for row in rows]
    number = selftaught.predict(made["rows", "number"], data_in(place, "rows"))
    assert number.values is not None and number.values.shape == (COUNT,) and number.probabilities.shape == (COUNT, 0)
    assert number.predicted == number.values.tolist() and number.meaning.margin
    loaded = selftaught.load_classifier(made["rows", "number"])
    assert loaded.task == "number" and loaded.classes == [] and loaded(torch.zeros(4, 6)).shape == (4,)
    assert selftaught.load_classifier(made["images", "several"]).task == "several"


@pytest.mark.parametrize("task", TASKS)
def test_onnx_says_the_same(made: dict, task: str, tmp_path: Path) -> None:
    assert run_command(["export", str(made["images", task]), "--out", str(tmp_path / "m.onnx")]) == 0
    x = torch.randn(5, 1, 16, 16)
    found = onnx_answers(tmp_path / "m.onnx", x, "probabilities" if task == "several" else "values")
    with torch.no_grad():
        assert np.allclose(found, load_classifier(made["images", task])(x).numpy(), rtol=1e-3, atol=1e-3)


def test_the_page_says_what_they_are_worth(made: dict, tmp_path: Path) -> None:
    text = write_report([made["images", "several"]], tmp_path / "several.html").read_text()
    told = json.loads((made["images", "several"] / "metrics.json").read_text())
    assert f"mAP {100 * told['mAP']:.1f} (95 %:" in text and "Of each label, both in per cent." in text
    assert "average precision" in text and all(name in text for name in NAMES)
    text = write_report([made["images", "number"]], tmp_path / "number.html").read_text()
    assert "R² 0." in text and "Class by class" not in text


@pytest.mark.parametrize("asked", ["auto", "number"])
def test_numbers_with_decimal_commas_are_numbers_in_every_file_of_labels(
    place: Path, tmp_path: Path, asked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = [float(number) for number in truth(place, "rows", "number").values()]
    commas = [f"{number:.3f}".replace(".", ",") for number in numbers]
    rows = (place / "rows.csv").read_text().splitlines()
    lines = [row.replace(",", ";").replace(".", ",") for row in rows]
    (tmp_path / "t.csv").write_text("".join(f"{row};{end}\n" for row, end in zip(lines, ["label", *commas])))
    (tmp_path / "labels.csv").write_text("".join(f"{key};{number}\n" for key, number in enumerate(commas)))
    own = open_samples(tmp_path / "t.csv", labelled=True)
    beside = open_samples(place / "rows.csv", labels=tmp_path / "labels.csv", labelled=True)
    for samples, name in ((own, "label"), (beside, "labels.csv")):
        targets = targets_of([samples.labels or []], asked)
        assert targets.task == "number" and targets.values.tolist() == pytest.approx(numbers)
        assert any(f"labels in {name} are numbers whose decimals are written" in note for note in samples.notes)
    assert ("a number a sample, as some labels have a fraction" in capsys.readouterr().err) == (asked == "auto")


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ("cat, dog", "--label-column names several columns"),
        ("which", "some have a ';'"),
        ("cat,which", "some have a ';'"),
    ],
)
def test_why_labels_are_taken_for_several_is_said(columns: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert targets_of([["cat;dog", "cat", ";", "dog"]], columns=columns).task == "several"
    assert f"task     several labels a sample, as {why}; --task classes" in capsys.readouterr().err


def test_every_class_of_a_number_is_a_mistake(
    made: dict, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    command = [
        "predict",
        str(made["rows", "number"]),
        data_in(place, "rows"),
        "--out",
        str(tmp_path / "p.csv"),
        "--all",
    ]
    assert run_command(command) == 2
    err = capsys.readouterr().err
    assert "--all" in err and "says numbers" in err and err.count("\n") == 1 and not list(tmp_path.iterdir())


def test_numbers_have_no_rare_classes_to_weigh(
    made: dict, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["finetune", str(place / "run_rows"), data_in(place, "rows"), "--labels", str(place / "rows_number.csv")]
    command += ["--out", str(tmp_path / "clf"), "--finetune.weighting", "balanced"]
    capsys.readouterr()
    assert run_command(command) == 2 and "labels are numbers, of no class" in capsys.readouterr().err
    assert not (tmp_path / "clf").exists()


def test_uneven_classes_are_said_and_judged_alike(
    place: Path, made: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(COUNT, 6)), np.where(np.arange(COUNT) < 40, "rare", "common")
    x[y == "rare", 0] += 1.0
    lines = [",".join([*(f"{value:.4f}" for value in own), label]) for own, label in zip(x, y)]
    data, out = tmp_path / "uneven.csv", str(tmp_path / "clf")
    data.write_text("\n".join(["c0,c1,c2,c3,c4,c5,label", *lines]) + "\n")
    command = ["finetune", str(place / "run_rows"), str(data), "--out", out, "--json", "--finetune.epochs", "12"]
    capsys.readouterr()
    assert run_command(command) == 0
    said, err = capsys.readouterr()
    told = json.loads(said)
    assert "classes differ by more than 4 to 1 (208 common, 32 rare): balanced accuracy chooses when to stop" in err
    assert told["stopped_by"] == "balanced accuracy" and told["uneven"]
    recall = [value for value in told["recall"] if value is not None]
    assert told["balanced_accuracy"] == pytest.approx(np.mean(recall)) and "balanced accuracy" in err


def several(name: str, **options: str) -> Calibrated:
    torch.manual_seed(1)
    facts = {"low": 0, "high": 255, "mean": (0.4,) * 3, "std": (0.2,) * 3}
    preparation, part = Preparation(channels=3, size=(32, 32), **facts), Part(name=name, options=options)
    encoder = build_encoder(part, preparation).eval()
    encoder.preparation, encoder.part = preparation, part
    meaning = Meaning(task="several", temperature=1.3, thresholds=(0.2, 0.7))
    return Calibrated(encoder, nn.Linear(encoder.dim, 2), meaning, ["a", "b"]).eval()


def numbers(name: str, **options: str) -> Calibrated:
    of = several(name, **options)
    meaning = Meaning(task="number", mean=40.0, deviation=2.5, margin=3.0)
    return Calibrated(of.encoder, nn.Linear(of.encoder.dim, 1), meaning, []).eval()


@pytest.mark.parametrize("make", [several, numbers])
@pytest.mark.parametrize(("name", "options"), [("test_vit", {}), ("test_resnet", {}), ("torchvision/resnet18", {})])
def test_the_plain_lines_of_the_readme_say_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object, name: str, options: dict
) -> None:
    """Of timm alone, and of networks that timm cannot express."""
    classifier = make(name, **options)  # type: ignore[operator]
    save_classifier(classifier, tmp_path / "classifier", {})
    page = (tmp_path / "classifier" / "README.md").read_text()
    block = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert block and "selftaught" not in block[1]
    monkeypatch.chdir(tmp_path if name == "test_vit" else tmp_path / "classifier")
    names: dict = {}
    exec(block[1], names)
    x = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        said = names["values" if make is numbers else "probabilities"](x)
        assert said.shape == ((3,) if make is numbers else (3, 2)) and torch.allclose(said, classifier(x), atol=1e-4)
        assert torch.allclose(load_classifier(tmp_path)(x), classifier(x), atol=1e-5)
    assert ("no further off than 3" if make is numbers else "`selftaught.thresholds`") in page
    assert load_classifier(tmp_path).meaning == classifier.meaning


def test_a_classifier_without_a_task_tells_classes_apart(tmp_path: Path) -> None:
    classifier = several("test_resnet")
    plain = Calibrated(classifier.encoder, classifier.head, Meaning(temperature=1.7), ["a", "b"]).eval()
    save_classifier(plain, tmp_path, {})
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["selftaught"].pop("task") == "classes" and config["selftaught"]["temperature"] == 1.7
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded, x = load_classifier(tmp_path), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert loaded.task == "classes" and torch.equal(loaded(x), plain(x))
        assert torch.allclose(loaded(x).sum(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (several, {"task": "segments"}),
        (several, {"thresholds": [0.5]}),
        (several, {"thresholds": [0.5, 1.5]}),
        (several, {"temperature": 0}),
        (several, {"task": "number"}),
        (numbers, {"deviation": 0}),
        (numbers, {"margin": -1}),
        (numbers, {"mean": "much"}),
        (numbers, {"task": "classes"}),
    ],
)
def test_a_meaning_that_cannot_be_is_refused(tmp_path: Path, make: object, wrong: dict) -> None:
    save_classifier(make("test_resnet"), tmp_path, {})  # type: ignore[operator]
    config = json.loads((tmp_path / "config.json").read_text())
    config["selftaught"] |= wrong
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="does not describe a classifier of selftaught's"):
        load_classifier(tmp_path)


@pytest.mark.parametrize("task", TASKS)
def test_too_few_labels_leave_nothing_measured(made: dict, place: Path, tmp_path: Path, task: str) -> None:
    some = tmp_path / "some.csv"
    some.write_text("".join((place / f"rows_{task}.csv").open().readlines()[:9]))
    command = ["finetune", str(place / "run_rows"), data_in(place, "rows"), "--labels", str(some), "--task", task]
    assert run_command([*command, "--out", str(tmp_path / "clf"), "--finetune.held_out", "0"]) == 0
    told = json.loads((tmp_path / "clf" / "metrics.json").read_text())
    assert told["measured_on"] == 0 and told["stopped_by"] is None
    command = ["predict", str(tmp_path / "clf"), data_in(place, "rows"), "--out", str(tmp_path / "p.csv")]
    assert run_command(command) == 0
    first = next(csv.DictReader((tmp_path / "p.csv").open()))
    if task == "number":
        assert told["R2"] is None and told["margin"] is None and first["low"] == first["high"] == ""
    else:
        assert told["mAP"] is None and set(told["thresholds"]) == {0.5}
