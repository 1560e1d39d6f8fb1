"""Comparing methods: the same budget, honest choices, one that fails, and a comparison that was killed."""

import errno
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import selftaught
import tests
from selftaught.commands.cli import run_command
from selftaught.judging.bench import Bench
from selftaught.judging.entrants import entrants, methods_named, plan
from selftaught.methods.self_prediction.augmented.rotation import Rotation
from selftaught.methods.self_prediction.masked.mae import MAE
from selftaught.methods.self_prediction.perturbed.denoising import Denoising
from selftaught.run.recipes import Compare
from selftaught.system.components import Part
from selftaught.system.errors import DataError, Interrupted, SelftaughtError, UsageError
from selftaught.system.interruption import Stop
from selftaught.system.ownership import manifest_of
from selftaught.system.reading import json_lines
from selftaught.training.looking import health
from tests.children import Child, child, halt_in
from tests.clocks import held, steps_take
from tests.networks import HALVED, as_words

QUICK: dict[str, Any] = {
    "encoder": HALVED,
    "token_encoder": "test_vit",
    "epochs": 1,
    "precision": "32-true",
    "layout": "contiguous",
}
METHODS = "rotation,colorization,denoising,mae"  # colorization cannot work on grey digits
Split = tuple[Path, Path]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """128 labelled digits to learn from and 96 to judge on."""
    folder, (x, y) = tmp_path_factory.mktemp("digits"), load_digits(return_X_y=True)
    images = (x.reshape(-1, 8, 8) * 15).astype(np.uint8)
    np.savez(folder / "train.npz", x=images[:128], y=y[:128])
    np.savez(folder / "test.npz", x=images[128:224], y=y[128:224])
    return folder / "train.npz", folder / "test.npz"


def command(digits: Split, out: Path, **more: Any) -> dict[str, Any]:
    train, test = map(str, digits)
    told = {"methods": METHODS, "train": train, "test": test, "seeds": 1, "rungs": 2, "out": str(out)}
    told["features"] = "mean"  # alone: choosing among all would be most of the time
    return {"data": train, **QUICK, **told, **more}


