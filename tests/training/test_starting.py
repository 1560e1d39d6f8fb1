"""What a run takes over from weights that others have taught, and how it goes on from them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

import selftaught
from selftaught.commands.python import Run
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.samples import open_samples
from selftaught.methods import registry
from selftaught.run import checkpoint
from selftaught.run.known import known_of
from selftaught.run.recipes import Pretrain
from selftaught.run.weights import load_initial_weights
from selftaught.system.components import Part
from selftaught.system.errors import DataError, UsageError
from selftaught.training.looking.features import features

HOW: dict[str, Any] = {
    **{"method": "simclr", "encoder": "test_resnet", "precision": "32-true", "layout": "contiguous"},
    **{"map": 0, "batch_size": 16, "size": 16},
}
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def photos(file: Path, brightness: int) -> Path:
    x = np.random.default_rng(brightness).normal(brightness, 20, (32, 16, 16, 3)).clip(0, 255)
    np.savez(file, x=x.astype(np.uint8))
    return file


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("first")
    return selftaught.pretrain(photos(folder / "dark.npz", 60), steps=1, out=folder / "run", **HOW)


def mean_of(run: Run) -> tuple[float, ...]:
    mean: tuple[float, ...] = run.encoder().preparation.mean
    return mean


def test_weights_that_are_known_see_what_they_were_taught_with(first: Run, tmp_path: Path) -> None:
    data = photos(tmp_path / "bright.npz", 180)
    run = selftaught.pretrain(data, init=first.folder, steps=1, out=tmp_path / "run", **HOW)
    assert mean_of(run) == mean_of(first) and run.recipe.normalise == "init"
    assert run.recipe.preset == "own" and not run.recipe.training, "a run's own rate was the method's"
    theirs, began = first.encoder(), selftaught.load_encoder(run.folder / "initial")
    same = features(theirs, open_samples(data, like=theirs.preparation))
    assert np.allclose(same, features(began, open_samples(data, like=began.preparation)), atol=1e-5)


def test_the_datas_own_can_be_asked_for_and_older_runs_keep_it(first: Run, tmp_path: Path) -> None:
    data, out = photos(tmp_path / "bright.npz", 180), tmp_path / "run"
    run = selftaught.pretrain(data, init=first.folder, normalise="data", steps=2, checkpoint_every="1", out=out, **HOW)
    own = mean_of(run)
    assert min(own) > 0.6 > max(mean_of(first))
    recipe = out / "recipe.yaml"
    recipe.write_text("".join(line for line in recipe.open() if not line.startswith("normalise")))
    (out / "checkpoints/last").write_text("step_0000001\n")
    run = selftaught.pretrain(data, resume=True, out=out)
    assert mean_of(run) == own and run.recipe.normalise == "data"


def test_it_goes_on_by_the_same_when_the_weights_are_gone(first: Run, tmp_path: Path) -> None:
    data, out, weights = photos(tmp_path / "bright.npz", 180), tmp_path / "run", tmp_path / "theirs"
    weights.mkdir()
    for name in ("model.safetensors", "config.json"):
        (weights / name).write_bytes((first.folder / "encoder" / name).read_bytes())
    selftaught.pretrain(data, init=weights, steps=2, checkpoint_every="1", out=out, **HOW)
    whole = {name: tensor.clone() for name, tensor in selftaught.load_encoder(out).state_dict().items()}
    (weights / "config.json").unlink()
    (out / "checkpoints/last").write_text("step_0000001\n")
    run = selftaught.pretrain(data, resume=True, out=out)
    assert mean_of(run) == mean_of(first)
    assert all(torch.equal(tensor, whole[name]) for name, tensor in run.encoder().state_dict().items())


def test_what_nothing_tells_cannot_be_asked_for(first: Run, tmp_path: Path) -> None:
    weights = tmp_path / "bare.safetensors"
    weights.write_bytes((first.folder / "encoder/model.safetensors").read_bytes())
    data = photos(tmp_path / "bright.npz", 180)
    with pytest.raises(UsageError, match=r"--normalise init: nothing tells how --init .*bare\.safetensors was"):
        selftaught.pretrain(data, init=weights, normalise="init", steps=1, out=tmp_path / "run", **HOW)
    with pytest.raises(UsageError, match="--normalise init is for weights that know something already: name them"):
        selftaught.pretrain(data, normalise="init", steps=1, out=tmp_path / "run", **HOW)
    run = selftaught.pretrain(data, init=weights, steps=1, out=tmp_path / "run", **HOW)
    assert run.recipe.normalise == "data" and min(mean_of(run)) > 0.6


@pytest.mark.parametrize(
    ("data", "encoder"), [("series", Part(name="dilated_conv", options={"depth": 3})), ("tables", Part(name="mlp"))]
)
def test_a_run_of_another_kind_hands_on_its_network_and_its_preparation(
    data: str, encoder: Part, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).normal(size=(32, 3, 40)).astype(np.float32)

    def written(name: str, columns: str, scale: float) -> str:
        if data == "series":
            np.save(tmp_path / f"{name}.npy", scale * values[:, : len(columns)])
            return f"series:{tmp_path / name}.npy"
        rows = [columns, *(scale * values[:, 0, : len(columns)]).astype(str)]
        (tmp_path / f"{name}.csv").write_text("".join(",".join(row) + "\n" for row in rows))
        return str(tmp_path / f"{name}.csv")

    how: dict[str, Any] = {"method": "vicreg", "map": 0, "batch_size": 16, "steps": 1}
    first = selftaught.pretrain(written("a", "abc", 1), out=tmp_path / "first", encoder=encoder, **how)
    how |= {"init": first.folder}
    other, out = written("b", "cba", 9), tmp_path / "other"
    run = selftaught.pretrain(other, out=out, **how)
    assert run.recipe.encoder == first.recipe.encoder and run.recipe.normalise == "init"
    assert run.encoder().preparation == first.encoder().preparation
    first.folder.rename(tmp_path / "elsewhere")
    assert selftaught.pretrain(other, out=out, resume=True).encoder().preparation == run.encoder().preparation
    how |= {"init": tmp_path / "elsewhere"}
    own = selftaught.pretrain(other, out=tmp_path / "own", normalise="data", **how)
    assert own.recipe.encoder == run.recipe.encoder and own.encoder().preparation != run.encoder().preparation
    with pytest.raises(DataError, match=r"takes.*--init .*elsewhere took them; --normalise data does not"):
        selftaught.pretrain(written("c", "ab", 1), out=tmp_path / "few", **how)


def test_what_a_run_of_rows_does_not_take_over_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = np.random.default_rng(0).normal(size=(32, 4))
    for name, count in (("two", 2), ("four", 4)):
        lines = [",".join("abcd"[:count]), *(",".join(map(str, row[:count])) for row in rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    how: dict[str, Any] = {"method": "vicreg", "map": 0, "batch_size": 16, "steps": 1}
    run = selftaught.pretrain(tmp_path / "two.csv", out=tmp_path / "two", **how)
    selftaught.pretrain(tmp_path / "four.csv", out=tmp_path / "four", init=run.folder, **how)
    said = "of its columns 'c', 'd' are not looked at: the encoder has learnt from others"
    assert said in " ".join(capsys.readouterr().err.split())


def test_weights_of_a_run_on_other_data_that_fit_nothing_are_told_as_such(first: Run) -> None:
    rows = build_encoder(Part(name="test_vit"), first.encoder().preparation)
    fits_nothing = "fits no weight of test_vit; it holds .* and others: "
    with pytest.raises(UsageError, match=f"{fits_nothing}they are of a run on images, not tables"):
        load_initial_weights(rows, str(first.folder), "tables")
    with pytest.raises(UsageError, match=f"{fits_nothing}name the network that they are of by --encoder"):
        load_initial_weights(rows, str(first.folder), "images")


def test_a_folder_may_be_named_as_timm_names_it() -> None:
    assert Pretrain(data="some", init="local-dir:theirs").init == "theirs"


def test_an_option_that_an_old_run_names_for_nothing_is_not_taken_over(tmp_path: Path) -> None:
    data = photos(tmp_path / "grey.npz", 100)
    how = {**HOW, "encoder": None, "steps": 1}
    old = selftaught.pretrain(data, out=tmp_path / "old", **{**how, "encoder": "torchvision/resnet18"})
    for file in (old.folder / "encoder/config.json", old.folder / "recipe.yaml"):
        text = file.read_text().replace('"options": {}', '"options": {"drop_path": 0.1}')
        file.write_text(text.replace("options: {}", "options: {drop_path: 0.1}", 1))
    assert "drop_path" in (old.folder / "encoder/config.json").read_text()
    run = selftaught.pretrain(data, init=old.folder, out=tmp_path / "new", **how)
    assert run.recipe.encoder == Part(name="torchvision/resnet18")


def test_what_is_known(first: Run, tmp_path: Path) -> None:
    assert known_of("timm", "resnet18").normalisation(3) == IMAGENET
    assert known_of("timm", "no such network").normalisation(3) is None
    grey = known_of("timm", "resnet18").normalisation(1)
    assert grey and grey[0] == pytest.approx((0.449,)) and grey[1] == pytest.approx((0.226,))
    assert known_of("timm", "resnet18").normalisation(5) is None
    file = first.folder / "encoder/model.safetensors"
    own = known_of(str(file), "").normalisation(3)
    assert own == known_of(str(first.folder), "").normalisation(3) and own and own[0] == mean_of(first)
    config = tmp_path / "config.json"
    for held in ({"pretrained_cfg": {"mean": [0.5], "std": [0.0]}}, {"pretrained_cfg": {"mean": "x"}}, {}, []):
        config.write_text(json.dumps(held))
        assert known_of(str(tmp_path), "").normalisation(3) is None
    config.write_text(json.dumps({"pretrained_cfg": {"mean": [0.5], "std": [0.25]}}))
    assert known_of(str(tmp_path), "").normalisation(3) == ((0.5,) * 3, (0.25,) * 3)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in timm's layout: a ResNet with the stem and the size of the large data sets."""
    folder = tmp_path_factory.mktemp("theirs")
    torch.manual_seed(3)
    net = timm.create_model("test_resnet", num_classes=0)
    save_file(net.state_dict(), folder / "model.safetensors")
    told = {"input_size": [3, 48, 48], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    (folder / "config.json").write_text(json.dumps({"architecture": "test_resnet", "pretrained_cfg": told}))
    return folder


FREE = {name: value for name, value in HOW.items() if name not in ("encoder", "size")}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"input_size": [3, "x", 8]}, r"has an input_size of \['x', 8\]: correct it there"),
        ({"input_size": [3, 0, 8]}, r"has an input_size of \[0, 8\]"),
        ({"input_size": [3, 224, 10**9]}, r"has an input_size of \[224, 1000000000\]"),
        ({"input_size": [3, None, None]}, r"has an input_size of \[None, None\]"),
        ({"mean": [0.5, float("nan"), 0.5]}, r"has a mean of \[0\.5, nan, 0\.5\]"),
        ({"std": [0.5, 0.5, float("inf")]}, r"has a std of \[0\.5, 0\.5, inf\]"),
    ],
)
def test_what_weights_tell_wrongly_is_refused_in_a_line(told: dict[str, Any], said: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18", "pretrained_cfg": told}))
    (tmp_path / "model.safetensors").touch()
    for source in (tmp_path, tmp_path / "model.safetensors"):
        with pytest.raises(UsageError, match=f"^the config.json of .* {said}"):
            known_of(str(source), "resnet18")


def test_network_stem_size_and_pace_are_theirs_where_nothing_is_said(theirs: Path, tmp_path: Path) -> None:
    data = photos(tmp_path / "bright.npz", 180)
    run = selftaught.pretrain(data, init=theirs, steps=1, out=tmp_path / "run", **FREE)
    recipe = run.recipe
    assert recipe.encoder == Part(name="test_resnet", options={"stem": "timm"}) and recipe.size == (48, 48)
    assert recipe.preset == "warm" and recipe.training["layer_decay"] == 0.8 and recipe.training["frozen"] == 0.1
    assert recipe.training["lr"] == pytest.approx(0.2 * registry.method_class("simclr").preset.lr)
    assert mean_of(run) == (0.1, 0.2, 0.3)
    began = load_file(run.folder / "initial/model.safetensors")
    assert all(torch.equal(value, began[name]) for name, value in load_file(theirs / "model.safetensors").items())
    log = (run.folder / "run.log").read_text()
    assert "tensors from" in log and "fresh:" not in log and "warm     layers learn 0.8 times as fast" in log


def test_what_is_said_stands(theirs: Path, tmp_path: Path) -> None:
    data, own = photos(tmp_path / "bright.npz", 180), {"training": {"lr": 0.01}, "preset": "own"}
    run = selftaught.pretrain(data, init=theirs, steps=1, out=tmp_path / "run", **HOW, **own)
    assert (run.recipe.encoder, run.recipe.size) == (Part(name="test_resnet"), (16, 16))
    assert run.recipe.training == {"lr": 0.01} and run.recipe.preset == "own"
    run = selftaught.pretrain(data, steps=1, out=tmp_path / "fresh", **HOW)
    assert run.recipe.preset == "own" and not run.recipe.training


def test_the_first_half_waits_and_layers_have_their_own_pace(theirs: Path, tmp_path: Path) -> None:
    data, how = photos(tmp_path / "bright.npz", 180), {"checkpoint_every": "1", "training": {"frozen": 0.75}}
    run = selftaught.pretrain(data, init=theirs, steps=4, out=tmp_path / "run", **FREE, **how)
    began = load_file(run.folder / "initial/model.safetensors")
    steps = {int(path.name[5:]): checkpoint.load(path)[0]["model"] for path in checkpoint.steps(run.checkpoints)}
    moved = {
        step: {
            name: not torch.equal(value, now[f"encoder.net.{name}"])
            for name, value in began.items()
            if name.endswith("weight")
        }
        for step, now in steps.items()
    }
    first, last = "conv1.0.weight", "layer4.0.conv1.weight"
    assert not moved[3][first] and moved[3][last]
    whole = load_file(run.folder / "encoder/model.safetensors")
    (run.checkpoints / "last").write_text("step_0000003\n")
    again = selftaught.pretrain(data, resume=True, out=run.folder)
    assert all(torch.equal(v, whole[n]) for n, v in load_file(again.folder / "encoder/model.safetensors").items())


def test_how_far_features_have_turned_is_told(theirs: Path, tmp_path: Path) -> None:
    data = photos(tmp_path / "bright.npz", 180)
    how = {**FREE, "checkpoint_every": "2", "training": {"lr": 0.01, "frozen": 0.0}}
    run = selftaught.pretrain(data, init=theirs, steps=4, out=tmp_path / "run", **how)
    drift = [line["health"]["drift"] for line in run.metrics() if "health" in line]
    assert run.status["health_at_start"]["drift"] == 0 and 0.001 < drift[0] < drift[-1] < 1.5
    (run.checkpoints / "last").write_text("step_0000002\n")
    again = selftaught.pretrain(data, resume=True, out=run.folder)
    assert [line["health"]["drift"] for line in again.metrics() if "health" in line] == drift
    fresh = selftaught.pretrain(data, steps=2, out=tmp_path / "fresh", **HOW)
    assert "drift" not in fresh.status["health"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"adapt": "lora:8"}, "--adapt lora:8 is for weights that know something already: name them by --init"),
        ({"preset": "warm"}, "--preset warm is for weights that know something already"),
        ({"adapt": "lora"}, "--adapt cannot be 'lora': it is all, norms, last:4"),
        ({"adapt": "last:0", "init": "x"}, "--adapt cannot be 'last:0'"),
        ({"teacher": "x"}, "--teacher: simclr learns from none; --method distill does"),
        ({"method": "distill"}, "distill learns from a network that others have taught: name it by --teacher"),
        ({"method": "distill", "teacher": "nowhere"}, "--teacher nowhere is neither a model of timm's, a file nor"),
    ],
)
def test_what_has_no_sense_is_refused_in_a_line(how: dict[str, Any], said: str, tmp_path: Path) -> None:
    data = photos(tmp_path / "bright.npz", 180)
    with pytest.raises(UsageError) as refused:
        selftaught.pretrain(data, steps=1, out=tmp_path / "run", **{**HOW, **how})
    assert said in str(refused.value) and not (tmp_path / "run").exists()
