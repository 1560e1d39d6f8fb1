"""No copy is on both sides of a split, and nothing is chosen by what is judged on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from selftaught.commands.python import Run
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.samples import open_samples
from selftaught.judging.accuracy import votes
from selftaught.judging.labelled import Labelled, spare, splits
from selftaught.judging.opening import open_labelled
from selftaught.judging.printed import table
from selftaught.judging.subsets import parse_labels
from selftaught.reporting.run_page import page_of
from selftaught.run.digests import write_digests
from selftaught.run.export import save_encoder
from selftaught.run.recipes import Evaluate, Finetune
from selftaught.system.errors import DataError
from tests.networks import HALVED

BRIEF = {"epochs": 3, "batch_size": 16, "held_out": 0.2}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    images = open_samples(noise(20, 0)[0])
    torch.manual_seed(3)
    save_encoder(build_encoder(HALVED, images.preparation), HALVED, images.preparation, folder / "encoder", {})
    (folder / "recipe.yaml").write_text("data: some\n")
    return Run(folder)


def noise(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images without any meaning, whose labels can only be remembered."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 255, (count, 16, 16), dtype=np.uint8), rng.permutation(np.arange(count) % 2)


def stored(file: Path, x: np.ndarray, y: np.ndarray) -> Path:
    np.savez(file, x=x, y=y)
    return file


def test_a_copy_of_what_is_judged_is_not_learnt_from(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = noise(200, 0)
    others, labels = noise(100, 1)
    train = stored(tmp_path / "a.npz", np.concatenate([x, others]), np.concatenate([y, labels]))
    test = stored(tmp_path / "b.npz", x, y)
    result = run.evaluate(train, test, probe="knn,linear")
    assert all(0.4 < row.accuracy < 0.6 for row in result.rows), result.rows
    told = json.loads((run.folder / "evaluation.json").read_text())
    assert told["copies"] == 200 and told["train_samples"] == 300
    assert "200 images of --train are in --test as well; they are not learnt from" in capsys.readouterr().err
    with pytest.raises(DataError, match="all samples of 0, 1 have copies among what is judged"):
        run.evaluate(test, test)


def test_copies_are_found_where_other_images_have_other_sizes(tmp_path: Path) -> None:
    x, y = noise(40, 0)
    for name, sides in (("train", (16,) * 40), ("test", (16,) * 20 + (20,) * 20)):
        for number, side in enumerate(sides):
            folder = tmp_path / name / str(y[number])
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(x[number] if side == 16 else np.resize(x[number] // 2, (side, 16))).save(
                folder / f"{number}.png"
            )
    recipe = Evaluate.parse({"run": "run", "train": tmp_path / "train", "test": tmp_path / "test"})
    data = open_labelled(recipe, open_samples(x).preparation)
    assert data.copies == 20


def test_a_class_of_few_images_that_came_often_is_still_learnt(run: Run, tmp_path: Path) -> None:
    x, _ = noise(60, 0)
    often = np.concatenate([x[:40], np.repeat(x[40:44], 10, axis=0)])
    file = stored(tmp_path / "a.npz", often, np.repeat([0, 1], 40))
    result = run.evaluate(file, probe="knn", repeats=1)
    assert result.copies == 40
    with pytest.raises(DataError, match="class 1 has only copies of a single labelled sample"):
        run.evaluate(stored(tmp_path / "b.npz", np.concatenate([x, x[:1], x[:1]]), [0] * 60 + [1, 1]))


def test_what_cannot_be_judged_is_one_line(run: Run, tmp_path: Path) -> None:
    x, y = noise(80, 0)
    train, bad = stored(tmp_path / "a.npz", x, y), x.astype(np.float32)
    bad[70, 3, 3] = np.nan
    with pytest.raises(DataError, match="the first is 70: holds values that are not finite"):
        run.evaluate(train, stored(tmp_path / "b.npz", bad, y))
    with pytest.raises(DataError, match="has labels for none of its images"):
        run.evaluate(train, stored(tmp_path / "c.npz", x, np.array([""] * 80)))


def test_no_fold_learns_what_it_is_judged_on(run: Run, tmp_path: Path) -> None:
    x, y = noise(150, 0)
    doubled = stored(tmp_path / "a.npz", np.concatenate([x, x]), np.concatenate([y, y]))
    result = run.evaluate(doubled, probe="knn,linear,finetune", repeats=1, finetune=BRIEF)
    assert result.copies == 300 and all(0.34 < row.accuracy < 0.66 for row in result.rows)  # 4 deviations


def test_nor_does_the_early_stop(tmp_path: Path) -> None:
    x, y = noise(50, 0)
    file = stored(tmp_path / "a.npz", np.concatenate([x, x]), np.concatenate([y, y]))
    like = open_samples(x).preparation
    data = open_labelled(Finetune.parse({"run": "run", "labelled": file, "out": "out"}), like)
    learnt, held = spare(data, np.arange(100), 0.2, 0)
    assert len(held) == 20 and not set(learnt % 50) & set(held % 50) and len(learnt) <= 80


def test_labels_of_the_test_set_choose_nothing(run: Run, tmp_path: Path) -> None:
    """With other labels for the test samples, every probe says the same of them as before."""
    x, y = noise(80, 0)
    x[y == 1, 4:12, 4:12] //= 2
    train = stored(tmp_path / "a.npz", x[:50], y[:50])
    said = []
    for name, labels in (("b", y[50:]), ("c", 1 - y[50:])):
        test = stored(tmp_path / f"{name}.npz", x[50:], labels)
        result = run.evaluate(train, test, probe="knn,linear,finetune", labels="8,100%", repeats=2, finetune=BRIEF)
        said.append([np.array(detail.confusion) for detail in result.details])
    assert len(said[0]) == 2 * (3 + 3 + 2)
    for before, after in zip(*said):
        assert np.array_equal(before, after[::-1])  # what was true is false now, and nothing else has changed


@pytest.mark.parametrize("task", ["number", "several"])
def test_nor_do_numbers_or_several_labels_of_the_test_set(tmp_path: Path, task: str) -> None:
    """With other labels for the test samples, which are many, the same is drawn, held out and folded as before."""
    x, rng = noise(160, 0)[0], np.random.default_rng(1)

    def labels(count: int, rare: int, shift: float) -> np.ndarray:
        if task == "number":
            return np.array([f"{value:.3f}" for value in shift + rng.normal(size=count)])
        return np.array([("a", "b")[row % 2] + ";c" * (row < rare) for row in range(count)])

    train, drawn = stored(tmp_path / "a.npz", x[:60], labels(60, 3, 0)), []  # c is too rare there for folds of its own
    for number, (rare, shift) in enumerate([(1, 0.1), (70, 3)]):
        test = stored(tmp_path / f"{number}.npz", x[60:], labels(100, rare, shift))
        recipe = Evaluate.parse({"run": "run", "train": train, "test": test, "task": task})
        data = open_labelled(recipe, open_samples(x).preparation)
        (split,) = splits(data, parse_labels("30%")[0], 1, 0)
        learnt, held = spare(data, data.not_tested, 0.2, 0)
        folded = next(splits(data.beyond_test(), parse_labels("100%")[0], 1, 0))
        drawn.append([data.classes[:60], split.train, learnt, held, folded.test])
        assert len(np.unique(data.classes[:60])) == {"number": 5, "several": 2}[task]
        assert set(data.classes[60:]) <= set(data.classes[:60]) and len(data.strata) == len(set(data.classes))
    assert all(np.array_equal(before, after) for before, after in zip(*drawn))


def test_recall_and_confusion_are_those_of_the_rows(run: Run, tmp_path: Path) -> None:
    x, y = noise(60, 0)
    x[y == 1] //= 3
    y = np.where(np.arange(60) < 30, 2 * y, y + 1)  # three classes, of unequal size
    result = run.evaluate(stored(tmp_path / "a.npz", x, y), probe="knn", repeats=2)
    assert len(result.rows) == len(result.details) == 3
    for row, detail in zip(result.rows, result.details):
        matrix = np.array(detail.confusion)
        assert (row.features, row.probe, row.labels) == (detail.features, detail.probe, detail.labels)
        assert matrix.sum(axis=1).tolist() == (2 * np.bincount(y)).tolist()
        assert np.trace(matrix) / matrix.sum() == pytest.approx(row.accuracy)
        assert detail.recall == pytest.approx(np.diag(matrix) / matrix.sum(axis=1))


def blocks(count: int, seed: int) -> np.ndarray:
    """Colourful images without any meaning."""
    coarse = np.random.default_rng(seed).integers(0, 255, (count, 4, 4, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((1, 8, 8, 1), np.uint8))


def filed(root: Path, x: np.ndarray, y: np.ndarray, ending: str = "png", **how: int) -> Path:
    for number, (pixels, label) in enumerate(zip(x, y)):
        (root / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / str(label) / f"{number:03d}.{ending}", **how)
    return root


def judged(train: Path, test: Path | None = None) -> Labelled:
    recipe = Evaluate.parse({"run": "run", "train": train, **({"test": test} if test else {})})
    return open_labelled(recipe, open_samples(blocks(4, 9)).preparation)


@pytest.mark.parametrize(
    "how", [{"ending": "jpg", "quality": 90}, {"ending": "jpg", "quality": 75}, {"ending": "webp", "quality": 85}]
)
def test_what_was_compressed_again_is_not_learnt_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: dict[str, Any]
) -> None:
    x, y = blocks(60, 0), np.arange(60) % 2
    test, train = filed(tmp_path / "test", x[:30], y[:30], **how), filed(tmp_path / "train", x, y)
    data = judged(train, test)
    assert (data.copies, data.near_copies) == (30, 30) and len(data.not_tested) == 30
    assert {data.train.keys[row] for row in data.not_tested} == {f"{n % 2}/{n:03d}.png" for n in range(30, 60)}
    assert "30 images of --train look like some there; they are not learnt from" in capsys.readouterr().err
    with pytest.raises(DataError, match="all samples of 0, 1 have copies among what is judged"):
        judged(filed(tmp_path / "same", x[:30], y[:30]), test)


def test_photos_of_another_size_stay_in_one_fold(tmp_path: Path) -> None:
    smooth = np.random.default_rng(0).integers(0, 255, (20, 6, 6, 3), dtype=np.uint8)
    x = np.array([np.asarray(Image.fromarray(s).resize((96, 96), Image.Resampling.BICUBIC)) for s in smooth])
    small = np.array([np.asarray(Image.fromarray(pixels).resize((64, 64))) for pixels in x])
    root, y = filed(tmp_path / "both", x, np.arange(20) % 2), np.arange(20) % 2
    filed(root, small, y, "jpg", quality=80)
    data = judged(root)
    assert (data.copies, data.near_copies, data.tested) == (40, 40, 20)
    for split in splits(data, parse_labels("100%")[0], 1, 0):
        names = [{data.train.keys[row].split(".")[0] for row in rows} for rows in (split.train, split.test)]
        assert not names[0] & names[1]


def test_different_images_are_no_near_copies(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    slides = (200 + rng.normal(0, 1, (60, 32, 32, 1)) + np.zeros((1, 1, 1, 3))).astype(np.uint8)  # nothing to see
    shaded = (slides * np.linspace(0.5, 1, 32)[:, None, None]).astype(np.uint8)
    for place, own in enumerate(rng.permutation(64)[:60]):  # a cell on each, nowhere the same
        top, left = 3 * np.array(divmod(own, 8))
        shaded[place, top : top + 6, left : left + 6] = 20
    for name, x in (("blocks", blocks(300, 0)), ("slides", slides), ("cells", shaded)):
        data = judged(filed(tmp_path / name, x, np.arange(len(x)) % 2))
        assert (data.copies, data.near_copies) == (0, 0), name


def test_copies_in_the_test_set_count_once(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = noise(80, 0)
    train, once = stored(tmp_path / "a.npz", x[:60], y[:60]), stored(tmp_path / "b.npz", x[60:], y[60:])
    often = stored(tmp_path / "c.npz", np.repeat(x[60:], np.arange(1, 21), 0), np.repeat(y[60:], np.arange(1, 21)))
    first, again = (run.evaluate(train, test, probe="knn,linear") for test in (once, often))
    assert first.rows == again.rows and first.gains == again.gains
    assert (again.test_samples, again.distinct_test_samples, first.distinct_test_samples) == (210, 20, 20)
    assert "--test holds 20 different images in 210; copies count once" in capsys.readouterr().err
    folded = run.evaluate(often, probe="knn", repeats=1)
    assert folded.distinct_test_samples == 20


def test_what_of_the_test_set_was_in_pretraining_is_told(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = noise(80, 0)
    train, test = stored(tmp_path / "a.npz", x[:60], y[:60]), stored(tmp_path / "b.npz", x[60:], y[60:])
    assert run.evaluate(train, test, probe="knn").test_in_pretraining is None
    held = open_samples(x[:67]).digests()
    assert held is not None
    write_digests(run.folder, held)
    result = run.evaluate(train, test, probe="knn")
    assert result.test_in_pretraining == 7
    told = "7 of the 20 images of --test were in pre-training, without their labels"
    assert told in capsys.readouterr().err and f", {told}: " in result.verdict
    assert table(result).caption == told and told in page_of([run.folder])
    (run.folder / "data.digests.npy").write_bytes(b"\x93NUMPY nothing")
    assert run.evaluate(train, test, probe="knn").test_in_pretraining is None
    (run.folder / "data.digests.npy").unlink()


def test_each_content_has_one_vote() -> None:
    right, content = np.array([True, False, True, True, False]), np.array([4, 4, 2, 7, 4])
    assert votes(right, content).tolist() == [1.0, 1 / 3, 1.0]
    assert votes(right, np.arange(5)) is right