@pytest.fixture(scope="module", autouse=True)
def views_of_the_program() -> Iterator[None]:
    """As many views in a closer look as processes of a comparison see, whose runs stand beside those made here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(health, "VIEWS", tests.VIEWS)
        yield


@pytest.fixture(scope="module")
def whole(digits: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("compare") / "whole"
    selftaught.compare(**command(digits, out))
    return out


def told(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "comparison.json").read_text())


def test_methods_are_named_by_name_family_and_kind() -> None:
    assert methods_named("simclr,mae,simclr") == ["simclr", "mae"]
    assert methods_named("masked, byol")[-1] == "byol" and "mae" in methods_named("masked")
    assert set(methods_named("self-prediction,contrastive")) == set(methods_named("all"))
    with pytest.raises(UsageError, match="no method, family or kind named 'contrastiv'; did you mean 'contrastive'"):
        methods_named("contrastiv")


def test_a_method_that_learns_from_a_teacher_is_named_or_has_one() -> None:
    assert "distill" not in methods_named("all") and "distill" in methods_named("all", taught=True)
    assert methods_named("distill") == ["distill"] and "distill" not in methods_named("distillation")


def test_a_teacher_is_of_those_who_learn_from_one(digits: Split, tmp_path: Path) -> None:
    teacher = selftaught.pretrain(str(digits[0]), method="rotation", encoder=HALVED, steps=1, out=str(tmp_path / "t"))
    how = command(digits, tmp_path / "both", teacher=str(teacher.folder), rungs=1)
    found = selftaught.compare(**{**how, "methods": "rotation,distill"})
    assert {ran.method: ran.state for ran in found.runs} == {"rotation": "done", "distill": "done"}
    taught = {ran.method: selftaught.Run.open(tmp_path / "both" / ran.run).recipe.teacher for ran in found.runs}
    assert taught == {"rotation": None, "distill": str(teacher.folder)}
    other = selftaught.pretrain(str(digits[0]), method="rotation", encoder=HALVED, steps=1, seed=1, out=tmp_path / "o")
    with pytest.raises(UsageError, match=r"cannot resume: --teacher .* is not what this run has learnt from"):
        selftaught.compare(data=how["data"], out=how["out"], teacher=str(other.folder), resume=True)
    with pytest.raises(UsageError, match="--teacher: no method of rotation learns from one; distill does"):
        selftaught.compare(**{**how, "methods": "rotation", "out": str(tmp_path / "none")})


def test_settings_of_one_method_are_compared_as_methods_are(digits: Split, tmp_path: Path) -> None:
    grid = "lr=1e-3,0.01; training.weight_decay=0.1"
    how = command(digits, tmp_path / "grid", methods="rotation", grid=grid, rungs=1)
    found = selftaught.compare(**how)
    names = {"rotation lr=0.001 training.weight_decay=0.1", "rotation lr=0.01 training.weight_decay=0.1"}
    assert {place.method for place in found.ranking} == names
    assert {place.family for place in found.ranking} == {"self_prediction"}
    for ran in found.runs:
        recipe = selftaught.Run.open(tmp_path / "grid" / ran.run).recipe
        assert recipe.lr == ran.settings["lr"] and recipe.training == {"weight_decay": 0.1}
    again = selftaught.compare(**{**how, "resume": True})
    assert [ran.run for ran in again.runs] == [ran.run for ran in found.runs]
    lines = tmp_path / "grid" / "comparison.jsonl"
    lines.write_text("".join(lines.read_text().splitlines(keepends=True)[:1]))  # a power cut may take the last
    trained = [(tmp_path / "grid" / ran.run / "metrics.jsonl").stat().st_mtime_ns for ran in found.runs]
    once_more = selftaught.compare(**{**how, "resume": True})
    assert once_more.runs == found.runs and once_more.ranking == found.ranking
    assert trained == [(tmp_path / "grid" / ran.run / "metrics.jsonl").stat().st_mtime_ns for ran in found.runs]


def test_settings_are_called_as_shortly_as_they_can_be_told_apart() -> None:
    def named(grid: str) -> list[str]:
        return [*entrants(Compare(data="x", methods="simclr", grid=grid))]

    assert named("lr=1e-3,0.0030,3e-05,0.001") == ["simclr lr=0.001", "simclr lr=0.003", "simclr lr=3e-05"]
    assert named("lr=0.1234567,0.1234568") == ["simclr lr=0.1234567", "simclr lr=0.1234568"]
    assert named("lr=0.3333333333333333") == ["simclr lr=0.3333333333333333"]


@pytest.mark.parametrize(
    ("methods", "grid", "said"),
    [
        ("simclr,byol", "lr=0.1,0.2", "--grid varies the settings of one method, and --methods names 2"),
        ("simclr", "temperature", "--grid cannot have 'temperature': it looks like"),
        ("simclr", "encoder.depth=1,2", "--grid cannot have 'encoder.depth=1,2'"),
        ("simclr", "method=0.1", "--grid cannot have 'method=0.1'"),
        ("simclr", "method.temperature=0", "method simclr option 'temperature' cannot be 0"),
        ("simclr", "method.nothing=1", "method simclr has no option 'nothing'"),
        ("simclr", "lr=0.001;lr=0.01", "--grid names lr twice: say all of its values in one place, lr=1,2"),
        (
            *("mae", "method.decoder=a b,a-b"),
            "--grid cannot have both 'mae method.decoder=a b' and 'mae method.decoder=a-b': their folders are the same",
        ),
        ("simclr", "lr=" + ",".join(["0.1"] * 101), "--grid names 101 settings; 100 are the most"),
    ],
)
def test_a_grid_that_cannot_be_is_refused_before_anything_runs(
    methods: str, grid: str, said: str, digits: Split, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as refused:
        selftaught.compare(**command(digits, tmp_path / "grid", methods=methods, grid=grid))
    assert said in str(refused.value) and not (tmp_path / "grid").exists()


def test_the_better_half_goes_on_with_twice_the_budget() -> None:
    assert plan(8, 3) == [(8, 0.25), (4, 0.5), (2, 1.0)]
    assert plan(36, 3) == [(36, 0.25), (18, 0.5), (9, 1.0)]
    assert plan(5, 9) == [(5, 0.25), (3, 0.5), (2, 1.0)]
    assert plan(2, 3) == [(2, 1.0)] and plan(1, 3) == [(1, 1.0)] and plan(9, 1) == [(9, 1.0)]


def test_every_method_gets_the_same_and_one_that_fails_says_why(whole: Path) -> None:
    found = told(whole)
    done = [ran for ran in found["runs"] if ran["state"] == "done"]
    assert {ran["steps"] for ran in done if ran["rung"] == 1} == {2}  # half an epoch of four steps
    assert {ran["steps"] for ran in done if ran["rung"] == 2} == {4}
    (failed,) = (ran for ran in found["runs"] if ran["state"] == "failed")
    assert failed["method"] == "colorization" and failed["exit_code"] == 2 and "needs colour images" in failed["reason"]
    assert found["state"] == "done" and len(found["ranking"]) == 3
    assert [place["rank"] for place in found["ranking"]] == [1, 2, 3]
    assert {place["method"]: (place["encoder"], place["tokens"]) for place in found["ranking"]} == {
        "rotation": ("test_resnet stem=half", False),
        "denoising": ("test_resnet stem=half", False),
        "mae": ("test_vit", True),
    }


def test_test_data_does_not_choose_who_goes_on(whole: Path) -> None:
    def accuracy(ran: dict[str, Any], rows: str) -> float:
        return next(row["accuracy"] for row in ran[rows] if row["features"] == "trained")

    found = told(whole)
    first, last = ([ran for ran in found["runs"] if ran["rung"] == rung and ran["state"] == "done"] for rung in (1, 2))
    by_folds = sorted(first, key=lambda ran: -accuracy(ran, "held_out"))
    assert found["rungs"][0]["kept"] == [ran["method"] for ran in by_folds][:2]
    assert {ran["method"] for ran in last} == set(found["rungs"][0]["kept"])
    assert all(ran["held_out"] != ran["judged"] and ran["tested"] == 96 for ran in first)
    assert all(ran["held_out"] for ran in last), "who leads is chosen there as well"
    finalists = [place["method"] for place in found["ranking"] if place["points"][-1]["rung"] == 2]
    assert finalists == [ran["method"] for ran in sorted(last, key=lambda ran: -accuracy(ran, "held_out"))]
    for place in found["ranking"]:
        (ran,) = (
            ran
            for ran in first + last
            if (ran["method"], ran["rung"]) == (place["method"], place["points"][-1]["rung"])
        )
        assert place["points"][-1]["value"] == accuracy(ran, "judged")


def test_what_the_test_set_has_as_well_does_not_choose_who_goes_on_either(
    digits: Split, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = (np.load(file) for file in digits)
    half, lines = tmp_path / "half.npz", tmp_path / "out" / "comparison.jsonl"
    np.savez(half, x=np.concatenate([train["x"][:64], test["x"]]), y=np.concatenate([train["y"][:64], test["y"]]))
    wanted = command((digits[0], half), tmp_path / "out", methods="rotation", rungs=1)

    def judged_on(rows: str) -> set[int]:
        return {row["samples"] for ran in told(tmp_path / "out")["runs"] for row in ran[rows]}

    selftaught.compare(**wanted)
    assert "64 images of --train are in --test as well; they are not learnt from" in capsys.readouterr().err
    assert judged_on("held_out") == {64} and judged_on("judged") == {160}

    settings = (tmp_path / "out" / "comparison.yaml").read_text()
    (tmp_path / "out" / "comparison.yaml").write_text(settings.replace("beyond_test: true\n", ""))  # as in earlier ones
    lines.unlink()
    selftaught.compare(wanted["data"], out=wanted["out"], resume=True)
    assert "64 of --train that --test has as well help to choose here" in capsys.readouterr().err
    assert judged_on("held_out") == {128} and judged_on("judged") == {160}


def test_baselines_are_made_once_an_encoder_and_stand_beside_all(whole: Path, digits: Split) -> None:
    runs = [ran for ran in told(whole)["runs"] if ran["state"] == "done"]
    assert all({row["features"] for row in ran["judged"]} == {"trained", "untrained", "pixels"} for ran in runs)
    alone = selftaught.evaluate(whole / runs[0]["run"], *digits, probe="linear", features="mean", repeats=1)
    assert [row.model_dump() for row in alone.rows] == runs[0]["judged"]


def test_the_folder_and_each_run_in_it_have_lists_of_their_own(whole: Path) -> None:
    known, runs = manifest_of(whole), [manifest_of(run) for run in (whole / "runs").iterdir()]
    assert known and known.kind == "comparison" and {path.name for path in whole.iterdir()} <= known.names
    assert runs and all(run and run.kind == "pretrain" for run in runs)
    assert len({known.id, *(run.id for run in runs if run)}) == 1 + len(runs)


def test_runs_leave_encoders_and_no_checkpoints(whole: Path) -> None:
    for ran in told(whole)["runs"]:
        if ran["state"] == "done":
            assert selftaught.load_encoder(whole / ran["run"]).dim > 0
            assert not (whole / ran["run"] / "checkpoints").exists()
    assert not list(whole.glob(".*~*")) and not (whole / "lock").exists()


def test_a_comparison_that_was_stopped_and_killed_goes_on_where_it_was(
    whole: Path, digits: Split, tmp_path: Path
) -> None:
    out = tmp_path / "cut"
    wanted = command(digits, out)
    flags = as_words({name: value for name, value in wanted.items() if name != "data"})
    lines = out / "comparison.jsonl"

    def begins(here: Child) -> int:
        halt_in(Denoising, 1, here)
        return run_command(["compare", wanted["data"], *flags])

    def goes_on(here: Child) -> int:
        halt_in(MAE, 2, here)
        return run_command(["compare", wanted["data"], "--out", str(out), "--resume"])

    with child(begins) as stopped:
        stopped.wait_for()
        stopped.kill(signal.SIGTERM)
        stopped.release()
        assert stopped.ended() == 75
    assert len(json_lines(lines)[0]) == 2 and told(out)["state"] == "running"

    with child(goes_on) as killed:
        killed.wait_for()
    assert len(json_lines(lines)[0]) == 3 and told(out)["state"] == "running"
    with lines.open("a") as stream:
        stream.write('{"method": "rota')  # as a power cut may leave it

    selftaught.compare(wanted["data"], out=str(out), resume=True)
    kept = [[{**ran, "seconds": 0} for ran in told(folder)["runs"]] for folder in (whole, out)]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("named", [True, False])
def test_a_stop_while_a_run_is_judged_says_how_to_go_on(
    named: bool, digits: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*args: Any) -> Any:
        raise Interrupted("stopped by SIGINT")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Bench, "_judge", stopped)
    asked = command(digits, tmp_path / "out", methods="rotation", rungs=1, epochs=0.1)
    if not named:
        del asked["out"]
    way = "add --resume" if named else "add --out runs/train-compare-1 --resume"
    with pytest.raises(Interrupted, match=f"^stopped by SIGINT; {way} to go on$"):
        selftaught.compare(**asked)


def test_a_comparison_goes_on_by_the_samples_labels_and_groups_that_it_began_with(
    whole: Path, digits: Split, tmp_path: Path
) -> None:
    shutil.copytree(whole, out := tmp_path / "out")
    held, asked = np.load(digits[1]), {"data": str(digits[0]), "out": str(out), "resume": True}
    saved = Compare.load(out / "comparison.yaml")
    for field, values in (("samples", {"x": held["x"][::-1]}), ("labels", {"y": held["y"][::-1]})):
        np.savez(tmp_path / f"{field}.npz", **{"x": held["x"], "y": held["y"], **values})  # as if --test had changed
        saved.model_copy(update={"test": str(tmp_path / f"{field}.npz")}).save(out / "comparison.yaml")
        with pytest.raises(UsageError, match=f"cannot resume: --test has other {field} than when this comparison"):
            selftaught.compare(**asked)
        saved.model_copy(update={"test": str(tmp_path / f"{field}.npz"), "judged_by": {}}).save(out / "comparison.yaml")
        assert selftaught.compare(**asked).ranking, "one of before there were digests"
        assert Compare.load(out / "comparison.yaml").judged_by[f"test_{field}"] != saved.judged_by[f"test_{field}"]


def test_other_settings_are_refused_on_resume_and_a_folder_is_never_overwritten(whole: Path, digits: Split) -> None:
    before = (whole / "comparison.json").read_bytes()
    with pytest.raises(UsageError, match="cannot resume: --seeds is 3, but the run was started with 1"):
        selftaught.compare(**command(digits, whole, resume=True, seeds=3))
    with pytest.raises(UsageError, match="already exists; use --resume"):
        selftaught.compare(**command(digits, whole))
    assert (whole / "comparison.json").read_bytes() == before
    (whole.parent / "letters").mkdir()
    (whole.parent / "letters" / "dear.txt").write_text("keep me")
    with pytest.raises(UsageError, match="holds other files, not a comparison"):
        selftaught.compare(**command(digits, whole.parent / "letters", resume=True))
    (whole.parent / "letters" / "comparison.yaml").write_text("data: mine\n")  # whose name makes it none
    with pytest.raises(UsageError, match="holds other files, not a comparison"):
        selftaught.compare(**command(digits, whole.parent / "letters", resume=True))
    (whole.parent / "letters" / "comparison.yaml").unlink()
    (whole.parent / "letters" / "comparison.jsonl").symlink_to(whole / "comparison.jsonl")
    with pytest.raises(UsageError, match=r"comparison\.jsonl is a link, which is not followed"):
        selftaught.compare(**command(digits, whole.parent / "letters", resume=True))


@pytest.mark.parametrize(
    ("methods", "encoder", "score"),
    [
        ("simclr,rotation", "test_resnet", "rankme"),
        ("simclr,mae", "test_resnet", "alignment"),
        ("simclr,rotation", "test_vit", "alignment"),
    ],
)
def test_what_ranks_without_labels_is_what_misled_least_of_such_encoders(
    methods: str, encoder: str, score: str
) -> None:
    recipe = Compare.parse({"data": "sklearn:digits", "methods": methods, "encoder": encoder, "size": 16})
    assert recipe.score is None and Bench(recipe, entrants(recipe), Stop()).score == score


def test_without_labels_a_score_ranks_and_a_bug_in_one_method_is_a_line(
    digits: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(self: Denoising, *views: torch.Tensor) -> dict[str, torch.Tensor]:
        raise ValueError("a mistake\nin it")

    monkeypatch.setattr(Denoising, "forward", broken)
    steps_take(lambda: 0.05, Rotation, held(monkeypatch), monkeypatch)
    flags = ["--methods", "denoising,rotation", "--encoder", "test_resnet", "--budget", "1s", "--seeds", "2"]
    flags += ["--precision", "32-true", "--layout", "contiguous", "--score", "rankme", "--out", str(tmp_path / "out")]
    assert run_command(["compare", str(digits[0]), *flags, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == told(tmp_path / "out")
    assert not found["labelled"] and found["measure"] == "rankme" and found["rungs"][0]["budget"] == 1
    done = [ran for ran in found["runs"] if ran["state"] == "done"]
    assert [ran["method"] for ran in done] == ["rotation", "rotation"] and all(ran["steps"] > 1 for ran in done)
    assert found["ranking"][0]["points"][0]["value"] == np.mean([ran["health"]["rankme"] for ran in done])
    failed = [ran for ran in found["runs"] if ran["state"] == "failed"]
    assert [(ran["reason"], ran["exit_code"]) for ran in failed] == [("ValueError: a mistake in it", 1)] * 2


def test_a_method_that_misses_a_file_is_a_line_and_a_full_disk_ends_the_comparison(
    digits: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OSError(errno.ENOENT, "no such file")
    monkeypatch.setattr(Denoising, "forward", lambda self, *views: (_ for _ in ()).throw(error))
    wanted = {"methods": "denoising,rotation", "rungs": 1, "train": None, "test": None, "features": "auto"}
    found = selftaught.compare(**command(digits, tmp_path / "a", **wanted))
    assert [ran.method for ran in found.failed] == ["denoising"] and [p.method for p in found.ranking] == ["rotation"]
    error.errno = errno.ENOSPC
    with pytest.raises(OSError, match="no such file"):
        selftaught.compare(**command(digits, tmp_path / "b", **wanted))


def test_only_where_all_fail_does_the_comparison(digits: Split, tmp_path: Path) -> None:
    with pytest.raises(SelftaughtError, match="every method failed; colorization: colorization needs colour") as ended:
        selftaught.compare(**command(digits, tmp_path / "out", methods=["colorization", "split_brain"]))
    assert ended.value.exit_code == 2 and len(told(tmp_path / "out")["runs"]) == 2


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"methods": "simclear"}, 2, "did you mean 'simclr'"),
        ({"budget": "5m"}, 2, "give one of --budget and --epochs"),
        ({"train": None}, 2, "--test needs --train"),
        ({"labels": "1%,10%"}, 2, "a ranking is by one number of labels"),
        ({"encoder": "resnet81"}, 2, "resnet81"),
        ({"token_encoder": "test_resnet"}, 2, "--token-encoder cannot be test_resnet"),
        ({"data": "nowhere"}, 3, "nowhere"),
        ({"test": "nowhere"}, 3, "nowhere"),
        ({"score": "loss"}, 2, "--score cannot be 'loss'"),
        ({"train": None, "test": None, "train_labels": "nowhere.csv"}, 2, "--train-labels needs --train"),
        ({"train": None, "test": None, "features": "auto", "probe": "knn", "labels": "5"}, 2, "--probe needs --train"),
        ({"test": None, "test_labels": "nowhere.csv"}, 2, "--test-labels needs --test"),
        ({"encoder": {"name": "torchvision/resnet18", "options": {"drop_path": 0.1}}}, 2, "no option 'drop_path'"),
        ({"encoder": "test_vit", "probe": "attentive"}, 2, "--features is .*; --probe attentive reads none of them"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    change: dict, code: int, said: str, digits: Split, tmp_path: Path
) -> None:
    with pytest.raises(SelftaughtError, match=said) as caught:
        selftaught.compare(**{**command(digits, tmp_path / "out"), **change})
    assert caught.value.exit_code == code and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_comparison_that_was_begun_with_what_concerns_nothing_goes_on(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, out := tmp_path / "out")
    saved = Compare.load(out / "comparison.yaml")
    idle = {"test": None, "test_labels": "nowhere.csv", "probe": "attentive", "score": "rankme"}
    saved.model_copy(update=idle).save(out / "comparison.yaml")
    asked = {"data": saved.data, "out": str(out), "resume": True}
    assert selftaught.compare(**asked, test_labels="nowhere.csv").ranking
    judged = Bench(Compare.load(out / "comparison.yaml"), {}, Stop()).judging("", 0, True)
    assert judged.test_labels is None and judged.features == "auto"
    idle = {"encoder": {"name": "torchvision/resnet18", "options": {"drop_path": 0.1}}}  # which does not have it
    begun = Compare.parse({**saved.model_dump(), **idle})
    assert begun.fingerprint and Bench(begun, {}, Stop()).encoder == Part(name="torchvision/resnet18")


def test_a_score_beside_labels_is_said_to_rank_nothing(
    digits: Split, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError):
        selftaught.compare(**command(digits, tmp_path / "out", score="alignment", labels="500"))
    assert "note: --score alignment is what ranks without --train" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"labels": "500"}, "--labels 500 asks for 500 of class 0, which has 13 to learn from"),
        ({"labels": "500", "test": None}, "--labels 500 asks for 500 of class 0"),
        # Of which there are as many, but for the folds that say who goes on.
        ({"labels": "11"}, "--labels 11 asks for 11 of class "),
    ],
)
def test_labels_that_cannot_be_had_are_refused_before_the_first_run(
    digits: Split, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        selftaught.compare(**command(digits, tmp_path / "out", **options))
    assert not (tmp_path / "out").exists()


def test_processes_of_a_comparison_that_goes_on_make_what_one_after_another_made(whole: Path, tmp_path: Path) -> None:
    """The last rung, of two runs, is yet to be done; nothing of the runs before it is looked at again."""
    out = tmp_path / "out"
    shutil.copytree(whole, out, ignore=shutil.ignore_patterns("runs"))
    lines = (whole / "comparison.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 6
    (out / "comparison.jsonl").write_text("".join(lines[3::-1]))  # in the order in which processes may have ended
    selftaught.compare(told(whole)["data"], out=str(out), resume=True, devices=2)
    kept = [[{**ran, "seconds": 0} for ran in told(folder)["runs"]] for folder in (whole, out)]
    assert kept[0] == kept[1] and told(out)["rungs"] == told(whole)["rungs"]
    assert {path.name for path in (out / "runs").iterdir()} == {Path(ran["run"]).name for ran in kept[0][4:]}
    assert not list((out / "runs").glob("*/checkpoints"))


def test_more_devices_than_there_are_is_refused(digits: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match="--devices 3: this machine has 2; use --devices all"):
        selftaught.compare(**command(digits, tmp_path / "out", devices=3))
    assert not (tmp_path / "out").exists()
