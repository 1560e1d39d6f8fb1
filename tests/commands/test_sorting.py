"""`predict --move-into`: files sorted by what a classifier says, as copies or links; what is there stays as it is."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import selftaught
from selftaught.commands.cli import run_command
from selftaught.data.images.samples import open_samples
from selftaught.judging import sorting
from selftaught.run.classifier import Calibrated, save_classifier
from selftaught.run.export import load_encoder
from selftaught.run.meaning import Meaning
from selftaught.system.errors import DataError, UsageError
from tests.commands.finding import lines

SURE = {"a": 0.95, "b": 0.85, "c": 0.6}  # of its own class, by a picture's folder


@pytest.fixture(scope="module")
def saved(looking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    encoder, out = load_encoder(looking), tmp_path_factory.mktemp("classifiers") / "c"
    save_classifier(Calibrated(encoder, torch.nn.Linear(encoder.dim, 2), Meaning(), ["ape", "cat"]), out, {})
    return out


@pytest.fixture
def classifier(saved: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that is as sure of a picture as its folder says, and takes those of c for cats like b's."""

    def scores(model: Calibrated, samples, progress):  # type: ignore[no-untyped-def]
        first = np.array([SURE[key[0]] if key[0] == "a" else 1 - SURE[key[0]] for key in samples.keys])
        return torch.log(torch.from_numpy(np.stack([first, 1 - first], axis=1)))

    monkeypatch.setattr("selftaught.judging.predict.scores_of", scores)
    return saved


@pytest.mark.parametrize("how", ["copy", "link"])
def test_what_is_sure_is_sorted_and_the_rest_is_listed(
    how: str, classifier: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in pictures.rglob("*.png")}
    out, folder = tmp_path / "p.csv", tmp_path / "sorted"
    folder.mkdir()  # an empty one will do
    asked = ["predict", str(classifier), str(pictures), "--out", str(out), "--move-into", str(folder), "--how", how]
    assert run_command([*asked, "--threshold", "0.8", "--sort", "confidence", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sorted"] == {"folder": str(folder), "counts": {"ape": 8, "cat": 8}, "undecided": 8}
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in pictures.rglob("*.png")} == before
    sorted_csv = lines(folder / "sorted.csv")
    assert len(sorted_csv) == 16 and {row["file"].split("/")[0] for row in sorted_csv} == {"ape", "cat"}
    for row in sorted_csv:
        file = folder / row["file"]
        assert file.read_bytes() == (pictures / row["path"]).read_bytes() and not file.is_symlink()
        assert file.samefile(pictures / row["path"]) == (how == "link")
    assert {row["path"][0] for row in lines(folder / "undecided.csv")} == {"c"}
    assert len([*folder.rglob("*.png")]) == 16
    ordered = [float(row["probability"]) for row in lines(out)]
    assert ordered == sorted(ordered, reverse=True) and [row["path"][0] for row in lines(out)] == [
        *"a" * 8,
        *"b" * 8,
        *"c" * 8,
    ]
    assert {*(open_samples(folder, labelled=True).labels or [])} == {"ape", "cat"}  # labelled data, as it is
    assert run_command(asked) == 2 and "exists and is not empty" in capsys.readouterr().err


def test_files_of_one_name_get_names_of_their_own(classifier: Path, pictures: Path, tmp_path: Path) -> None:
    found = selftaught.predict(classifier, pictures, move_into=tmp_path / "all")
    assert found.sorting and found.sorting.counts == {"ape": 8, "cat": 16} and found.sorting.undecided == 0
    assert {file.name for file in (tmp_path / "all" / "cat").iterdir()} == {
        *(f"{n}.png" for n in range(8)), *(f"{n}-2.png" for n in range(8))
    }  # fmt: skip
    assert sorting._free("A.png", "x", {("x", "a.png"), ("x", "a-2.png")}) == "A-3.png"


def test_a_sorting_that_ends_early_leaves_nothing(
    classifier: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought, before = [], shutil.copy2

    def fails(file: Path, to: Path) -> None:
        if len(brought) == 5:
            raise OSError(28, "No space left on device")
        brought.append(before(file, to))

    monkeypatch.setattr("selftaught.judging.sorting.shutil.copy2", fails)
    there = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(OSError, match="No space"):
        selftaught.predict(classifier, pictures, move_into=tmp_path / "sorted")
    assert len(brought) == 5 and {path.name for path in tmp_path.iterdir()} == there


def test_what_cannot_be_sorted_is_refused_before_anything_is_made(
    classifier: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "mine.txt").write_text("mine")
    data = tmp_path / "data"
    shutil.copytree(pictures, data)
    with pytest.raises(UsageError, match="mine exists and is not empty"):
        selftaught.predict(classifier, data, move_into=mine)
    with pytest.raises(UsageError, match=r"sorted lies in .*data, of which it would be a part"):
        selftaught.predict(classifier, data, move_into=data / "sorted")
    with pytest.raises(UsageError, match=r"--threshold .* needs --move-into"):
        selftaught.predict(classifier, data, threshold=0.5)
    with pytest.raises(UsageError, match=r"--how link .* needs --move-into"):
        selftaught.predict(classifier, data, how="link")
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", pictures)
    with pytest.raises(
        DataError, match=r"the images of .*packed\.zip are no files of their own: unpack an archive first"
    ):
        selftaught.predict(classifier, archive, move_into=tmp_path / "sorted")
    monkeypatch.setattr(
        "selftaught.judging.sorting.os.link", lambda *paths: (_ for _ in ()).throw(OSError(18, "cross"))
    )
    with pytest.raises(UsageError, match=r"--how link: .* cannot be linked there \(cross\); say --how copy"):
        selftaught.predict(classifier, data, move_into=tmp_path / "sorted", how="link")
    assert not (tmp_path / "sorted").exists() and [file.name for file in mine.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", ["../../up", "..", "a\\b", "sorted.csv"])
def test_a_class_that_leads_out_of_the_folder_is_refused(
    name: str, classifier: Path, pictures: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(classifier, other)
    told = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(told | {"label_names": ["ape", name]}))
    with pytest.raises(UsageError, match="no folder can be called"):
        selftaught.predict(other, pictures, move_into=tmp_path / "sorted")
    assert not (tmp_path / "sorted").exists()


def test_numbers_are_not_sorted_by_class(classifier: Path, looking: Path, pictures: Path, tmp_path: Path) -> None:
    encoder = load_encoder(looking)
    numbers = Calibrated(encoder, torch.nn.Linear(encoder.dim, 1), Meaning(task="number"), [])
    save_classifier(numbers, tmp_path / "n", {})
    for how, flag in (({"sort": "confidence"}, "--sort confidence"), ({"move_into": tmp_path / "s"}, "--move-into")):
        with pytest.raises(UsageError, match=f"{flag} needs a classifier of classes, and .*n says numbers"):
            selftaught.predict(tmp_path / "n", pictures, **how)


def test_what_nobody_knows_how_likely_it_is_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    said = [("a.png", "ape", float("nan"))]
    found = sorting.sort_into(str(tmp_path / "sorted"), [tmp_path / "a.png"], said, 0.0, "copy")
    assert found.undecided == 1 and not [*(tmp_path / "sorted").rglob("*.png")]
