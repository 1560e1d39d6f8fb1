"""The step whose network is kept: chosen by a score, exported, told, and the same after a cut."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import selftaught
from selftaught.commands.python import Run
from selftaught.methods.contrastive.distillation.byol import BYOL
from selftaught.run import checkpoint
from selftaught.run.recipes import Pretrain
from selftaught.system.errors import UsageError
from selftaught.training.looking.choice import Choice
from selftaught.training.looking.health import ALIKE
from tests.networks import HALVED
from tests.training.test_health import without_a_reason_to_differ

HOW: dict[str, Any] = {
    "method": "simclr",
    "encoder": HALVED,
    "limit": 128,
    "batch_size": 32,
    "epochs": 5,
    "precision": "32-true",
    "layout": "contiguous",
    "checkpoint_every": "3",
    "choose": "alignment",  # which a network without a reason to tell samples apart has, so not the last step's
}
MEASURED = "running_mean", "running_var", "num_batches_tracked"  # of batch norm, anew at the export


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return selftaught.pretrain("sklearn:digits", out=str(tmp_path_factory.mktemp("choice") / "whole"), **HOW)


def exported(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.folder / "encoder" / "model.safetensors")


def looks(name: str, *scores: float, patience: int | None = None) -> Choice:
    recipe = Pretrain.parse({"data": "x", "choose": name, "patience": patience})
    choice = Choice(recipe)
    for i, score in enumerate(scores):
        choice.note(10 * i, {"rankme": abs(score), "idest": abs(score)}, sound=score > 0)
    return choice


def test_the_best_step_is_the_first_with_the_best_score() -> None:
    assert looks("rankme", 1, 3, 2, 3).best == 10 and looks("idest", 4, 3, 2, 2).best == 20
    assert looks("last", 1, 3, 2).best is None and looks("rankme").best is None
    assert looks("lidar", 1, 2).best is None  # never seen: none is chosen, and nothing fails


def test_a_step_that_may_be_collapsed_is_never_the_best() -> None:
    assert looks("idest", 4, -1, 3, -2).best == 20 and looks("rankme", -4, -1).best is None
    assert looks("idest", 4, -3, -2, -1, patience=3).settled and looks("idest", -3, -2, patience=2).settled


def test_a_run_without_a_sound_look_says_so_and_ends_as_its_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BYOL, "forward", without_a_reason_to_differ)  # answers are alike within the first epoch
    how = {**HOW, "method": "byol", "epochs": 3, "lr": 0.1}
    run = selftaught.pretrain("sklearn:digits", out=str(tmp_path / "run"), **how)
    scored = [line["health"] for line in run.metrics() if "health" in line]
    assert len(scored) == 3 and all(look["answer_spread"] < ALIKE * look["feature_spread"] for look in scored)
    assert run.status["chosen_step"] == run.status["steps"] == 12 and run.status["verdict"].startswith("collapsing")
    said = "warning: no look for --choose alignment found a sound network; the last step is kept"
    assert said in (run.folder / "run.log").read_text()
    assert json.loads((run.folder / "encoder" / "config.json").read_text())["selftaught"]["step"] == 12


def test_patience_counts_looks_since_the_best() -> None:
    assert not looks("rankme", 1, 3, 2, patience=2).settled and looks("rankme", 1, 3, 2, 2, patience=2).settled
    assert not looks("rankme", 1, 3, 2, 2, 4, patience=2).settled and not looks("rankme", 3, 2, 2, 2).settled


def test_patience_needs_a_score(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--patience needs a score to wait for: --choose alignment, alpha_req"):
        selftaught.pretrain("sklearn:digits", out=str(tmp_path / "run"), **{**HOW, "choose": "last"}, patience=2)
    assert not (tmp_path / "run").exists()


def test_what_is_exported_is_the_chosen_step_and_the_log_says_so(whole: Run) -> None:
    scored = {line["step"]: line["health"] for line in whole.metrics() if "health" in line}
    chosen = min(scored, key=lambda step: scored[step]["alignment"])
    assert chosen < max(scored) == 20, "this test needs a run whose last step is not the best"
    assert whole.status["steps"] == 20 and whole.status["chosen_step"] == chosen
    assert whole.status["health"].items() >= scored[chosen].items()
    assert whole.status["verdict"] == next(line["verdict"] for line in whole.metrics() if line["step"] == chosen)
    assert {"lidar", "idest"} <= whole.status["health"].keys()
    assert f"chosen   step {chosen} of 20, by its alignment of" in (whole.folder / "run.log").read_text()
    config = json.loads((whole.folder / "encoder" / "config.json").read_text())
    assert config["selftaught"]["step"] == chosen
    best = checkpoint.named(whole.checkpoints, "best")
    assert best and best.name == f"step_{chosen:07d}"
    kept, last = (checkpoint.load(path)[0]["model"] for path in (best, checkpoint.steps(whole.checkpoints)[-1]))
    learnt = {name: value for name, value in exported(whole).items() if not name.endswith(MEASURED)}
    assert len(learnt) > 10 and all(torch.equal(value, kept[f"encoder.net.{name}"]) for name, value in learnt.items())
    assert any(not torch.equal(value, last[f"encoder.net.{name}"]) for name, value in learnt.items())


def test_a_run_that_was_cut_chooses_the_same(whole: Run, tmp_path: Path) -> None:
    out = tmp_path / "cut"
    selftaught.pretrain("sklearn:digits", out=str(out), **{**HOW, "checkpoint_every": "6"})
    cut = Run(out)
    for path in checkpoint.steps(cut.checkpoints):
        if path.name > "step_0000018":
            shutil.rmtree(path)
    (cut.checkpoints / "last").write_text("step_0000018\n")
    (out / "encoder" / "model.safetensors").unlink()
    again = selftaught.pretrain("sklearn:digits", out=str(out), resume=True)
    assert again.status["chosen_step"] == whole.status["chosen_step"]
    assert all(torch.equal(value, exported(whole)[name]) for name, value in exported(again).items())


def test_a_chosen_checkpoint_that_is_damaged_gives_way_to_the_last(
    whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole.folder, tmp_path / "copy")
    copy = Run(tmp_path / "copy")
    best = checkpoint.named(copy.checkpoints, "best")
    assert best
    (best / "model.safetensors").write_bytes(b"half of it")
    again = selftaught.pretrain("sklearn:digits", out=str(copy.folder), resume=True)
    assert "warning: the best step cannot be read, so the last is kept" in capsys.readouterr().err
    assert again.status["chosen_step"] == 20


def test_patience_ends_a_run_for_good(tmp_path: Path) -> None:
    how = {**HOW, "patience": 2, "epochs": 40}
    run = selftaught.pretrain("sklearn:digits", out=str(tmp_path / "run"), **how)
    status = run.status
    assert status["state"] == "done" and status["steps"] == status["chosen_step"] + 2 * 4 < 160
    assert f"settled  at step {status['steps']}: alignment has not risen for 2 looks" in (
        (run.folder / "run.log").read_text()
    )
    before = (run.folder / "metrics.jsonl").read_bytes()
    again = selftaught.pretrain("sklearn:digits", out=str(tmp_path / "run"), resume=True, **how)
    assert (again.folder / "metrics.jsonl").read_bytes() == before and again.status["steps"] == status["steps"]


def test_a_score_that_takes_long_is_taken_at_every_look_that_chooses_by_it(tmp_path: Path) -> None:
    how = {**HOW, "choose": "lidar", "epochs": 2}
    run = selftaught.pretrain("sklearn:digits", out=str(tmp_path / "run"), **how)
    scored = [line["health"] for line in run.metrics() if "health" in line]
    assert len(scored) == 2 and all({"lidar", "idest", "rankme"} <= look.keys() for look in scored)
    assert run.status["health"] in scored
