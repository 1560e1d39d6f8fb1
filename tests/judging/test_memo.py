"""An evaluation that is cut while it fine-tunes goes on after the last whole network, to the same end."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from selftaught.commands.python import Run
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.samples import open_samples
from selftaught.judging.probes import finetune as probe
from selftaught.run.export import save_encoder
from selftaught.run.layout import UNFINISHED
from selftaught.system.errors import Interrupted
from tests.clocks import held
from tests.networks import HALVED

HOW: dict[str, Any] = {
    "probe": "knn,finetune",
    "labels": "4,100%",
    "repeats": 2,
    "finetune": {"epochs": 2, "batch_size": 10, "light": {"flip": 0}},
}
NETWORKS = 8  # two kinds of two draws, with each number of labels


def waves(file: Path, seed: int, count: int = 24) -> Path:
    """Two classes of noisy waves that lie or stand."""
    rng = np.random.default_rng(seed)
    wave = 100 * np.sin(np.arange(16) + rng.integers(0, 9, count)[:, None])
    y = np.arange(count) % 2
    x = 128 + np.where(y[:, None, None] == 0, wave[:, None, :], wave[:, :, None]) + rng.normal(0, 9, (count, 16, 16))
    np.savez(file, x=x.clip(0, 255).astype(np.uint8), y=y)
    return file


@pytest.fixture
def run(tmp_path: Path) -> Run:
    images = open_samples(waves(tmp_path / "some.npz", 0))
    torch.manual_seed(3)
    save_encoder(build_encoder(HALVED, images.preparation), HALVED, images.preparation, tmp_path / "encoder", {})
    (tmp_path / "recipe.yaml").write_text("data: some\n")
    return Run(tmp_path)


class Trainer:
    """Trains as the probe does, counts, and is stopped as it begins to train one more than it may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trained, self.most, self.own = 0, NETWORKS, probe.finetune
        monkeypatch.setattr(probe, "finetune", self)

    def __call__(self, *what: Any, **how: Any) -> Any:
        if self.trained == self.most:
            raise Interrupted("stopped by SIGTERM")
        self.trained += 1
        return self.own(*what, **how)


def judged(run: Run, **more: Any) -> Any:
    train, test = run.folder / "a.npz", run.folder / "b.npz"
    for seed, file in enumerate((train, test), 1):
        waves(file, seed)
    return run.evaluate(train, test, **{**HOW, **more})


def kept(run: Run) -> list[Path]:
    return sorted((run.folder / UNFINISHED).glob("*"))


def test_one_that_was_cut_trains_only_what_is_left_and_says_the_same(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = Trainer(monkeypatch)
    whole = judged(run)
    told = capsys.readouterr().err
    assert trainer.trained == NETWORKS and not (run.folder / UNFINISHED).exists()
    assert "fine-tuning: 4 networks, each trained for up to 4 steps" in told and "was cut" not in told
    trainer.trained, trainer.most = 0, 5
    with pytest.raises(Interrupted):
        judged(run)
    assert len(kept(run)) == 5 and len(list((run.folder / "evaluations").iterdir())) == 1
    kept(run)[0].write_bytes(b"half")  # what does not hold together is trained again
    trainer.trained, trainer.most = 0, NETWORKS
    again = judged(run)
    assert trainer.trained == NETWORKS - 4 and not (run.folder / UNFINISHED).exists()
    assert again == whole
    assert capsys.readouterr().err.count("what an evaluation before this had trained when it was cut") == 1


@pytest.mark.parametrize("other", [{"seed": 7}, {"finetune": {**HOW["finetune"], "lr": 0.01}}, {"labels": "3"}])
def test_what_is_kept_answers_no_other_question(run: Run, monkeypatch: pytest.MonkeyPatch, other: Any) -> None:
    trainer = Trainer(monkeypatch)
    trainer.most = 3
    with pytest.raises(Interrupted):
        judged(run)
    held_back = kept(run)
    trainer.trained, trainer.most = 0, NETWORKS
    judged(run, **other)
    assert trainer.trained == (4 if "labels" in other else NETWORKS)
    assert kept(run) == held_back  # they still serve the question that they are of


def test_other_weights_are_another_question(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(monkeypatch)
    trainer.most = 7  # of which some are of the untrained network, that stays as it is
    with pytest.raises(Interrupted):
        judged(run)
    images = open_samples(run.folder / "some.npz")
    torch.manual_seed(4)
    save_encoder(build_encoder(HALVED, images.preparation), HALVED, images.preparation, run.folder / "encoder", {})
    trainer.trained, trainer.most = 0, NETWORKS
    judged(run)
    assert 4 <= trainer.trained < NETWORKS


def test_where_nothing_can_be_kept_that_is_said_once(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = Trainer(monkeypatch)
    (run.folder / UNFINISHED).write_text("somebody's")
    judged(run, out=str(run.folder.parent / f"{run.folder.name}.json"))
    told = capsys.readouterr().err
    assert trainer.trained == NETWORKS and told.count("note: a cut would lose the networks trained so far") == 1
    assert (run.folder / UNFINISHED).read_text() == "somebody's"


def test_a_network_tells_how_far_it_is_and_how_long_the_rest_will_take(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    time, own = held(monkeypatch), probe.finetune

    def slowly(*what: Any, progress: Any, **how: Any) -> Any:
        def stepped(done: int, total: int) -> None:
            time.advance(10)
            progress(done, total)

        return own(*what, progress=stepped, **how)

    monkeypatch.setattr(probe, "finetune", slowly)
    judged(run, probe="finetune", labels="100%", repeats=1)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fine-tuning: ")]
    assert "fine-tuning: 0.5 of 2 networks, 1m 00s left" in lines, lines
    assert time.at == 1080


def test_a_run_with_something_unfinished_is_replaced_like_any_other(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trainer = Trainer(monkeypatch)
    trainer.most = 2
    with pytest.raises(Interrupted):
        judged(run)
    copy = tmp_path.parent / f"{tmp_path.name}-copy"
    shutil.copytree(run.folder, copy)
    (copy / UNFINISHED / "mine.txt").write_text("kept")
    trainer.trained, trainer.most = 0, NETWORKS
    judged(Run(copy))
    assert [file.name for file in (copy / UNFINISHED).iterdir()] == ["mine.txt"]
