"""What is judged: folders that are no classes, classes that nothing is said of, and columns that were learnt from."""

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import selftaught
from selftaught.commands.answers import finetune as answered
from selftaught.commands.cli import run_command
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.samples import open_samples
from selftaught.data.opening import tell_notes
from selftaught.judging.marks import not_measured
from selftaught.run.export import save_encoder
from selftaught.run.meaning import RANGE, Meaning
from selftaught.run.recipes import Finetune
from selftaught.system.errors import DataError, UsageError
from tests.networks import HALVED

ROWS: dict[str, Any] = {"method": "denoising", "encoder": "mlp", "batch_size": 8, "steps": 2, "map": 0}
ROWS |= {"precision": "32-true", "layout": "contiguous"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> selftaught.Run:
    folder = tmp_path_factory.mktemp("run")
    images = open_samples(np.random.default_rng(0).integers(0, 255, (20, 16, 16), dtype=np.uint8))
    torch.manual_seed(3)
    save_encoder(build_encoder(HALVED, images.preparation), HALVED, images.preparation, folder / "encoder", {})
    (folder / "recipe.yaml").write_text("data: some\n")
    return selftaught.Run(folder)


def pictures(root: Path, counts: dict[str, int]) -> Path:
    rng = np.random.default_rng(1)
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True)
        for number in range(count):
            low = 120 * ("b" in folder)
            pixels = rng.integers(low, low + 100, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{number}.png")
    return root


@pytest.mark.parametrize(
    "parts", [("train", "test"), ("Train", "val"), ("train", "validation", "unlabeled"), ("test",)]
)
def test_parts_of_a_split_are_no_classes(run: selftaught.Run, parts: tuple[str, ...], tmp_path: Path) -> None:
    root = pictures(tmp_path / "set", {f"{part}/{name}": 3 for part in parts for name in "ab"})
    first, judged = parts[0], f" --test {root}/{parts[1]}" if parts[1:] else ""
    with pytest.raises(UsageError, match="are parts of a split, not classes: ") as evaluated:
        run.evaluate(root, probe="knn")
    assert str(evaluated.value).endswith(f"Say: evaluate {run.folder} --train {root}/{first}{judged}")
    with pytest.raises(UsageError) as tuned:
        run.finetune(root, tmp_path / "clf")
    assert str(tuned.value).endswith(f"Say: finetune {run.folder} {root}/{first}{judged}")
    assert not (tmp_path / "clf").exists()
    assert run.evaluate(root / first, probe="knn").classes == ["a", "b"]
    assert any("are parts of a split" in note for note in selftaught.check(root, encoder="test_resnet", size=16).notes)


def test_folders_that_are_named_like_parts_among_others_are_classes(run: selftaught.Run, tmp_path: Path) -> None:
    root = pictures(tmp_path / "set", {"train": 4, "bus": 4})
    assert run.evaluate(root, probe="knn").classes == ["bus", "train"]
    one = pictures(tmp_path / "one", {"images/a": 3, "images/b": 3})
    with pytest.raises(DataError, match=r"only one class, 'images'.*; or is each folder in 'images' a class\?"):
        run.evaluate(one, probe="knn")


def test_a_class_that_is_not_tested_is_named(
    run: selftaught.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = pictures(tmp_path / "a", {"x": 4, "by": 4, "c": 4}), pictures(tmp_path / "b", {"x": 2, "by": 2})
    run.evaluate(train, test, probe="knn")
    assert "--test has no samples of c: no accuracy says anything of them" in capsys.readouterr().err


def test_what_fine_tuning_did_not_measure_is_said(
    run: selftaught.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = pictures(tmp_path / "set", {"common": 90, "b_rare": 4})
    out = str(tmp_path / "clf")
    command = ["finetune", str(run.folder), str(root), "--out", out, "--finetune.epochs", "1", "--json"]
    assert run_command(command) == 0
    printed, err = capsys.readouterr()
    told = json.loads(printed)
    assert told["classes"] == ["b_rare", "common"] and told["measured_per_class"] == [0, told["measured_on"]]
    assert "none of them of class b_rare: it says nothing of these" in err and told["recall"][0] is None
    assert told["temperature_chosen_by"] < 20 and f"was chosen by {told['temperature_chosen_by']} samples alone" in err
    doubts = err[err.index("the temperature, ") :].splitlines()[0]
    assert run_command(["predict", out, str(root), "--out", str(tmp_path / "p.csv")]) == 0
    assert f"warning: {out}: {doubts}\n" in capsys.readouterr().err and "trust no probability" in doubts
    assert doubts in " ".join((tmp_path / "clf" / "classifier" / "README.md").read_text().split())


def test_copies_among_labels_are_told_of_as_fine_tuning_has_them(
    run: selftaught.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = pictures(tmp_path / "set", {"one": 12, "other": 12})
    shutil.copy(root / "one" / "0.png", root / "one" / "again.png")
    told = "warning: 2 images have a copy among the others; "
    run.finetune(root, out=tmp_path / "clf", finetune={"epochs": 1})
    assert f"{told}what is held out has no copy in what is learnt from\n" in capsys.readouterr().err
    run.evaluate(root, probe="knn", repeats=1)
    assert f"{told}no fold learns what it is judged on\n" in capsys.readouterr().err


def test_notes_on_how_data_were_read_say_of_which(capsys: pytest.CaptureFixture[str]) -> None:
    tell_notes(["its columns are 3", "warning: its label tells 'x'"], "a/rows.csv")
    tell_notes(["its columns are 3"], "python:array")
    told = "a/rows.csv: its columns are 3\nwarning: a/rows.csv: its label tells 'x'\narray: its columns are 3\n"
    assert capsys.readouterr().err == told


def test_data_without_labels_are_named_by_their_path(run: selftaught.Run, tmp_path: Path) -> None:
    root = pictures(tmp_path / "a" / "images", {"": 3})
    with pytest.raises(DataError, match=rf"^{re.escape(str(root))} has no labels: "):
        run.evaluate(root)
    with pytest.raises(DataError, match=r"^memory has no labels: |^array.* has no labels: "):
        run.evaluate(np.zeros((4, 16, 16), np.uint8))


def test_samples_that_are_copies_are_told_where_a_classifier_is_measured_on_them(
    run: selftaught.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, test = (
        pictures(tmp_path / "set", {"one": 20, "other": 20}),
        pictures(tmp_path / "test", {"one": 8, "other": 7}),
    )
    shutil.copy(test / "one" / "0.png", test / "one" / "again.png")
    command = ["finetune", str(run.folder), str(root), "--test", str(test), "--out", str(tmp_path / "clf")]
    assert run_command([*command, "--finetune.epochs", "1", "--json"]) == 0
    printed, err = capsys.readouterr()
    told = json.loads(printed)["test"]
    assert (told["measured_on"], told["measured_distinct"]) == (16, 15)
    assert "on 16 samples of --test, 15 of them different, copies counted once" in err


def test_a_temperature_at_the_end_of_its_range_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    from selftaught.judging import certainty

    for temperature, said in ((math.exp(RANGE[0]) * 1.0001, True), (math.exp(RANGE[1]) / 1.0001, True), (1.3, False)):
        certainty._warn_of_doubts(Meaning(temperature=temperature, chosen_by=500), np.arange(500))
        assert ("stands at the end of its range" in capsys.readouterr().err) == said


def test_all_classes_measured_need_no_word() -> None:
    metrics = {"classes": ["a", "b"], "measured_per_class": [3, 2], "measured_on": 5}
    metrics |= {"task": "classes", "accuracy": 0.8, "low": 0.5, "high": 0.9, "balanced_accuracy": 0.75, "uneven": False}
    assert not not_measured(metrics)
    recipe = Finetune.parse({"run": "r", "labelled": "d", "out": "o"})
    line = "accuracy 80.0 (50.0 to 90.0), balanced accuracy 75.0 on 5 samples that chose nothing"
    assert answered(recipe, metrics).lines[0] == line
    grouped = answered(recipe, metrics | {"measured_groups": 3}).lines[0]
    assert grouped == f"{line}, in 3 groups, each counted once"
    uneven = answered(recipe, metrics | {"uneven": True}).lines[0]
    assert uneven.startswith("balanced accuracy 75.0, accuracy 80.0 (50.0 to 90.0) on 5 samples")
    tested = {"measured_on": 40, "measured_per_class": [40, 0], "accuracy": 0.5, "low": 0.4, "high": 0.6}
    said = answered(recipe, metrics | {"test": tested | {"balanced_accuracy": 0.5}}).lines[0]
    assert said.startswith(
        "accuracy 50.0 ± 10.0, balanced accuracy 50.0 on 40 samples of --test, none of them of class b"
    )


def test_from_a_label_column_that_is_chosen_to_a_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    lines = [f"{rng.normal():.3f};{rng.normal():.3f};{rng.normal():.3f};{i % 2}" for i in range(60)]
    (tmp_path / "t.csv").write_text("x;y;z;survived\n" + "\n".join(lines) + "\n")
    run = selftaught.pretrain(tmp_path / "t.csv", out=tmp_path / "a", label_column="survived", **ROWS)
    said = capsys.readouterr().err
    assert "of 3 columns" in said and "column 'survived' holds the labels and is not learnt from" in said
    assert "its cells are parted by semicolons" in said
    assert run.evaluate(tmp_path / "t.csv", probe="knn").classes == ["0", "1"]
    resumed = {**ROWS, "steps": 2, "resume": True}
    assert selftaught.pretrain(tmp_path / "t.csv", out=tmp_path / "a", **resumed).recipe.label_column == "survived"
    with pytest.raises(UsageError, match="--label-column is 'x', but the run was started with 'survived'"):
        selftaught.pretrain(tmp_path / "t.csv", out=tmp_path / "a", label_column="x", **resumed)
    guessed = selftaught.pretrain(tmp_path / "t.csv", out=tmp_path / "b", **ROWS)
    assert "column 'y' is taken for the label and is not learnt from" in capsys.readouterr().err
    with pytest.raises(UsageError, match="the encoder has learnt from column 'survived'"):
        guessed.evaluate(tmp_path / "t.csv", label_column="survived")
    kept = selftaught.pretrain(tmp_path / "t.csv", out=tmp_path / "c", label_column="none", **ROWS)
    assert kept.encoder().preparation.size == (4,)
    assert run_command(["embed", str(kept.folder), str(tmp_path / "t.csv"), "--out", str(tmp_path / "f.npz")]) == 0
    found = selftaught.check(tmp_path / "t.csv", label_column="survived")
    assert found.suggested and found.suggested.command.endswith("--label-column survived")
