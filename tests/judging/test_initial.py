"""What a run began with stands beside it: what others had learnt is not to its credit."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn

import selftaught
from selftaught.commands.python import Run
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.samples import open_samples
from selftaught.judging.result import Evaluation
from tests.networks import NARROW

HOW = {"precision": "32-true", "layout": "contiguous", "map": 0, "batch_size": 16, "method": "rotation", "steps": 1}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that somebody has trained with all the labels of the digits; beside them some digits to judge with."""
    folder, digits = tmp_path_factory.mktemp("theirs"), load_digits()
    for name, rows in (("train", slice(0, 300)), ("test", slice(300, 600))):
        np.savez(folder / f"{name}.npz", x=digits.images[rows].astype(np.uint8), y=digits.target[rows])
    samples = open_samples(folder / "train.npz")
    torch.manual_seed(0)
    encoder = build_encoder(NARROW, samples.preparation)
    network = nn.Sequential(encoder, nn.Linear(encoder.dim, 10)).train()
    x = samples.views(("plain",))(torch.arange(300), *samples.batch(np.arange(300)))[0]
    y, optimizer = torch.from_numpy(digits.target[:300]), torch.optim.AdamW(network.parameters(), 3e-3)
    for step in range(40):
        rows = torch.arange(300)[step % 5 :: 5]
        loss = F.cross_entropy(network(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save_file(encoder.net.state_dict(), folder / "theirs.safetensors")
    return folder


def idle(theirs: Path, out: Path) -> Run:
    """A run that begins with them and learns nothing."""
    how = {**HOW, "lr": 1e-12, "init": theirs / "theirs.safetensors", "encoder": NARROW}
    return selftaught.pretrain(theirs / "train.npz", out=out, **how)


@pytest.fixture(scope="module")
def run(theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return idle(theirs, tmp_path_factory.mktemp("idle") / "run")


def judged(run: Run, theirs: Path, **how: object) -> Evaluation:
    asked = {"probe": "linear", "labels": "5", **how}
    return run.evaluate(theirs / "train.npz", theirs / "test.npz", **asked)


def accuracies(result: Evaluation) -> dict[str, float]:
    return {row.features: row.accuracy for row in result.rows}


def test_learning_nothing_after_good_weights_is_no_help(run: Run, theirs: Path) -> None:
    result = judged(run, theirs)
    found = accuracies(result)
    assert found["trained"] == pytest.approx(found["initial"], abs=0.03) and found["initial"] > found["untrained"] + 0.1
    assert "initial weights" in result.verdict and "it helped" not in result.verdict
    assert result.initial == str(theirs / "theirs.safetensors")
    assert next(gain for gain in result.gains if gain.against == "initial").gain == pytest.approx(0, abs=0.03)


def test_of_an_older_run_they_are_read_again_and_said_to_be_missed(
    theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = idle(theirs, tmp_path / "run")
    kept = accuracies(judged(run, theirs))["initial"]
    (run.folder / "initial").rename(tmp_path / "aside")
    assert accuracies(judged(run, theirs))["initial"] == kept
    recipe = run.folder / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("theirs.safetensors", "gone.safetensors"))
    result = judged(run, theirs)
    assert "initial" not in accuracies(result) and result.initial is None
    assert "warning: what the run began with cannot be had" in " ".join(capsys.readouterr().err.split())


def test_fine_tuning_stands_beside_the_same_of_them(run: Run, theirs: Path) -> None:
    result = judged(run, theirs, probe="finetune", finetune={"epochs": 1}, repeats=1)
    assert set(accuracies(result)) == {"trained", "initial", "scratch"}


def test_a_network_of_the_users_may_have_learnt_before(theirs: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    weight = network[0].weight.detach().clone()
    how = {**HOW, "lr": 1.0, "steps": 4}
    run = selftaught.pretrain(theirs / "train.npz", encoder=network, out=tmp_path / "run", **how)
    began = selftaught.load_encoder(run.folder / "initial", module=network)
    assert torch.equal(began.net[0].weight, weight)
    run.encoder()  # a person's own network is filled where it is asked for, and by nothing else
    learnt = {name: x.clone() for name, x in network.state_dict().items()}
    assert not torch.equal(learnt["0.weight"], weight)
    network[0].weight.data.zero_()  # as that of a person who opens the run with a network that holds something else
    found = accuracies(judged(run, theirs))
    assert not network[0].weight.any()
    network.load_state_dict(learnt)
    (run.folder / "initial").rename(tmp_path / "aside")
    alone = accuracies(judged(run, theirs))
    assert found["trained"] == alone["trained"] != found["initial"] and "initial" not in alone
    run.finetune(theirs / "train.npz", tmp_path / "classifier", finetune={"epochs": 1})
    selftaught.predict(tmp_path / "classifier", theirs / "test.npz", module=network)
    assert all(torch.equal(x, learnt[name]) for name, x in network.state_dict().items())


def test_a_run_from_nothing_keeps_nothing_of_its_beginning(theirs: Path, tmp_path: Path) -> None:
    run = selftaught.pretrain(theirs / "train.npz", encoder=NARROW, out=tmp_path / "run", **HOW)
    assert not (run.folder / "initial").exists()
    assert set(accuracies(judged(run, theirs))) == {"trained", "untrained", "pixels"}
