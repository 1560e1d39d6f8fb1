"""By whose mean and deviation images are normalised where a run begins with weights that others have taught."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import selftaught
from selftaught.commands.python import Run
from selftaught.data.images.samples import open_samples
from selftaught.run.weights import normalisation_of
from selftaught.system.errors import UsageError
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
    run = selftaught.pretrain(data, init=weights, steps=1, out=tmp_path / "run", **HOW)
    assert run.recipe.normalise == "data" and min(mean_of(run)) > 0.6


def test_what_is_known(first: Run, tmp_path: Path) -> None:
    assert normalisation_of("timm", "resnet18", 3) == IMAGENET
    assert normalisation_of("timm", "no such network", 3) is None
    grey = normalisation_of("timm", "resnet18", 1)
    assert grey and grey[0] == pytest.approx((0.449,)) and grey[1] == pytest.approx((0.226,))
    assert normalisation_of("timm", "resnet18", 5) is None
    file = first.folder / "encoder/model.safetensors"
    own = normalisation_of(str(file), "", 3)
    assert own == normalisation_of(str(first.folder), "", 3) and own and own[0] == mean_of(first)
    config = tmp_path / "config.json"
    for held in ({"pretrained_cfg": {"mean": [0.5], "std": [0.0]}}, {"pretrained_cfg": {"mean": "x"}}, {}, []):
        config.write_text(json.dumps(held))
        assert normalisation_of(str(tmp_path), "", 3) is None
    config.write_text(json.dumps({"pretrained_cfg": {"mean": [0.5], "std": [0.25]}}))
    assert normalisation_of(str(tmp_path), "", 3) == ((0.5,) * 3, (0.25,) * 3)
