"""Learning watched without labels: alarms where a network collapses or stays at chance, silence where it learns."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import selftaught
from selftaught.methods.contrastive.distillation.byol import BYOL
from selftaught.methods.contrastive.distillation.dino import DINO
from selftaught.methods.contrastive.distillation.simsiam import SimSiam
from selftaught.methods.objectives.distillation import negative_cosine
from selftaught.run.recipes import Pretrain
from selftaught.system.errors import DivergedError, Interrupted
from selftaught.system.interruption import Stop
from selftaught.training.following import Follower
from selftaught.training.job import prepare
from selftaught.training.looking import health as module_of_health
from selftaught.training.looking.features import estimate_norms, features
from selftaught.training.looking.health import ALIKE, VIEWS, Health, verdict, watched
from selftaught.training.resolve import open_data, resolve
from tests.networks import HALVED, NARROW

HOW: dict[str, Any] = {
    "encoder": HALVED,
    "limit": 200,
    "batch_size": 32,
    "epochs": 8,
    "precision": "32-true",
    "layout": "contiguous",
}
START = {"feature_spread": 0.2}


def looks(*answers: float, spread: float = 0.2, loss: float = 1.0) -> list[dict[str, float]]:
    return [{"feature_spread": spread, "answer_spread": answer, "loss": loss} for answer in answers]


def without_a_reason_to_differ(self: BYOL | SimSiam, *views: torch.Tensor) -> dict[str, torch.Tensor]:
    """With neither predictor nor stopped gradient: agreement, and nothing that opposes it."""
    a, b = self.projector(self.encoder(torch.cat(views))).chunk(2)
    return {"cosine": 4 + 4 * negative_cosine(a, b)}


def without_a_norm(self: SimSiam, *views: torch.Tensor) -> dict[str, torch.Tensor]:
    """Nor with the last batch norm, which keeps features apart by itself."""
    self.projector[-1] = torch.nn.Identity()
    return without_a_reason_to_differ(self, *views)


def without_centring(self: DINO, progress: float) -> None:
    self.teacher.follow(self.encoder, self.head, momentum=0.99)


def test_what_scores_say() -> None:
    assert verdict(looks(0.3, 0.2, 0.1, 0.07), START, None)[0] == "learning"
    assert verdict(looks(0.04, 0.04), START, None)[0] == "learning"  # a dip at the start is no collapse
    assert verdict(looks(0.04, 0.3, 0.04, 0.04), START, None)[0] == "learning"
    assert verdict(looks(*[0.05] * 5), START, None)[0] == "learning"  # a quarter, which many classes come down to
    state, told = verdict(looks(0.3, 0.04, 0.04, 0.04), START, None)
    assert state == "collapsing" and "spread 0.040 where features spread 0.200" in told
    state, told = verdict(looks(0.3, spread=0.01), START, None)
    assert state == "collapsing" and "features crowd together (spread 0.05" in told
    ranked = [{**look, "rankme": rank} for look, rank in zip(looks(*[0.3] * 5), (80.0, 20.0, 7.0, 7.0, 7.5))]
    assert verdict(ranked[:4], START, None)[0] == "learning"
    state, told = verdict(ranked, START, None)
    assert state == "collapsing" and "7.5 directions of 80.0" in told
    assert verdict(ranked[1:], {**START, "rankme": 14.0}, None)[0] == "learning"
    assert verdict(ranked[2:], {**START, "rankme": 90.0}, None)[0] == "collapsing"
    assert verdict(looks(*[0.3] * 4, loss=1.0), START, 1.0)[0] == "learning"  # too early to say
    assert verdict(looks(*[0.3] * 5, loss=0.98), START, 1.0)[0] == "learning"
    assert verdict(looks(*[0.3] * 5, loss=1.0), START, None)[0] == "learning"
    state, told = verdict(looks(*[0.3] * 5, loss=1.0), START, 1.0)
    assert state == "at chance" and "for 5 looks" in told


def test_weights_that_stay_are_not_called_learning() -> None:
    still = [{**look, "weights_moved": 2e-5} for look in looks(*[0.3] * 4)]
    state, told = verdict(still, START, None, 1e-9)
    assert state == "hardly moving" and "raise --lr (now 1e-09)" in told and "by 2e-05 of their size" in told
    assert verdict(still[:2], START, None, 1e-9)[0] == "learning"  # too early to say
    assert verdict(still, START, None, None)[0] == "learning"  # the learning rate has not been reached
    assert verdict([*still, {**still[0], "weights_moved": 0.01}], START, None, 1e-3)[0] == "learning"
    falling = [{**look, "loss": loss} for look, loss in zip(still, (1.0, 0.8, 0.7, 0.6))]
    assert verdict(falling, START, None, 1e-9)[0] == "learning"


def test_a_learning_rate_near_nothing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    how = {**HOW, "method": "simclr", "lr": 1e-9, "epochs": 5}
    run = selftaught.pretrain("sklearn:digits", out=str(tmp_path / "run"), **how)
    assert "the weights hardly move" in run.status["verdict"] and "(now 1e-09)" in run.status["verdict"]
    assert capsys.readouterr().err.count("raise --lr") == 1


def test_weights_that_no_step_has_moved_have_learnt_nothing() -> None:
    same = [{**look, "weights_moved": 0.0} for look in looks(0.3)]
    state, told = verdict(same, START, None, 1e-3)
    assert state == "hardly moving" and told.startswith("nothing is learnt: the encoder's weights are as they were")
    assert verdict(same, START, None, None)[0] == "learning"  # the learning rate has not been reached
    assert verdict([{**same[0], "weights_moved": 0.01}, *same], START, None, 1e-3)[0] == "learning"


def test_a_single_step_is_said_to_teach_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    how = {**HOW, "method": "simclr", "limit": 64, "epochs": None}
    one = selftaught.pretrain("sklearn:digits", out=str(tmp_path / "one"), steps=1, **how)
    said = capsys.readouterr().err
    assert "training 1 step of 32 " in said and "a rate of 0 in each of them, so the encoder learns nothing" in said
    assert one.status["verdict"].startswith("nothing is learnt") and one.status["state"] == "done"
    two = selftaught.pretrain("sklearn:digits", out=str(tmp_path / "two"), steps=2, **how)
    assert "learns nothing" not in capsys.readouterr().err and two.status["verdict"] == "learning"


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lars"])
def test_another_optimiser_has_a_rate_that_moves_the_weights(optimizer: str, tmp_path: Path) -> None:
    how = {**HOW, "method": "simsiam" if optimizer == "adamw" else "simclr", "training": {"optimizer": optimizer}}
    if optimizer == "lars":  # which takes longer to get going
        how |= {"limit": 400, "batch_size": 64}
    else:
        how["epochs"] = 4
    run = selftaught.pretrain("sklearn:digits", out=str(tmp_path / "run"), **how)
    moved = [line["health"]["weights_moved"] for line in run.metrics() if "health" in line]
    assert moved[-1] > 2e-3 and run.status["verdict"] == "learning"


def test_a_collapse_is_said_aloud_and_ends_the_run_where_that_is_wished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(BYOL, "forward", without_a_reason_to_differ)
    how = {**HOW, "encoder": NARROW, "method": "byol"}
    run = selftaught.pretrain("sklearn:digits", out=str(tmp_path / "warned"), **how)
    assert run.status["state"] == "done" and run.status["verdict"].startswith("collapsing")
    assert capsys.readouterr().err.count("warning: step") == 1
    with pytest.raises(DivergedError, match="collapsing") as ended:
        selftaught.pretrain("sklearn:digits", on_collapse="stop", out=str(tmp_path / "ended"), **how)
    assert ended.value.exit_code == 4
    ended_run = selftaught.Run.open(tmp_path / "ended")
    assert ended_run.status["state"] == "diverged" and ended_run.checkpoints.joinpath("last").exists()
    assert max(line["step"] for line in ended_run.metrics()) <= 7 * (200 // 32)


@pytest.mark.parametrize(
    ("method", "part", "broken"),
    [(SimSiam, "forward", without_a_norm), (DINO, "after_step", without_centring)],
    ids=["simsiam", "dino"],
)
def test_what_keeps_a_method_from_collapse_is_missed(
    method: Any, part: str, broken: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(method, part, broken)
    how = {**HOW, "limit": 600, "batch_size": 100, "epochs": 6, "training": {"optimizer": "adamw", "lr": 2e-3}}
    how["on_collapse"] = "stop"
    if method is DINO:
        del how["training"]
    with pytest.raises(DivergedError, match="collapsing"):  # and no more is trained than it takes to see it
        selftaught.pretrain("sklearn:digits", method=method.__name__.lower(), out=str(tmp_path / "run"), **how)


def test_a_network_that_cannot_learn_is_told_so(tmp_path: Path) -> None:
    method = {"name": "simclr", "options": {"temperature": 100.0}}
    run = selftaught.pretrain("sklearn:digits", method=method, out=str(tmp_path / "run"), **{**HOW, "epochs": 5})
    assert run.status["verdict"].startswith("at chance level for 5 looks")
    assert run.status["chance"] == pytest.approx(np.log(63))


@pytest.mark.parametrize("method", ["byol", "rotation"])
def test_a_network_that_learns_is_left_alone(method: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = selftaught.pretrain("sklearn:digits", method=method, out=str(tmp_path / "run"), **HOW)
    assert run.status["verdict"] == "learning" and "warning" not in capsys.readouterr().err
    scored = [line for line in run.metrics() if "health" in line]
    assert [line["step"] for line in scored] == [6 * epoch for epoch in range(1, 9)]
    told = [line["health"]["answer_spread"] / line["health"]["feature_spread"] for line in scored]
    assert min(told) > 2 * ALIKE, "answers tell samples apart from the first look on, as far as features do"
    wanted = {"feature_spread", "rankme", "alpha_req", "alignment", "uniformity", "answer_spread", "answer_rank"}
    wanted.add("weights_moved")
    assert set(scored[0]["health"]) == wanted | ({"teacher_distance"} if method == "byol" else set())
    told = json.loads((run.folder / "status.json").read_text())["health"]
    assert told.keys() - scored[-1]["health"].keys() == {"lidar", "idest"}  # which are only taken at the end
    assert told.items() >= scored[-1]["health"].items()


def test_maps_are_no_answers_that_could_be_too_much_alike(tmp_path: Path) -> None:
    """What colours a place may have is told mostly alike of all pictures: the commonest colours everywhere."""
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 255, (64, 32, 32, 3), dtype=np.uint8))
    how = {**HOW, "size": 16, "limit": 64, "batch_size": 16, "epochs": 4, "method": "colorization"}
    run = selftaught.pretrain(str(tmp_path / "noise.npy"), out=str(tmp_path / "run"), **how)
    looked = [line for line in run.metrics() if "health" in line]
    assert len(looked) == 4 and all(line["verdict"] == "learning" for line in looked)
    assert not any("answer_spread" in line["health"] for line in looked)


@pytest.mark.parametrize("method", ["moco", "swav", "deepcluster", "dino", "tico", "pirl", "data2vec"])
def test_a_look_changes_nothing(method: str, tmp_path: Path) -> None:
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 255, (64, 32, 32, 3), dtype=np.uint8))
    encoder = "test_vit" if method == "data2vec" else HALVED
    recipe = Pretrain.parse(
        {"data": str(tmp_path / "noise.npy"), "method": method, "encoder": encoder, "batch_size": 16}
    )
    samples = open_data(recipe, Stop())
    job = prepare(resolve(recipe.model_copy(update={"precision": "32-true"}), samples), samples, None)
    before = {key: value.clone() for key, value in job.method.state_dict().items()}
    state = torch.random.get_rng_state()
    health = Health(job)
    first = health.look()
    assert health.look() == first
    assert all(torch.equal(value, job.method.state_dict()[key]) for key, value in before.items())
    assert torch.equal(state, torch.random.get_rng_state()) and job.method.training


def test_a_closer_look_makes_nothing_again_that_a_look_at_the_same_weights_has_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 255, (16, 16, 16, 3), dtype=np.uint8))
    recipe = Pretrain.parse({"data": str(tmp_path / "noise.npy"), "encoder": NARROW.model_dump(), "batch_size": 8})
    samples = open_data(recipe, Stop())
    job = prepare(resolve(recipe.model_copy(update={"precision": "32-true"}), samples), samples, None)
    drawn: list[int] = []

    def noted(*given: Any, draw: int = 0, **told: Any) -> Any:
        drawn.append(draw)
        return features(*given, draw=draw, **told)

    monkeypatch.setattr(module_of_health, "features", noted)
    alone = Health(job).closer_look()
    assert drawn == [0, *range(VIEWS)]
    health = Health(job)
    health.look()
    drawn.clear()
    assert health.closer_look() == alone and drawn == [*range(2, VIEWS)]
    for weight in job.shown.encoder.parameters():
        torch.nn.init.normal_(weight)
    job.moves += 1
    drawn.clear()
    assert health.closer_look() != alone and drawn == [0, *range(VIEWS)]


def test_a_resumed_run_remembers_how_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = {**HOW, "method": "rotation", "epochs": 3, "checkpoint_every": "7", "log_every": 1}
    whole = selftaught.pretrain("sklearn:digits", out=str(tmp_path / "whole"), **how)
    follow = Follower.__call__

    def cut(self: Follower, step: int, terms: dict[str, torch.Tensor]) -> None:
        follow(self, step, terms)
        if step == 9:
            self.stop._signal = "SIGTERM"

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Follower, "__call__", cut)
        selftaught.pretrain("sklearn:digits", out=str(tmp_path / "cut"), **how)
    resumed = selftaught.pretrain("sklearn:digits", out=str(tmp_path / "cut"), resume=True, **how)
    assert resumed.status["health_at_start"] == whole.status["health_at_start"]
    told = [
        [(line["step"], line["mean_loss"], line["health"]) for line in run.metrics() if "health" in line]
        for run in (whole, resumed)
    ]
    assert told[0] == told[1] and len(told[0]) == 3


@pytest.mark.parametrize("method", ["jigsaw", "relative_location", "rotation"])
def test_an_encoder_is_exported_with_the_statistics_of_whole_samples(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow = Follower.__call__

    def cut(self: Follower, step: int, terms: dict[str, torch.Tensor]) -> None:
        self.stop._signal = "SIGTERM" if step == 3 else None  # nor does a stop keep it from that
        follow(self, step, terms)

    out, few = tmp_path / "run", {**HOW, "limit": 96, "batch_size": 32}
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Follower, "__call__", cut)
        selftaught.pretrain("sklearn:digits", out=str(out), method=method, size=32, map=0, **few)
    encoder = selftaught.load_encoder(out)
    given = {name: value.clone() for name, value in encoder.state_dict().items() if "running" in name}
    samples = open_data(Pretrain.load(out / "recipe.yaml"), Stop())
    measured = estimate_norms(encoder, samples.subset(watched(samples.count)[0])).state_dict()
    assert given and all(torch.allclose(value, measured[name], atol=1e-5) for name, value in given.items())
