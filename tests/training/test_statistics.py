"""Whose statistics an encoder's batch norms go by, where it starts from what others have taught it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import selftaught
from selftaught.commands.python import Run
from selftaught.contracts.encoder import batch_norms
from selftaught.data.images.samples import open_samples
from selftaught.judging.sources import Own, _made
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from selftaught.training.looking.features import estimate_norms, norms_of
from selftaught.training.pretrained import load_pretrained

HOW: dict[str, Any] = {"method": "byol", "precision": "32-true", "layout": "contiguous", "map": 0, "batch_size": 16}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "bright.npz"
    np.savez(file, x=np.random.default_rng(0).normal(180, 20, (32, 16, 16, 3)).clip(0, 255).astype(np.uint8))
    return file


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in timm's layout, whose statistics are of darker images."""
    folder = tmp_path_factory.mktemp("theirs")
    torch.manual_seed(3)
    net = timm.create_model("test_resnet", num_classes=0)
    for _ in range(20):
        net(torch.rand(64, 3, 16, 16) - 1)
    save_file(net.state_dict(), folder / "model.safetensors")
    told = {"input_size": [3, 16, 16], "mean": [0.5] * 3, "std": [0.25] * 3}
    (folder / "config.json").write_text(json.dumps({"architecture": "test_resnet", "pretrained_cfg": told}))
    return folder


@pytest.fixture(scope="module")
def warm(data: Path, theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("warm") / "run"
    return selftaught.pretrain(data, init=theirs, steps=3, checkpoint_every="2", out=out, **HOW)


def statistics(folder: Path) -> dict[str, Tensor]:
    """The means and variances in the weights of a folder, by name."""
    held = load_file(folder / "model.safetensors")
    return {name: value for name, value in held.items() if name.endswith(("running_mean", "running_var"))}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    assert one.keys() == other.keys() and one
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_those_of_others_are_kept_from_the_first_step_to_the_export(warm: Run, theirs: Path) -> None:
    assert warm.recipe.statistics == "init"
    assert same(statistics(warm.folder / "initial"), statistics(theirs))
    assert same(statistics(warm.folder / "encoder"), statistics(theirs))
    weights, began = (load_file(folder / "model.safetensors") for folder in (warm.folder / "encoder", theirs))
    assert not torch.equal(weights["layer4.0.conv1.weight"], began["layer4.0.conv1.weight"]), "it learns all the same"
    assert "collapsing" not in warm.status["verdict"]
    assert "batch norms keep the statistics they come with" in (warm.folder / "run.log").read_text()


def test_a_run_that_goes_on_keeps_them(warm: Run, data: Path) -> None:
    whole = load_file(warm.folder / "encoder/model.safetensors")
    (warm.checkpoints / "last").write_text("step_0000002\n")
    again = selftaught.pretrain(data, resume=True, out=warm.folder)
    assert all(torch.equal(v, whole[n]) for n, v in load_file(again.folder / "encoder/model.safetensors").items())


def test_no_look_and_no_judge_measures_them(warm: Run, data: Path) -> None:
    encoder = selftaught.load_encoder(warm.folder / "initial")
    samples = open_samples(data, like=encoder.preparation)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    assert batch_norms(encoder) and not norms_of(encoder)
    estimate_norms(encoder, samples)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    asked: list[Any] = []
    source = _made(Own("initial", encoder, None), asked.append)  # type: ignore[arg-type]
    source(np.arange(3))
    source(np.arange(5))
    assert asked == [encoder], "once, and not for each training part"


def test_the_datas_own_can_be_asked_for(data: Path, theirs: Path, tmp_path: Path) -> None:
    run = selftaught.pretrain(data, init=theirs, statistics="data", steps=1, out=tmp_path / "run", **HOW)
    assert run.recipe.statistics == "data" and norms_of(run.encoder())
    assert not same(statistics(run.folder / "encoder"), statistics(theirs))


def test_what_did_not_come_as_it_was_learns_its_own(data: Path, theirs: Path, tmp_path: Path) -> None:
    run = selftaught.pretrain(data, init=theirs, encoder="test_resnet", steps=1, out=tmp_path / "stem", **HOW)
    assert run.recipe.statistics == "data", "behind another first layer"
    bare = tmp_path / "bare.safetensors"
    bare.write_bytes((theirs / "model.safetensors").read_bytes())
    run = selftaught.pretrain(data, init=bare, encoder="test_resnet", steps=1, out=tmp_path / "bare", **HOW)
    assert run.recipe.statistics == "data", "nothing tells which network they are of"


def test_they_are_kept_over_two_runs_and_those_of_a_run_are_not(warm: Run, data: Path, tmp_path: Path) -> None:
    second = selftaught.pretrain(data, init=warm.folder, steps=1, out=tmp_path / "second", **HOW)
    assert second.recipe.statistics == "init" and second.recipe.preset == "own"
    first = selftaught.pretrain(data, encoder="test_resnet", size=16, steps=1, out=tmp_path / "first", **HOW)
    assert first.recipe.statistics == "data"
    on = selftaught.pretrain(data, init=first.folder, steps=1, out=tmp_path / "on", **HOW)
    assert on.recipe.statistics == "data"


def test_a_network_of_the_users_keeps_what_it_has_seen(data: Path, tmp_path: Path) -> None:
    net = timm.create_model("test_resnet", num_classes=0)
    run = selftaught.pretrain(data, encoder=net, size=16, steps=1, out=tmp_path / "fresh", **HOW)
    assert run.recipe.statistics == "data"
    before = {name: value.clone() for name, value in net.state_dict().items() if "running" in name}
    taught = selftaught.pretrain(data, encoder=net, size=16, steps=1, out=tmp_path / "taught", **HOW)
    assert taught.recipe.statistics == "init"
    assert same({n: v for n, v in net.state_dict().items() if "running" in n}, before)


def test_there_must_be_some_to_keep(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--statistics init is for weights that know something already"):
        selftaught.pretrain(data, statistics="init", steps=1, out=tmp_path / "run", **HOW)


def test_public_weights_beside_a_run_keep_theirs_where_they_are_fine_tuned(warm: Run, theirs: Path) -> None:
    shown = warm.encoder().preparation
    for source in (theirs, theirs / "model.safetensors"):
        public, _ = load_pretrained(str(source), Part(name="test_resnet", options={"stem": "timm"}), shown)
        assert batch_norms(public) and not norms_of(public)
        assert not any(norm.training for norm in batch_norms(public.train()))
    other, line = load_pretrained(str(theirs / "model.safetensors"), Part(name="test_resnet"), shown)
    assert ("fresh" in line) == bool(norms_of(other))
