"""Labels that watch a pre-training: what they see is true, and the run never knows that somebody looked on."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import selftaught
from selftaught import Run, SelfTaughtEncoder
from selftaught.commands.cli import run_command
from selftaught.contracts.encoder import Encoder
from selftaught.judging import units, watching
from selftaught.judging.watching import MOST, Watching, invited
from selftaught.reporting.run_page import page_of
from selftaught.run import checkpoint
from selftaught.run.digests import WATCHED, read_digests
from selftaught.run.recipes import Pretrain
from selftaught.system.errors import DataError, Interrupted, UsageError
from selftaught.training.looking import features as looking
from selftaught.training.pretrain import pretrain as trained_alone
from tests.networks import HALVED, SHALLOW

HOW: dict[str, Any] = {
    "size": 16,
    "batch_size": 16,
    "epochs": 3,
    "log_every": 1,
    "checkpoint_every": "3",
    "map": 20,
    "precision": "32-true",
    "layout": "contiguous",
}


class Dropping(nn.Module):
    """Where statistics of batch norm are measured, this draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        wide = nn.Linear(3 * 16 * 16, 16)
        self.layers = nn.Sequential(nn.Flatten(), wide, nn.Dropout(0.5), nn.BatchNorm1d(16), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layers(x)
        return y


RUNS: dict[str, dict[str, Any]] = {
    "statistics": {"method": "simclr", "encoder": HALVED, "choose": "alignment", "patience": 9},
    "tokens": {"method": "mae", "encoder": SHALLOW},
    "dropout": {"method": "simclr", "encoder": Dropping},
}


def images(seed: int, count: int = 96, classes: int = 2) -> tuple[Any, Any]:
    """Noisy waves, of a length for each class."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % classes
    phase = rng.integers(0, 16, count)
    wave = 60 * np.sin((np.arange(32)[None] + phase[:, None]) * (y[:, None] + 1) / 2)
    x = 128 + wave[:, None, :, None] + rng.normal(0, 160, (count, 32, 32, 3))
    return x.clip(0, 255).astype(np.uint8), y


def saved(file: Path, x: Any, y: Any = None) -> str:
    np.savez(file, x=x, **({} if y is None else {"y": y}))
    return str(file)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("waves")
    return {
        "unlabelled": saved(folder / "unlabelled.npz", images(0, 64)[0]),
        "labelled": saved(folder / "labelled.npz", *images(1)),
        "others": saved(folder / "others.npz", *images(2)),
    }


def run(data: dict[str, str], out: Path, kind: str = "statistics", **more: Any) -> Run:
    choices = {**HOW, **RUNS[kind], **more}
    if isinstance(choices["encoder"], type):
        torch.manual_seed(3)
        choices["encoder"] = choices["encoder"]()
    return selftaught.pretrain(data["unlabelled"], out=str(out), **choices)


def everything(run: Run) -> dict[str, Any]:
    """All that a run has learnt, found and chosen: checkpoints, what is exported, and what its lines and status say."""
    folder = run.folder
    files = [*folder.glob("checkpoints/*/*.safetensors"), *folder.glob("encoder/*.safetensors")]
    held: dict[str, Any] = {
        f"{file.relative_to(folder)}/{name}": tensor.numpy().tobytes()
        for file in files
        for name, tensor in load_file(file).items()
    }
    told = ("loss", "terms", "lr", "mean_loss", "health", "verdict")
    held |= {f"line {line['step']}": [line.get(name) for name in told] for line in run.metrics()}
    told = ("health_at_start", "chosen_step", "steps", "health", "verdict")
    return held | {name: run.status[name] for name in told}


def watched(run: Run) -> dict[int, Any]:
    return {line["step"]: line["watched"] for line in run.metrics() if "watched" in line}


@pytest.fixture(scope="module")
def pair(data: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """A run alone, and one that is watched."""
    out = tmp_path_factory.mktemp("pair")
    return run(data, out / "alone"), run(data, out / "watched", watch_labels=data["labelled"])


def test_no_run_knows_that_it_is_watched(pair: tuple[Run, Run]) -> None:
    alone, seen = pair
    assert everything(alone) == everything(seen)
    assert list(watched(seen)) == [4, 8, 12] and not watched(alone)
    assert set(watched(seen)[4]) == {"knn", "linear"}
    assert not {"watched", "watched_by", "watched_at_start"} & alone.status.keys()


@pytest.mark.parametrize("kind", ["tokens", "dropout"])
def test_no_other_kind_of_run_knows_it(kind: str, data: dict[str, str], tmp_path: Path) -> None:
    alone = run(data, tmp_path / "alone", kind)
    seen = run(data, tmp_path / "watched", kind, watch_labels=data["labelled"])
    assert everything(alone) == everything(seen) and len(watched(seen)) == 3


def test_a_run_that_is_cut_goes_on_as_if_nobody_watched(
    pair: tuple[Run, Run], data: dict[str, str], tmp_path: Path
) -> None:
    alone, seen = pair
    cut = tmp_path / "cut"
    shutil.copytree(seen.folder, cut)
    for path in checkpoint.steps(cut / "checkpoints"):
        if path.name > "step_0000009":
            shutil.rmtree(path)
    (cut / "checkpoints" / "last").write_text("step_0000009\n")
    again = run(data, cut, resume=True)
    assert watched(again) == watched(seen) and again.status["watched_at_start"] == seen.status["watched_at_start"]
    mine, theirs = everything(again), everything(alone)
    assert {name: mine[name] for name in theirs if name in mine} == {
        name: theirs[name] for name in theirs if name in mine
    }
    assert sum("step_0000012/" in name for name in mine) > 10


def test_a_stop_while_labels_watch_loses_no_look(
    pair: tuple[Run, Run], data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([False, False, True])

    def stopped(self: Watching, encoder: Encoder) -> dict[str, float]:
        if next(looks):
            raise Interrupted("stopped by SIGTERM")
        return {"knn": 0.5}

    with monkeypatch.context() as patch:
        patch.setattr(Watching, "__call__", stopped)
        with pytest.raises(Interrupted):
            run(data, tmp_path / "run", watch_labels=data["labelled"])
    again = run(data, tmp_path / "run", resume=True)
    mine, theirs = everything(again), everything(pair[0])
    for name in (name for name in theirs if name.startswith(("line", "encoder")) or name == "chosen_step"):
        assert mine[name] == theirs[name], name


@pytest.mark.parametrize("error", [DataError("the pictures are gone"), OSError("no such disk")])
def test_what_goes_wrong_while_labels_watch_is_said_and_ends_nothing(
    error: Exception,
    pair: tuple[Run, Run],
    data: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(*_: Any) -> None:
        raise error

    monkeypatch.setattr(watching, "features", fails)
    seen = run(data, tmp_path / "run", watch_labels=data["labelled"])
    assert everything(seen) == everything(pair[0]) and not watched(seen)
    assert f"warning: step 4: nobody could watch: {error}" in capsys.readouterr().err


def test_it_is_what_an_evaluation_of_the_exported_encoder_says(data: dict[str, str], tmp_path: Path) -> None:
    seen = run(data, tmp_path / "run", choose="last", patience=None, watch_labels=data["labelled"])
    recipe = Pretrain.parse({"data": data["unlabelled"], "watch_labels": data["labelled"]})
    split = invited(recipe, seen.encoder().preparation).exam.split
    x, y = images(1)
    parts = [saved(tmp_path / f"{i}.npz", x[rows], y[rows]) for i, rows in enumerate((split.train, split.test))]
    result = seen.evaluate(*parts, probe="knn,linear", features="own")
    said = {row.probe: round(row.accuracy, 4) for row in result.rows if row.features == "trained"}
    assert said == watched(seen)[12] == seen.status["watched"]
    assert len(split.train) == 76 and len(split.test) == 20 and 0.5 < said["linear"] <= 1


def test_the_numbers_rise_where_something_is_learnt(tmp_path: Path) -> None:
    """Groups of columns tell one thing each, so that an encoder that fills in what is hidden has to find the groups."""
    rng = np.random.default_rng(0)
    y = np.arange(600) % 6
    centres = rng.normal(0, 1, (6, 12))
    x = (centres[y] + rng.normal(0, 0.5, (600, 12))).astype(np.float32)
    noise = rng.normal(0, 3, (600, 1)).astype(np.float32)
    file = saved(tmp_path / "rows.npz", np.concatenate([x, noise], axis=1), y)
    more = {**HOW, "epochs": 20, "batch_size": 64, "log_every": 10}
    seen = selftaught.pretrain(
        saved(tmp_path / "unlabelled.npz", np.concatenate([x, noise], axis=1)),
        method="simclr",
        encoder={"name": "mlp", "options": {"width": 16, "depth": 3}},
        watch_labels=file,
        out=str(tmp_path / "run"),
        **more,
    )
    start, end = seen.status["watched_at_start"], seen.status["watched"]
    assert end["knn"] > start["knn"] > 1 / 6, (start, end)


def test_the_rows_of_a_table_watch_by_the_column_of_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    lines = ["a,b,c,kind"] + [
        ",".join([*(f"{value:.3f}" for value in rng.normal(0, 1, 3) + 2 * (row % 2)), "even" if row % 2 else "odd"])
        for row in range(80)
    ]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    named = ["--label-column", "kind", "--watch-labels", str(tmp_path / "rows.csv")]
    words = ["pretrain", str(tmp_path / "rows.csv"), "--out", str(tmp_path / "run"), "--method", "vicreg", "--json"]
    assert run_command([*words, "--steps", "4", "--batch-size", "16", "--precision", "32-true", *named]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["watched"]["linear"] > 0.7
    assert "watch    80 labelled rows of 2 classes, 64 to learn a probe from and 16 to judge it" in told.err
    assert "watch    step 4  kNN " in told.err and "(labels watch, they teach nothing)" in told.err


def several(y: Any, rng: Any) -> list[str]:
    """A wave's length as one label of two, and another that no picture shows."""
    return [";".join(["long" if own == 0 else "short", *(["odd"] if rng.random() < 0.4 else [])]) for own in y]


def numbers(y: Any, rng: Any) -> list[str]:
    return [f"{10 * own + rng.normal():.3f}" for own in y]


@pytest.mark.parametrize(
    ("labels", "measure", "told", "best"),
    [
        (several, "mAP", "of 3 labels, 76 to learn a probe from and 20 to judge it by mAP;", 1.0),
        (numbers, "R2", "with a number each, 76 to learn a probe from and 20 to judge it by R²;", 1.0),
    ],
)
def test_several_labels_and_numbers_watch_by_measures_of_their_own(
    labels: Any, measure: str, told: str, best: float, data: dict[str, str], tmp_path: Path, capsys: Any
) -> None:
    x, y = images(3)
    (tmp_path / "y.csv").write_text(
        "path,label\n" + "".join(f"{i},{label}\n" for i, label in enumerate(labels(y, np.random.default_rng(0))))
    )
    how = {"watch_labels": saved(tmp_path / "x.npz", x), "watch_labels_csv": str(tmp_path / "y.csv")}
    seen = run(data, tmp_path / "run", **how, choose="last", patience=None)
    assert told in capsys.readouterr().err
    lines = [line for line in seen.metrics() if "watched" in line]
    assert {line["watched_measure"] for line in lines} == {measure} == {seen.status["watched_measure"]}
    assert seen.status["watched"] == lines[-1]["watched"]
    assert all(value <= best for line in lines for value in line["watched"].values())
    (drawn,) = drawings(seen)
    assert units.called(measure) in drawn
    judged = seen.evaluate(how["watch_labels"], train_labels=how["watch_labels_csv"], probe="linear", repeats=1)
    (row,) = [row for row in judged.rows if row.features == "trained"]
    assert judged.measure == measure and abs(row.accuracy - lines[-1]["watched"]["linear"]) < 0.25


def test_where_classes_differ_much_in_size_they_watch_by_balanced_accuracy(tmp_path: Path) -> None:
    x, y = images(3)
    rare = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:10]])
    looked = opened(saved(tmp_path / "rare.npz", x[rare], y[rare]))
    assert looked.measure == "balanced_accuracy" and "by balanced accuracy" in looked.about
    assert looked.in_words({"knn": 0.5}) == "kNN 50.0 by balanced accuracy  (labels watch, they teach nothing)"


