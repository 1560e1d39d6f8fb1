"""A run's own recipe.yaml as the settings of another: it begins such a run again, and what a flag changes follows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from selftaught.commands.cli import run_command
from selftaught.methods.self_prediction.augmented.rotation import Rotation
from selftaught.run.folder import RunFolder
from selftaught.run.recipes import Pretrain
from selftaught.system.components import Part
from selftaught.training import resolve
from selftaught.training.handed_over import handed_over
from tests.clocks import held, steps_take
from tests.networks import HALVED, as_words

WAY = {"precision": "32-true", "layout": "contiguous", "attention": "fused", "map": 0}
TOLD = as_words({"method": "rotation", "encoder": HALVED, "batch_size": 8, "size": 16, **WAY})
SHORT = {"method": "rotation", "steps": 1, "batch_size": 4, "size": 32, **WAY}
BEGUN = [*TOLD, "--steps", "1"]


@pytest.fixture(scope="module")
def array(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("data") / "noise.npy"
    np.save(file, np.random.default_rng(0).integers(0, 255, (8, 16, 16, 3), dtype=np.uint8))
    return str(file)


def made(array: str, out: Path, *words: str) -> Pretrain:
    assert run_command(["pretrain", array, "--out", str(out), *words]) == 0
    return RunFolder(out).recipe


@pytest.mark.parametrize("length", ["", "--epochs=2", "--steps=3", "--budget=20s"])
def test_such_a_run_is_begun_again_and_foreseen(
    length: str, array: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(resolve, "SAMPLES_BY_DEFAULT", 0)  # so that as few epochs are usual as ever are
    steps_take(lambda: 1.0, Rotation, held(monkeypatch), monkeypatch)
    first = made(array, tmp_path / "first", *TOLD, *filter(None, [length]))
    file = str(tmp_path / "first" / "recipe.yaml")
    again = made(array, tmp_path / "again", "--recipe", file)
    assert again.model_copy(update={"out": first.out}) == first
    assert made(array, tmp_path / "other", "--recipe", file, "--steps", "2").steps == 2
    capsys.readouterr()
    for words in ([array, "--recipe", file], [file, "--samples", "8"]):
        assert run_command(["plan", *words, "--json"]) == 0
        foreseen = json.loads(capsys.readouterr().out)["steps"]
        assert foreseen == first.steps or (length.startswith("--budget") and foreseen > 1)


def test_two_lengths_by_hand_stay_a_mistake(array: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("method: rotation\nepochs: 2\nsteps: 3\n")
    assert run_command(["pretrain", array, "--recipe", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "r")]) == 2
    file = tmp_path / "mine.yaml"
    said = f"--recipe {file}: give one of --epochs and --steps, not both; leave steps out of it"
    assert said in capsys.readouterr().err


def test_a_flag_counts_where_the_file_says_the_setting_by_its_other_name() -> None:
    mine = {"lr": 0.01, "training": {"batch_size": 8, "warmup": 0.2}}
    assert handed_over(mine, {"training.lr"}) == {"training": {"batch_size": 8, "warmup": 0.2}}
    assert handed_over(mine, {"batch_size"}) == {"lr": 0.01, "training": {"warmup": 0.2}}
    assert handed_over(mine, {"lr"}) == mine
    plan = {"fingerprint": "f", "lr": 0.01, "batch_size": None, "training": {"lr": 0.5, "batch_size": 8}}
    assert handed_over(plan) == {"lr": 0.01, "batch_size": None, "training": {"batch_size": 8}}, "as it counted"


@pytest.mark.parametrize(
    ("began", "flags"),
    [
        (["--init", "RUN", "--preset", "warm"], ["--preset", "own"]),
        (["--init", "RUN", "--preset", "warm", "--training.clip", "2"], ["--method", "simclr"]),
        (["--init", "RUN"], ["--preset", "warm"]),
        (["--training.optimizer", "sgd"], ["--training.optimizer", "adamw"]),
        (["--training.optimizer", "sgd", "--training.weight_decay", "0.3"], ["--training.optimizer", "lars"]),
        ([], ["--init", "RUN", "--preset", "warm"]),
    ],
)
def test_a_pace_that_nobody_named_follows_what_is_named_now(
    began: list[str], flags: list[str], array: str, tmp_path: Path
) -> None:
    made(array, tmp_path / "known", *BEGUN)
    began, flags = ([str(tmp_path / "known") if word == "RUN" else word for word in words] for words in (began, flags))
    made(array, tmp_path / "begun", *BEGUN, *began)
    changed = made(array, tmp_path / "changed", "--recipe", str(tmp_path / "begun" / "recipe.yaml"), *flags)
    kept = [word for word in BEGUN if "--method" not in flags or word != "--method=rotation"]
    others = [word for pair in zip(began[::2], began[1::2]) if pair[0] not in flags for word in pair]
    fresh = made(array, tmp_path / "fresh", *kept, *others, *flags)
    assert (changed.training, changed.preset) == (fresh.training, fresh.preset)


def test_weights_to_start_from_bring_what_is_theirs(array: str, tmp_path: Path) -> None:
    begun = made(array, tmp_path / "begun", *BEGUN).model_dump(mode="json")
    told = handed_over(begun, {"init"})
    assert not {"preset", "normalise", "statistics"} & told.keys() and told["steps"] == 1
    assert handed_over({**begun, "init": "theirs", "preset": "warm"}, {"init"})["preset"] == "warm"
    assert handed_over({"preset": "own", "epochs": 3}, {"init"}) == {"preset": "own", "epochs": 3}  # somebody's own


def test_a_pace_of_a_method_that_is_not_here_is_kept_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    plan = {
        "data": "x",
        "fingerprint": "f",
        "method": {"name": "python:Mine"},
        "training": {"lr": 0.3},
        "preset": "own",
    }
    assert handed_over(plan, {"method"})["training"] == {"lr": 0.3}
    assert "python:Mine is not here: the pace of its run is kept" in capsys.readouterr().err


def test_an_option_that_did_nothing_in_a_run_is_left_out_of_its_recipe(
    array: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an early version took it, whose encoders of torchvision had no drop_path either."""
    first = made(array, tmp_path / "first", *as_words({**SHORT, "encoder": Part(name="torchvision/resnet18")}))
    file = changed_in(tmp_path / "first", "encoder", {"drop_path": 0.1})
    assert made(array, tmp_path / "again", "--recipe", str(file)).encoder == first.encoder
    assert "note: encoder.drop_path did nothing in the run of this recipe.yaml" in capsys.readouterr().err
    words = [array, "--recipe", str(file), "--encoder.drop_path", "0.2", "--out", str(tmp_path / "r")]
    assert run_command(["pretrain", *words]) == 2  # which is this command's own


