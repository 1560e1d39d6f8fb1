"""What computes uses the card, and comes to what the CPU does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import selftaught
from selftaught.judging.predict import predict
from selftaught.reporting.preview import answers
from selftaught.run.recipes import Preview
from selftaught.training.measuring import speed, trial
from tests.gpu.card import CARD, used
from tests.gpu.machine import FREE, beside_a_card
from tests.networks import HALVED
from tests.test_golden import data

SMALL = {"encoder": HALVED, "batch_size": 16, "precision": "32-true", "layout": "contiguous", "map": 0}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A run and a classifier made beside the card, and data."""
    folder = tmp_path_factory.mktemp("card")
    file = data(folder, "images", 0)
    with beside_a_card():
        run = selftaught.pretrain(file, method="simclr", steps=2, out=folder / "run", **SMALL)
        run.finetune(file, folder / "classifier", finetune={"epochs": 1})
    yield {"run": run, "file": file, "classifier": folder / "classifier"}


def test_embed_uses_the_card(known: dict[str, Any], tmp_path: Path) -> None:
    known["run"].embed(known["file"], tmp_path / "cpu.npz")
    with beside_a_card(), used() as operations:
        known["run"].embed(known["file"], tmp_path / "card.npz")
    assert operations["convolution"]
    assert np.array_equal(*(np.load(tmp_path / name)["features"] for name in ("cpu.npz", "card.npz")))


def test_a_network_of_ones_own_lies_where_it_lay_before_the_card(known: dict[str, Any], tmp_path: Path) -> None:
    own = nn.Sequential(nn.Conv2d(3, 8, 3, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    run = selftaught.pretrain(known["file"], steps=1, out=tmp_path / "run", **{**SMALL, "encoder": own})
    own.train()
    own[1].eval()
    with beside_a_card():
        for work in (
            lambda: run.embed(known["file"], tmp_path / "out.npz"),
            lambda: run.evaluate(known["file"], probe="knn", labels="5", repeats=1),
        ):
            with used() as operations:
                work()
            assert operations["convolution"]
            assert {x.device.type for x in own.state_dict().values()} == {"cpu"}
            assert [part.training for part in own] == [True, False, True, True, True]


def test_predict_uses_the_card(known: dict[str, Any]) -> None:
    expected = predict(known["classifier"], known["file"])
    with beside_a_card(), used() as operations:
        found = predict(known["classifier"], known["file"])
    assert operations["convolution"]
    assert np.array_equal(found.probabilities, expected.probabilities)


@pytest.mark.parametrize("probe", ["knn", "linear"])
def test_probes_judge_features_of_the_card(probe: str, known: dict[str, Any], tmp_path: Path) -> None:
    how = {"probe": probe, "labels": "5", "repeats": 1}
    expected = known["run"].evaluate(known["file"], out=tmp_path / "cpu.json", **how)
    with beside_a_card(), used() as operations:
        found = known["run"].evaluate(known["file"], out=tmp_path / "card.json", **how)
    assert operations["convolution"]
    assert [row.accuracy for row in found.rows] == [row.accuracy for row in expected.rows]


def test_preview_shows_what_a_method_that_starts_makes_of_samples(known: dict[str, Any]) -> None:
    own = {"data": str(known["file"]), "method": "deepcluster", "encoder": HALVED, "samples": 2}
    with beside_a_card():
        shown, _ = answers(Preview.parse(own))
    assert shown and all(type(picture) is torch.Tensor for picture in shown.values())


def test_memory_that_torch_keeps_for_itself_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with beside_a_card():
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 7)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 4)
        assert trial.free_memory(CARD) == FREE + 3


@pytest.mark.parametrize(("native", "tried"), [(True, {"bf16-mixed"}), (False, {"32-true"})])
def test_a_card_that_emulates_half_precision_is_not_asked_for_it(
    native: bool, tried: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = selftaught.run.recipes.Pretrain.parse({"data": "sklearn:digits", "method": "simclr"})
    with beside_a_card():
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native
        )
        ways = speed._candidates(recipe, recipe)  # type: ignore[arg-type]
    assert {way.precision for way in ways} == tried