def test_scikit_learns_face_is_watched_as_well(data: dict[str, str]) -> None:
    options = {"watch_labels": data["labelled"], "log_every": 1}
    encoder = SelfTaughtEncoder(encoder="test_resnet", steps=2, batch_size=16, precision="32-true", options=options)
    encoder.fit(images(0)[0])
    assert set(encoder.status_["watched"]) == {"knn", "linear"}


def test_training_by_itself_passes_nobody_over(data: dict[str, str], tmp_path: Path) -> None:
    recipe = {"data": data["unlabelled"], "watch_labels": data["labelled"], "out": str(tmp_path / "run"), "steps": 1}
    with pytest.raises(UsageError, match="--watch-labels is for"):
        trained_alone(Pretrain.parse(recipe))
    assert not (tmp_path / "run").exists()


def refused(name: str, folder: Path) -> dict[str, Any]:
    """Settings that no run can begin with."""
    x, y = images(5, 40)
    if name == "parts":
        for part in ("train", "test"):
            (folder / "split" / part / "a").mkdir(parents=True)
            Image.fromarray(x[0]).save(folder / "split" / part / "a" / "1.png")
    (folder / "rows.csv").write_text("a,b,label\n" + "1,2,x\n3,4,y\n" * 20)
    (folder / "several.csv").write_text("path,label\n" + "0,a\n" + "".join(f"{i},a;b\n" for i in range(1, 40)))
    labelled = {
        "missing": str(folder / "nowhere"),
        "unlabelled": saved(folder / "unlabelled.npz", x),
        "one class": saved(folder / "one.npz", x, 0 * y),
        "too few": saved(folder / "few.npz", x[:12], y[:12]),
        "copies": saved(folder / "copies.npz", x[[0, 1, 2, 3] * 20], y[[0, 1, 2, 3] * 20]),
        "singles": saved(folder / "singles.npz", x, np.arange(40)),
        "rows": str(folder / "rows.csv"),
        "parts": str(folder / "split"),
        "several": saved(folder / "values.npz", x),
        "csv alone": None,
    }
    more = {"several": str(folder / "several.csv"), "csv alone": str(folder / "several.csv")}
    return {"watch_labels": labelled[name], "watch_labels_csv": more.get(name)}


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("missing", DataError, "--watch-labels: .*nowhere does not exist"),
        ("unlabelled", DataError, r"--watch-labels: /.*unlabelled\.npz has no labels: "),
        ("one class", DataError, "--watch-labels: one has only one class, '0': there is nothing to tell apart"),
        ("too few", DataError, "few has 12 labelled samples of 2 classes, of which 6 could be judged .*name more"),
        ("copies", DataError, "copies has 80 labelled samples of 2 classes, of which 2 could be judged"),
        ("singles", DataError, "singles has 40 labelled samples of 40 classes, of which 0 could be judged"),
        ("rows", UsageError, "rows.csv holds rows, and the run learns from images; .* by --watch-labels-csv"),
        (
            "parts",
            UsageError,
            "parts of a split, not classes: test, train; which is it.* Say: --watch-labels .*split/train$",
        ),
        ("several", DataError, "values: all of the [0-9]+ samples that would be (learnt from|judged) have one label: "),
        ("csv alone", UsageError, "--watch-labels-csv needs --watch-labels"),
    ],
)
def test_what_cannot_watch_is_refused_before_training_begins(
    name: str, error: type[Exception], words: str, data: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(error, match=words) as told:
        run(data, tmp_path / "run", **refused(name, tmp_path))
    assert not (tmp_path / "run").exists() and "\n" not in str(told.value)


def test_labels_in_a_folder_that_is_to_be_replaced_are_not_removed(data: dict[str, str], tmp_path: Path) -> None:
    run(data, tmp_path / "run", epochs=1)
    inside = shutil.copy(data["labelled"], tmp_path / "run" / "labelled.npz")
    with pytest.raises(UsageError, match=r"--watch-labels .*labelled\.npz lies in .*run, which is to be replaced"):
        run(data, tmp_path / "run", epochs=1, overwrite=True, watch_labels=inside)


def opened(file: str, seed: int = 0) -> Watching:
    recipe = Pretrain.parse({"data": file, "watch_labels": file, "seed": seed})
    kept = selftaught.data.images.MODALITY.open_samples(file)
    return invited(recipe, kept.preparation)


def test_samples_are_drawn_once_by_the_seed_and_no_copy_is_on_both_sides(tmp_path: Path) -> None:
    x, y = images(0, 300, 3)
    twice = saved(tmp_path / "twice.npz", np.concatenate([x, x[:150]]), np.concatenate([y, y[:150]]))
    one, same, other = opened(twice), opened(twice), opened(twice, seed=1)
    split, group = one.exam.split, one.data.group
    assert not np.isin(group[split.train], group[split.test]).any() and len(split.train) + len(split.test) == 450
    assert one.name == same.name != other.name
    assert (split.test == same.exam.split.test).all() and not np.array_equal(split.test, other.exam.split.test)
    counts = np.bincount(one.data.classes[split.test])
    assert counts.min() > 0.15 * len(split.test)


def test_of_many_samples_some_watch_and_of_tiny_classes_half_is_judged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (2600, 8, 8, 1), dtype=np.uint8)
    many = opened(saved(tmp_path / "many.npz", x, np.arange(2600) % 2))
    assert many.data.train.count == MOST and len(many.exam.split.test) == 400
    tiny = opened(saved(tmp_path / "tiny.npz", x[:60], np.arange(60) % 30))
    assert len(tiny.exam.split.test) == 30 and len(np.unique(tiny.data.classes[tiny.exam.split.train])) == 30


