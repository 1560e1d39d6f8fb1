"""Numbers watched: a batch that spoils a step is left out and named, and a row of them ends the run in a good state."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import selftaught
from selftaught.data.images.samples import open_samples
from selftaught.methods.contrastive.distillation.byol import BYOL
from selftaught.methods.self_prediction.augmented.rotation import Rotation
from selftaught.run.recipes import Pretrain
from selftaught.system.errors import DivergedError, OutOfMemory
from selftaught.training.guards import refuse_all, refuse_many
from selftaught.training.measuring import batch_size
from selftaught.training.pretrain import pretrain
from tests.networks import HALVED

QUICK: dict[str, Any] = {
    "encoder": HALVED,
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


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lars"])
def test_a_step_left_out_changes_nothing(
    optimizer: str, noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, batch norm's statistics, the teacher and the optimiser are those of the step before."""
    forward, after, late = BYOL.forward, BYOL.after_step, [False]

    def follow(self: BYOL, progress: float) -> None:
        after(self, progress)
        late[0] = progress >= 0.5

    def spoilt(self: BYOL, *views: torch.Tensor) -> dict[str, torch.Tensor]:
        return forward(self, *(view * (torch.nan if late[0] and self.training else 1) for view in views))

    monkeypatch.setattr(BYOL, "after_step", follow)
    monkeypatch.setattr(BYOL, "forward", spoilt)
    how = {**QUICK, "steps": 6, "checkpoint_every": "3", "training": {"optimizer": optimizer}}
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


def test_values_that_are_not_finite_are_named_before_a_learning_rate(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((64, 16, 16, 3), dtype=np.float32)
    opened = open_samples(x)
    x[::2] = np.nan  # after it was looked through, as of a file that somebody writes to
    command = Pretrain.parse({"data": "x", "method": "rotation", "out": str(tmp_path / "run"), **QUICK})
    with pytest.raises(
        DivergedError, match=r"samples of this step, such as \d+, hold values that are not fin"
    ) as ended:
        pretrain(command, opened=opened)
    assert "lower --lr" not in str(ended.value)


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


def test_a_learning_rate_is_to_blame_only_where_it_has_moved_something() -> None:
    with pytest.raises(DivergedError, match=r"4 steps in a row .* try a lower --lr$"):
        refuse_many([2, 3, 4, 5], 5)
    with pytest.raises(DivergedError, match=r"4 steps in a row .* look at the method and its options$"):
        refuse_many([1, 2, 3, 4], 4)


def test_a_run_that_ends_must_have_taken_a_step() -> None:
    refuse_all([], 0)
    refuse_all([2, 3], 3)
    with pytest.raises(DivergedError, match="its only step had a loss or gradient that is not finite"):
        refuse_all([1], 1)
    with pytest.raises(DivergedError, match=r"all of its 3 steps .* 1 samples of this step, such as a.png, hold"):
        refuse_all([1, 2, 3], 3, lambda: ["a.png"])


def test_out_of_memory_saves_the_last_whole_step_and_goes_on_exactly(
    noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = {**QUICK, "method": "rotation", "checkpoint_every": "1h"}
    whole = selftaught.pretrain(noise, out=str(tmp_path / "whole"), **how)
    forward, calls = Rotation.forward, []

    def large(self: Rotation, *views: torch.Tensor) -> dict[str, torch.Tensor]:
        terms = forward(self, *views)  # batch norm's statistics move before the memory is full
        calls.append(self.training)
        if self.training and calls.count(True) == 4:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory")
        return terms

    with (
        monkeypatch.context() as patch,
        pytest.raises(OutOfMemory, match=r"step 3 is kept: .* --batch-size 4") as ended,
    ):
        patch.setattr(Rotation, "forward", large)
        selftaught.pretrain(noise, out=str(tmp_path / "run"), **how)
    run = selftaught.Run.open(tmp_path / "run")
    assert ended.value.exit_code == 5 and run.status["state"] == "failed" and run.status["exit_code"] == 5
    resumed = selftaught.pretrain(noise, out=str(tmp_path / "run"), resume=True, **how)
    last, expected = (load_file(r.checkpoints / "step_0000008/model.safetensors") for r in (resumed, whole))
    assert all(torch.equal(value, last[key]) for key, value in expected.items())


def test_a_batch_that_cannot_fit_is_refused_with_one_that_does(
    noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_size, "free_memory", lambda device: 16_000_000)
    large = {**QUICK, "method": "rotation", "batch_size": 24, "size": 64}
    with pytest.raises(
        OutOfMemory, match=r"--batch-size 24 needs .* is free; use --batch-size (\d+), or --enc"
    ) as refused:
        selftaught.pretrain(noise, out=str(tmp_path / "run"), **large)
    assert refused.value.exit_code == 5 and not (tmp_path / "run").exists()
    fits = int(re.search(r"use --batch-size (\d+)", str(refused.value))[1])
    assert 2 <= fits < 24
    selftaught.pretrain(noise, out=str(tmp_path / "run"), **{**large, "batch_size": fits, "steps": 1})


def test_a_batch_that_nobody_named_is_taken_in_parts_that_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.random.default_rng(0).integers(0, 255, (96, 32, 32, 3), dtype=np.uint8)
    usual: dict[str, Any] = {**QUICK, "method": "rotation", "steps": 1, "batch_size": None}
    monkeypatch.setattr(batch_size, "ROWS", 4)
    found = []
    for free in (16_000_000, 1 << 40):
        monkeypatch.setattr(batch_size, "free_memory", lambda device, free=free: free)
        run = selftaught.pretrain(images, out=str(tmp_path / str(free)), **usual)
        found.append((run.recipe.batch_size, run.recipe.encode_chunk))
    (batch, chunk), roomy = found
    assert batch == 16 and chunk is not None and 2 <= chunk < batch and roomy == (batch, None)
    said = capsys.readouterr().err
    assert f"batch norm sees {chunk} samples of a device at a time at most, not the whole batch" in said
    assert (
        said.count("a batch of 16 needs ") == 1 and f": --encode-chunk {chunk} takes it in parts; --batch-size" in said
    )
