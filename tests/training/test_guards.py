"""Numbers watched: a batch that spoils a step is left out and named, and a row of them ends the run in a good state."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import selftaught
from selftaught.errors import DivergedError
from selftaught.methods.contrastive.distillation.byol import BYOL
from selftaught.methods.self_prediction.augmented.rotation import Rotation
from selftaught.training.guards import refuse_many

QUICK: dict[str, Any] = {
    "encoder": "test_resnet",
    "steps": 8,
    "batch_size": 8,
    "log_every": 1,
    "checkpoint_every": "2",
    "precision": "32-true",
    "layout": "contiguous",
}


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 255, (24, 16, 16, 3), dtype=np.uint8))
    return tmp_path / "noise.npy"


def good(run: selftaught.Run) -> bool:
    return all(value.isfinite().all() for value in run.encoder().state_dict().values())


@pytest.mark.parametrize("method", ["rotation", "byol"])
def test_a_bad_batch_is_left_out_and_named(
    method: str, noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    cls = {"rotation": Rotation, "byol": BYOL}[method]
    forward, calls = cls.forward, []

    def spoilt(self: Any, *views: torch.Tensor) -> dict[str, torch.Tensor]:
        calls.append(self.training)
        bad = calls.count(True) == 3 and self.training  # the third training step
        return forward(self, *(view * (torch.nan if bad else 1) for view in views))

    monkeypatch.setattr(cls, "forward", spoilt)
    run = selftaught.pretrain(noise, method=method, out=str(tmp_path / "run"), **QUICK)
    (line,) = map(json.loads, (run.folder / "bad_batches.jsonl").read_text().splitlines())
    assert line["step"] == 3 and line["loss"] == "nan" and len(line["samples"]) == 8
    assert run.metrics()[2]["loss"] is None and all(m["loss"] for i, m in enumerate(run.metrics()) if i != 2)
    assert run.status["state"] == "done" and good(run)
    assert "step 3 was left out" in capsys.readouterr().err


def test_a_step_left_out_changes_nothing(noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, batch norm's statistics, the teacher and the optimiser are those of the step before."""
    forward, after, late = BYOL.forward, BYOL.after_step, [False]

    def follow(self: BYOL, progress: float) -> None:
        after(self, progress)
        late[0] = progress >= 0.5

    def spoilt(self: BYOL, *views: torch.Tensor) -> dict[str, torch.Tensor]:
        return forward(self, *(view * (torch.nan if late[0] and self.training else 1) for view in views))

    monkeypatch.setattr(BYOL, "after_step", follow)
    monkeypatch.setattr(BYOL, "forward", spoilt)
    how = {**QUICK, "steps": 6, "checkpoint_every": "3"}
    run = selftaught.pretrain(noise, method="byol", out=str(tmp_path / "run"), **how)
    assert run.bad_steps() == [4, 5, 6]
    before, since = (
        {k: v for name in ("model", "optimizer") for k, v in load_file(folder / f"{name}.safetensors").items()}
        for folder in (run.checkpoints / "step_0000003", run.checkpoints / "step_0000006")
    )
    assert before.keys() == since.keys() and len(before) > 100
    assert all(torch.equal(value, since[key]) for key, value in before.items())


def test_too_many_bad_steps_end_the_run_with_the_last_good_state(
    noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Rotation.forward

    def spoilt(self: Rotation, *views: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: term * torch.nan for name, term in forward(self, *views).items()}

    monkeypatch.setattr(Rotation, "forward", spoilt)
    with pytest.raises(DivergedError, match="4 steps in a row") as ended:
        selftaught.pretrain(noise, method="rotation", out=str(tmp_path / "run"), **QUICK)
    run = selftaught.Run.open(tmp_path / "run")
    assert ended.value.exit_code == 4 and run.status["state"] == "diverged" and run.status["exit_code"] == 4
    assert run.bad_steps() == [1, 2, 3, 4] and good(run)


def test_the_budget_of_bad_steps() -> None:
    refuse_many([3, 4, 5], 5)
    refuse_many([1, 2, 3, 5], 5)
    refuse_many(list(range(10, 110, 10)), 100)
    with pytest.raises(DivergedError, match="4 steps in a row"):
        refuse_many([2, 3, 4, 5], 5)
    with pytest.raises(DivergedError, match="11 of 110 steps"):
        refuse_many(list(range(10, 120, 10)), 110)
    refuse_many(list(range(100, 2100, 100)), 2000)
    with pytest.raises(DivergedError, match="21 of 2000 steps"):
        refuse_many([*range(100, 2000, 100), 1999, 2000], 2000)
