"""Features by several devices: every batch is the one that a single device has, and so is what is made of it."""

import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

from selftaught.contracts.encoder import Encoder
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.samples import open_samples
from selftaught.judging.inside import tokens
from selftaught.judging.opening import open_labelled
from selftaught.judging.shown import taken
from selftaught.run.recipes import Evaluate
from selftaught.system.components import Part
from selftaught.system.errors import Interrupted
from selftaught.system.interruption import stopping
from selftaught.training.looking import features as looking
from selftaught.training.looking.features import estimate_norms, features, in_order, of_batches, over
from tests.judging.test_evaluate import Run, run, stripes

CPUS = [torch.device("cpu")] * 3
__all__ = ["run"]  # a fixture


@pytest.fixture(autouse=True)
def short_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "BATCH", 9)


def test_three_devices_make_the_very_features_of_one(tmp_path: Path) -> None:
    images = open_samples(stripes(tmp_path / "a.npz", 70, 0))  # batches that fill no round, and a last short one
    encoder = estimate_norms(build_encoder(Part(name="test_resnet"), images.preparation), images)
    data = open_labelled(Evaluate.parse({"run": "run", "train": str(tmp_path / "a.npz")}), images.preparation)

    def made() -> list[Tensor]:
        shown = taken(encoder, [images], (), lambda done: None, 70)
        own = torch.from_numpy(features(encoder, images))
        return [own, tokens("trained", encoder, data)[0], *map(torch.from_numpy, shown.values())]

    one = made()
    with over(CPUS):
        three = made()
    assert len(one) == len(three) > 3 and all(map(torch.equal, one, three))


def test_each_device_has_a_copy_of_its_own_and_a_turn(tmp_path: Path) -> None:
    images = open_samples(stripes(tmp_path / "a.npz", 70, 0))
    encoder = build_encoder(Part(name="test_resnet"), images.preparation)

    def seen(own: Encoder, x: Tensor) -> tuple[int, str, bool]:
        return id(own), threading.current_thread().name, torch.is_grad_enabled()

    with over(CPUS):
        turns = list(of_batches(encoder, images, seen))
    assert len(turns) == 8 and len(set(turns)) == 3 and turns[:3] == turns[3:6]
    assert turns[0][0] == id(encoder) and not any(grad for *_, grad in turns)


def test_a_fault_and_a_stop_reach_whoever_asks() -> None:
    def failing(item: int) -> int:
        if item == 4:
            raise ValueError("the fifth")
        return item

    found = []
    with pytest.raises(ValueError, match="the fifth"):
        found.extend(in_order([failing] * 2, range(100)))
    assert found == [0, 1, 2, 3]

    with stopping(1e-9), pytest.raises(Interrupted):
        list(in_order([failing] * 2, range(2)))


def test_an_evaluation_by_two_devices_is_that_of_one(run: Run, tmp_path: Path) -> None:
    train, out = stripes(tmp_path / "a.npz", 40, 1), tmp_path / "out.json"
    how = {"probe": "knn", "labels": "2", "repeats": 1, "out": out}
    one, two = (run.evaluate(train, devices=devices, **how) for devices in ("auto", 2))
    assert one.rows == two.rows