def test_who_watches_may_change_on_the_way_and_the_page_keeps_them_apart(data: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "run"

    def cut() -> None:
        for path in checkpoint.steps(out / "checkpoints"):
            if path.name > "step_0000008":
                shutil.rmtree(path)
        (out / "checkpoints" / "last").write_text("step_0000008\n")

    how = {"checkpoint_every": "8", "epochs": 4, "choose": "last", "patience": None}
    run(data, out, watch_labels=data["labelled"], **how)
    cut()
    again = run(data, out, resume=True, watch_labels=data["others"], **how)
    by = [line["watched_by"] for line in again.metrics() if "watched" in line]
    assert by[0] == by[1] != by[2] == by[3] and again.status["watched_at_start"] is None
    (drawn,) = drawings(again)
    assert drawn.count("<polyline") == 2 and points(drawn) == 2
    digests = read_digests(out, WATCHED)
    assert digests is not None and len(digests) == 2 * 96
    cut()
    again = run(data, out, resume=True, watch_labels="none", **how)
    assert list(watched(again)) == [4, 8] and again.status["state"] == "done"


def drawings(run: Run) -> list[str]:
    return [part for part in page_of([run.folder]).split("<figure>") if "labels that watch; they teach nothing" in part]


def points(figure: str) -> int:
    return len(figure.split("points='", 1)[1].split("'", 1)[0].split())


def test_the_page_draws_what_labels_saw_from_before_the_first_step_on(pair: tuple[Run, Run]) -> None:
    alone, seen = pair
    assert drawings(alone) == []
    (drawn,) = drawings(seen)
    assert "knn</li>" in drawn and "linear</li>" in drawn and points(drawn) == 4


def test_a_run_from_before_there_were_watchers_goes_on(
    pair: tuple[Run, Run], data: dict[str, str], tmp_path: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(pair[0].folder, old)
    file = old / "recipe.yaml"
    kept = {key: value for key, value in yaml.safe_load(file.read_text()).items() if not key.startswith("watch")}
    file.write_text(yaml.safe_dump(kept))
    assert run(data, old, resume=True).status["state"] == "done"
    assert run(data, old, resume=True, watch_labels=data["labelled"]).status["state"] == "done"


def test_an_evaluation_names_those_who_have_watched(
    pair: tuple[Run, Run], data: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone, seen = pair
    (x, y), (more, also) = images(1), images(2)
    mixed = saved(tmp_path / "mixed.npz", np.concatenate([x[:20], more[:10]]), np.concatenate([y[:20], also[:10]]))
    asked = {"probe": "knn", "out": str(tmp_path / "judged.json")}
    result = seen.evaluate(data["others"], mixed, **asked)
    assert result.watched == 20 and result.verdict.count("20 of the 30 images of --test have watched") == 1
    assert "if a run or a step was chosen by what they showed, judge on others" in capsys.readouterr().err
    assert seen.evaluate(data["labelled"], **asked).watched == 96
    assert alone.evaluate(data["others"], mixed, **asked).watched is None


def test_features_that_are_not_finite_give_no_numbers(data: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    looked = opened(data["labelled"])
    monkeypatch.setattr(watching, "features", lambda *_: np.full((96, 4), np.nan, np.float32))
    assert looked(nn.Identity()) == {}  # type: ignore[arg-type]
    assert looking.features is not watching.features
