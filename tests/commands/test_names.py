"""Names of files and classes are those of the disk, in all that is written to be read by a program."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from selftaught.commands.cli import run_command
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.samples import open_samples
from selftaught.judging.predict import Predictions
from selftaught.run.classifier import Calibrated, load_classifier, save_classifier
from selftaught.run.export import save_encoder
from selftaught.run.meaning import Meaning
from selftaught.system.text import printable, spelled
from tests.networks import HALVED

DOG, BIRD = (os.fsdecode(name.encode("gbk")) for name in "狗鸟")
ODD = ("Screenshot 9.00.00\u202fAM.png", "two\u00a0words.png", "-1.png", "=1+1.png", os.fsdecode(b"caf\xe9.png"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    images = open_samples(np.random.default_rng(0).integers(0, 255, (20, 16, 16, 3), dtype=np.uint8))
    torch.manual_seed(3)
    save_encoder(build_encoder(HALVED, images.preparation), HALVED, images.preparation, folder / "encoder", {})
    (folder / "recipe.yaml").write_text("data: some\n")
    return folder


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder of files with odd names."""
    folder = tmp_path / "odd"
    folder.mkdir()
    for number, name in enumerate(ODD):
        Image.fromarray(np.full((16, 16, 3), number, np.uint8)).save(folder / name)
    return folder


def classes(root: Path) -> Path:
    """Two folders that are not named in UTF-8, and one that is."""
    rng = np.random.default_rng(0)
    for level, name in enumerate((DOG, BIRD, "cat")):
        (root / name).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(80 * level, 80 * level + 80, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def test_embeddings_name_files_that_exist(run: Path, odd: Path, tmp_path: Path) -> None:
    assert run_command(["embed", str(run), str(odd), "--out", str(tmp_path / "f.npz")]) == 0
    with np.load(tmp_path / "f.npz") as held:
        assert {str(key) for key in held["keys"]} == {*ODD}
    parquet = pytest.importorskip("pyarrow.parquet")
    assert run_command(["embed", str(run), str(odd), "--out", str(tmp_path / "f.parquet")]) == 0
    table = parquet.read_table(tmp_path / "f.parquet")
    assert {os.fsdecode(key) for key in table["key_bytes"].to_pylist()} == {*ODD}
    assert {*table["key"].to_pylist()} == {*ODD[:4], "caf\\xe9.png"}
    (odd / ODD[4]).unlink()
    assert run_command(["embed", str(run), str(odd), "--out", str(tmp_path / "f.parquet")]) == 0
    assert parquet.read_table(tmp_path / "f.parquet").column_names == ["key", "features"]


def test_predictions_name_files_and_classes_and_can_be_learnt_from(odd: Path, tmp_path: Path) -> None:
    likely = np.eye(5)[:, [0, 1, 2, 0, 1]][:5, :3] + np.array([0.1, 0.2, 0.3])
    said = Predictions(list(ODD), [DOG, BIRD, "-cat"], likely, [])
    said.write(tmp_path / "p.csv", every=True)
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == [*ODD] and [row["predicted"] for row in rows] == said.predicted
    assert {*rows[0]} == {"path", "predicted", "probability", DOG, BIRD, "-cat"}
    lines = [f"{row['path']},{row['predicted']}".encode("utf-8", "surrogateescape") for row in rows]
    (tmp_path / "labels.csv").write_bytes(b"path,label\n" + b"\n".join(lines) + b"\n")
    images = open_samples(odd, labelled=True, labels=tmp_path / "labels.csv")
    assert dict(zip(images.keys, images.labels or [])) == dict(zip(ODD, said.predicted))


def test_classes_that_are_not_named_in_utf8_stay_apart(run: Path, tmp_path: Path) -> None:
    root = classes(tmp_path / "labelled")
    assert run_command(["evaluate", str(run), "--train", str(root), "--probe", "knn"]) == 0
    told = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert sorted(told["classes"]) == ["\\xb9\\xb7", "\\xc4\\xf1", "cat"]
    assert run_command(["check", str(root), "--encoder", "test_resnet", "--size", "16"]) == 0
    asked = ["finetune", str(run), str(root), "--out", str(tmp_path / "clf"), "--finetune.epochs", "1"]
    assert run_command(asked) == 0
    assert run_command(["predict", str(tmp_path / "clf"), str(root), "--out", str(tmp_path / "p.csv"), "--all"]) == 0
    header = (tmp_path / "p.csv").read_bytes().splitlines()[0]
    assert sorted(header.split(b",")[3:]) == sorted(map(os.fsencode, (DOG, BIRD, "cat")))


def test_a_classifier_keeps_the_names_of_its_classes(tmp_path: Path) -> None:
    images = open_samples(classes(tmp_path / "labelled"))
    encoder = build_encoder(HALVED, images.preparation)
    encoder.preparation, encoder.part = images.preparation, HALVED
    save_classifier(
        Calibrated(encoder, torch.nn.Linear(encoder.dim, 3), Meaning(), [BIRD, "cat", DOG]), tmp_path / "c", {}
    )
    assert load_classifier(tmp_path / "c").classes == [BIRD, "cat", DOG]


def test_two_names_stay_two_where_they_are_shown() -> None:
    assert printable(DOG) == spelled(DOG) == "\\xb9\\xb7" and printable(BIRD) != printable(DOG)
    assert printable("a\u202fb\x1bc\u00a0d") == "a\\u202fb\\x1bc\\u00a0d" and spelled("a\u202fb\n") == "a\u202fb\n"
    assert printable("größe 狗") == spelled("größe 狗") == "größe 狗"
