"""The demo on tiny arms: the whole way from digits to a page."""

from pathlib import Path

import numpy as np
import pytest

from selftaught.commands import demo
from selftaught.run.recipes import Demo
from tests.networks import HALVED


def test_the_demo_goes_all_the_way_and_can_be_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = {"steps": 2, "size": 16, "precision": "32-true", "layout": "contiguous"}
    quick["encoder"] = HALVED
    arms = {"simclr": quick, "inpainting": quick}
    monkeypatch.setattr(demo, "ARMS", arms)
    monkeypatch.setattr(demo, "LABELS", "1")
    for _ in range(2):
        told = demo.demo(Demo(out=str(tmp_path)))
    assert Path(told["page"]).stat().st_size > 10_000 and len(told["runs"]) == 2
    assert {row["features"] for row in told["runs"][0]["rows"]} == {"trained", "untrained", "pixels"}
    train, test = (np.load(tmp_path / f"digits-{part}.npz") for part in ("train", "test"))
    assert len(train["x"]) == 1437 and len(test["x"]) == 360
    both = np.concatenate([train["x"], test["x"]]).reshape(1797, -1)
    assert len(np.unique(both, axis=0)) == 1797  # nothing is on both sides
    assert np.bincount(test["y"]).min() >= 34


def test_the_demos_own_arms_are_valid_recipes() -> None:
    from selftaught.run.recipes import Pretrain
    from selftaught.training.resolve import preflight

    for method, choices in demo.ARMS.items():
        preflight(Pretrain.parse({"data": "x", "method": method, **choices}), None)