def test_an_option_that_is_refused_now_is_said_with_the_file_that_has_it(
    array: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(array, tmp_path / "run", *as_words({**SHORT, "method": "mae", "encoder": Part(name="test_vit")}))
    file = changed_in(tmp_path / "run", "method", {"decoder_depth": 0})
    reason = "method mae option 'decoder_depth' cannot be 0: it is a whole number from 1 to 512"

    def refused(*words: str) -> str:
        capsys.readouterr()
        assert run_command([*words]) == 2
        return " ".join(capsys.readouterr().err.split())

    out = ["--out", str(tmp_path / "new")]
    said = refused("pretrain", array, "--recipe", str(file), *out)
    assert f"error: --recipe {file}: {reason}; leave method.decoder_depth out of it" in said
    said = refused("pretrain", array, "--recipe", str(file), "--method.decoder_depth", "0", *out)
    assert f"error: {reason}" in said
    said = refused("preview", array, "--run", str(tmp_path / "run"), "--out", str(tmp_path / "page.html"))
    assert f"error: {file}: {reason}; the version that made this run took it: name the data without --run" in said
    said = refused("pretrain", array, "--resume", "--out", str(tmp_path / "run"))
    assert f"error: {file}: {reason}; no run with it can go on: start anew without it, in another --out" in said


def changed_in(run: Path, part: str, options: dict[str, Any]) -> Path:
    file = run / "recipe.yaml"
    plan = yaml.safe_load(file.read_text())
    plan[part]["options"] |= options
    file.write_text(yaml.safe_dump(plan))
    return file


def test_what_a_run_of_before_was_given_as_nothing_is_handed_over_as_nothing() -> None:
    kept = handed_over({"fingerprint": "1", "method": "simclr", "init": "", "groups": " "})
    assert Pretrain.parse({"data": "x", **kept}).init is None and kept == {"method": "simclr"}
    assert handed_over({"method": "simclr", "init": ""})["init"] == "", "which a person wrote, and is refused"
