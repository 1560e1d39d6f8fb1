"""Exact resume: a run that was killed and resumed ends with bitwise the weights of one that was not."""

import hashlib
import json
import os
import shutil
import signal
import zlib
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from selftaught.commands.cli import run_command
from selftaught.data.filters import PatchFilters
from selftaught.methods import registry
from selftaught.methods.self_prediction.augmented.rotation import Rotation
from selftaught.run import checkpoint
from selftaught.run.folder import RunFolder
from selftaught.run.recipes import Pretrain
from selftaught.system.errors import Interrupted, UsageError
from selftaught.training.hooks import Hooks
from selftaught.training.looking.health import Health
from selftaught.training.pretrain import pretrain
from selftaught.training.recording import trained_for
from tests.children import Child, child, halt_in
from tests.clocks import held, steps_take
from tests.methods.making import KINDS, network, side, small
from tests.networks import flags as as_flags
from tests.reliability.faults import in_child
from tests.teachers import teacher_for
from tests.training.test_resume_of_methods import COMBINATIONS

STEPS = 7
# With a slow self, a queue, prototypes, banks, clusters, a decoder, a teacher, a look before step 0, and of other data;
# test_resume_of_methods.py has all of them.
FIRST = ("simclr", "moco", "byol", "swav", "dino", "deepcluster", "instance_discrimination", "mae", "ibot")
METHODS = (*FIRST, "colorization", "distill", "rotation", "mlm", "ts2vec")
FEW = 5
KEEPERS = {"nothing": "rotation", "a queue": "moco"}  # beside the network's state


@pytest.fixture(scope="module")
def array(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "noise.npy"
    np.save(file, np.random.default_rng(0).integers(0, 255, (24, 16, 16, 3), dtype=np.uint8))
    return file


def command(method: str, data: Path, out: Path, **more: Any) -> Pretrain:
    kind = registry.kind_of(registry.method_class(method))
    if kind != "images":
        data, more = KINDS[kind].written(out.parent), more | {"size": None}
    return Pretrain.parse(
        {
            "data": str(data),
            "method": {"name": method, "options": small(method)},
            "encoder": network(method, kind),
            "batch_size": 8,
            "steps": STEPS,
            "log_every": 1,
            "map": 0,
            "checkpoint_every": "4",
            "out": str(out),
            "precision": "32-true",
            "layout": "contiguous",
            **teacher_for(method, out.parent / "teacher"),
            **more,
        }
    )


def weights(run: RunFolder | Path, steps: int = STEPS) -> dict[str, torch.Tensor]:
    folder = run.folder if isinstance(run, RunFolder) else run
    last = folder / "checkpoints" / (folder / "checkpoints" / "last").read_text().strip()
    assert last.name == f"step_{steps:07d}"
    return {f"{file.stem}/{k}": v for file in last.glob("*.safetensors") for k, v in load_file(file).items()}


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    differing = [key for key in a if not torch.equal(a[key], b[key])]
    assert not differing, differing[:5]


def resumed(run: RunFolder, step: int, command: Pretrain) -> RunFolder:
    """What `command` makes of a run as a power cut would have left it that took all checkpoints after `step`."""
    assert command.out and command.resume
    folder = Path(command.out)
    shutil.copytree(run.folder, folder)
    for path in checkpoint.steps(folder / "checkpoints"):
        if path.name > f"step_{step:07d}":
            shutil.rmtree(path)
    (folder / "checkpoints" / "last").write_text(f"step_{step:07d}\n")
    if not checkpoint.steps(folder / "checkpoints"):  # nor had it anything else by then
        shutil.rmtree(folder / "encoder")
        RunFolder(folder).set_status("running")
    return pretrain(command)


def losses(run: RunFolder) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in run.metrics()]


@pytest.mark.parametrize("method", METHODS)
def test_a_cut_run_resumes_bit_for_bit(
    method: str, array: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Health, "closer_look", lambda self: {})  # looks change nothing of a run, as another test tells:
    monkeypatch.setattr(Health, "due", lambda self, step: False)  # the first and the last will do
    step, precision, layout = COMBINATIONS[METHODS.index(method) % len(COMBINATIONS)]
    size = 32 if registry.method_class(method).needs_teacher else side(method)
    choices = {"precision": precision, "layout": layout, "checkpoint_every": str(step), "size": size}
    choices |= {"steps": FEW, "limit": 16}
    whole = pretrain(command(method, array, tmp_path / "whole", **choices))
    again = resumed(whole, step, command(method, array, tmp_path / "cut", resume=True, **choices))
    assert_same(weights(whole, FEW), weights(again, FEW))
    assert losses(whole) == losses(again) and len(losses(whole)) == FEW


def test_the_methods_meet_every_cut_precision_and_layout() -> None:
    assert len(METHODS) >= len(COMBINATIONS) == 12


def test_a_chunked_run_resumes_bit_for_bit(array: Path, tmp_path: Path) -> None:
    choices = {"encode_chunk": 3, "checkpoint_every": "5"}
    whole = pretrain(command("byol", array, tmp_path / "whole", **choices))
    again = resumed(whole, 5, command("byol", array, tmp_path / "cut", resume=True, **choices))
    assert_same(weights(whole), weights(again))


def test_a_run_with_filters_goes_on_with_the_patches_that_it_began_with(
    array: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = {"encoder": {"name": "test_resnet", "options": {"filters": 8}}, "checkpoint_every": "5"}
    whole = pretrain(command("byol", array, tmp_path / "whole", **choices))
    monkeypatch.setattr(PatchFilters, "start", None)  # is never asked again
    again = resumed(whole, 5, command("byol", array, tmp_path / "cut", resume=True, **choices))
    assert_same(weights(whole), weights(again))
    exported = load_file(again.folder / "encoder" / "model.safetensors")
    assert exported["patch_filters.kernel"].any()


def test_where_images_are_and_who_decodes_them_may_change_on_the_way(photos: Path, tmp_path: Path) -> None:
    whole = pretrain(command("simclr", photos, tmp_path / "whole", checkpoint_every="4", workers=2))
    changes = {"workers": 1, "memory": 100, "cache": 0}  # decoded again for every batch, by one thread
    again = resumed(whole, 4, command("simclr", photos, tmp_path / "cut", resume=True, **changes))
    assert_same(weights(whole), weights(again))
    assert losses(whole) == losses(again)


@pytest.mark.parametrize("method", KEEPERS.values(), ids=KEEPERS)
def test_a_real_kill_leaves_a_run_that_resumes_bit_for_bit(method: str, array: Path, tmp_path: Path) -> None:
    whole = pretrain(command(method, array, tmp_path / "whole", checkpoint_every="1"))
    out, newest = tmp_path / "killed", tmp_path / "killed" / "checkpoints" / "last"
    wanted = 1 + zlib.crc32(method.encode()) % 5  # another step for each method
    save = checkpoint.save

    def work(here: Child) -> None:
        def watched(folder: Path, step: int, *more: Any, **choice: Any) -> Any:
            if step == STEPS:
                here.stop_here()  # the end, which no machine is to reach before it is killed
            saved = save(folder, step, *more, **choice)
            if step == wanted:
                here.pass_by()  # and into whatever it is at when the kill comes
            return saved

        checkpoint.save = watched  # type: ignore[assignment]
        pretrain(command(method, array, out, checkpoint_every="1"))

    with child(work) as killed:
        killed.wait_for()
    assert int(newest.read_text()[5:]) >= wanted
    assert not (out / "checkpoints" / f"step_{STEPS:07d}").exists(), "the child finished before the kill"
    resumed = pretrain(command(method, array, out, resume=True, checkpoint_every="1"))
    assert_same(weights(whole), weights(resumed))


def test_a_signal_saves_and_the_same_command_goes_on(array: Path, tmp_path: Path) -> None:
    whole = pretrain(command("rotation", array, tmp_path / "whole"))
    out = tmp_path / "stopped"

    def work(here: Child) -> int:
        halt_in(Rotation, 3, here)
        flags = ["--steps", str(STEPS), "--batch-size", "8", "--checkpoint-every", "1h", "--log-every", "1"]
        flags += ["--method", "rotation", *as_flags(network("rotation", "images")), "--out", str(out)]
        flags += ["--precision", "32-true", "--layout", "contiguous"]
        return run_command(["pretrain", str(array), *flags])

    with child(work) as stopped:
        stopped.wait_for()
        stopped.kill(signal.SIGTERM)
        stopped.release()
        assert stopped.ended() == 75
    assert RunFolder(out).status["state"] == "preempted"
    resumed = pretrain(command("rotation", array, out, resume=True))
    assert resumed.status["state"] == "done"
    assert_same(weights(whole), weights(resumed))


@pytest.mark.parametrize("told", [True, False], ids=["", "by a checkpoint that does not say"])
def test_the_time_of_a_run_is_that_of_all_who_worked_on_it(
    told: bool, array: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps_take(lambda: 10, Rotation, held(monkeypatch), monkeypatch)
    whole = pretrain(command("rotation", array, tmp_path / "whole"))
    if not told:
        old = whole.folder / "checkpoints" / "step_0000004"
        state, manifest = (json.loads((old / name).read_text()) for name in ("state.json", "manifest.json"))
        assert state.pop("seconds") == 40
        content = json.dumps(state).encode()
        (old / "state.json").write_bytes(content)
        manifest["state.json"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (old / "manifest.json").write_text(json.dumps(manifest))
    again = resumed(whole, 4, command("rotation", array, tmp_path / "cut", resume=True))
    for run in (whole, again):
        assert run.status["seconds"] == 70 and run.status["samples_per_second"] == 0.8
        assert [line["seconds"] for line in run.metrics()] == [10.0 * step for step in range(1, STEPS + 1)]


def test_the_time_that_older_lines_tell_of_began_anew_as_a_run_went_on() -> None:
    assert trained_for([{"seconds": mark} for mark in (1, 9, 30, 2, 5, None, 4, 8)]) == 30 + 5 + 8
    assert trained_for([]) == trained_for([{}]) == 0


@pytest.mark.parametrize("at", [3, STEPS])
def test_a_look_that_a_stop_has_cut_is_taken_as_the_run_goes_on(
    at: int, array: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It saw first what later looks may not surpass, so another network would be kept without it."""
    scored = {step: 10.0 - step for step in (0, 3, 6, STEPS)}  # none is as good as the first
    steps, own = iter(scored), Health.look

    def look(self: Health, stopped: bool = False) -> Any:
        if (step := next(steps)) == at and stopped:
            signal.raise_signal(signal.SIGTERM)
        return own(self) | {"rankme": scored[step]}

    def looked(run: RunFolder) -> list[dict[str, Any]]:
        told = ("step", "loss", "mean_loss", "health", "verdict")
        return [{name: line.get(name) for name in told} for line in run.metrics()]

    monkeypatch.setattr(Health, "look", look)
    whole = pretrain(command("simclr", array, tmp_path / "whole", choose="rankme"))
    steps = iter(scored)
    monkeypatch.setattr(Health, "look", partialmethod(look, stopped=True))
    with pytest.raises(Interrupted, match=f"stopped by SIGTERM at step {at}; add --resume to go on"):
        pretrain(command("simclr", array, tmp_path / "cut", choose="rankme"))
    steps = iter(step for step in scored if step >= at)
    monkeypatch.setattr(Health, "look", look)
    again = pretrain(command("simclr", array, tmp_path / "cut", choose="rankme", resume=True))
    assert looked(again) == looked(whole) and len(looked(whole)) == STEPS
    assert whole.status["chosen_step"] == again.status["chosen_step"] == 3
    assert whole.status["health"] == again.status["health"]
    encoders = [load_file(run.folder / "encoder" / "model.safetensors") for run in (whole, again)]
    assert_same(*encoders)


@pytest.mark.parametrize("name", ["best", "last"])
def test_a_kill_before_a_step_is_called_the_best_changes_nothing(
    name: str, array: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = {0: 1.0, 3: 5.0, 6: 9.0, STEPS: 2.0}
    steps, own = iter(scored), Health.look
    monkeypatch.setattr(Health, "look", lambda self: own(self) | {"rankme": scored[next(steps)]})
    asked = {"choose": "rankme", "checkpoint_every": "1h"}
    whole = pretrain(command("simclr", array, tmp_path / "whole", **asked))
    steps = iter(scored)
    write = checkpoint.write_atomically

    def killed() -> None:
        def written(file: Path, text: str) -> None:
            if file.name == name and text.startswith("step_0000006"):
                os._exit(9)
            write(file, text)

        monkeypatch.setattr(checkpoint, "write_atomically", written)
        pretrain(command("simclr", array, tmp_path / "cut", **asked))

    assert in_child(killed) == 9
    steps = iter([STEPS])
    again = pretrain(command("simclr", array, tmp_path / "cut", resume=True, **asked))
    assert whole.status["chosen_step"] == again.status["chosen_step"] == 6
    assert_same(*(load_file(run.folder / "encoder" / "model.safetensors") for run in (whole, again)))


def test_a_run_that_noted_no_number_types_goes_on_as_it_began(tmp_path: Path) -> None:
    """It stretched each floating-point image by its own range; a run of today stores values as they are."""
    (tmp_path / "data").mkdir()
    for number in range(24):
        values = np.random.default_rng(number).normal(number, 1, (32, 32)).astype(np.float32)
        Image.fromarray(values).save(tmp_path / "data" / f"{number:02d}.tif")
    of_today = command("rotation", tmp_path / "data", tmp_path / "run")
    stopped_after(2, of_today.model_copy(update={"steps": 4}))
    run = RunFolder(tmp_path / "run")
    config = json.loads((run.folder / "encoder" / "config.json").read_text())
    assert config["selftaught"]["preparation"]["stored"] == "float32"
    old = {"low": 0.0, "high": 65535.0, "mean": (0.5,), "std": (0.1,)}
    config["selftaught"]["preparation"] = {"channels": 1, "size": (32, 32), **old}
    (run.folder / "encoder" / "config.json").write_text(json.dumps(config))
    again = pretrain(of_today.model_copy(update={"resume": True, "steps": None}))
    kept = json.loads((again.folder / "encoder" / "config.json").read_text())["selftaught"]["preparation"]
    assert (kept["low"], kept["high"], kept["mean"], kept["stored"]) == (0, 65535, [0.5], None)


def test_a_range_given_in_python_is_the_one_that_yaml_has(array: Path, tmp_path: Path) -> None:
    views = {"strong": {"crop": (0.5, 1.0)}}
    pretrain(command("simclr", array, tmp_path / "run", views=views))
    again = pretrain(command("simclr", array, tmp_path / "run", views=views, resume=True))
    assert again.status["state"] == "done"
    with pytest.raises(UsageError, match=r"--views is .*0\.6.* but the run was started with"):
        pretrain(command("simclr", array, tmp_path / "run", views={"strong": {"crop": (0.6, 1.0)}}, resume=True))


@pytest.mark.parametrize("state", ["done", "preempted"])
def test_a_result_without_checkpoints_is_not_begun_again(
    state: str, array: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = pretrain(command("rotation", array, tmp_path / "run", steps=2))
    run.remove_checkpoints()
    run.set_status(state)
    held = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    asked = ["pretrain", str(array), "--out", str(run.folder), "--resume"]
    assert run_command(asked) == 2
    said = {"done": "is done and its checkpoints were removed", "preempted": "holds the encoder of step 2 and no"}
    told = capsys.readouterr().err
    assert said[state] in told and "use --overwrite in place of --resume, or another --out" in told
    assert held == {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}


def test_a_run_that_was_cut_before_its_first_checkpoint_begins_again(array: Path, tmp_path: Path) -> None:
    def cut(step: Any) -> None:
        raise RuntimeError("cut")

    more = {"steps": 2, "checkpoint_every": "1h"}
    with pytest.raises(RuntimeError, match="cut"):
        pretrain(command("rotation", array, tmp_path / "run", **more), hooks=Hooks(on_step=cut))
    assert (tmp_path / "run" / "recipe.yaml").exists() and not list((tmp_path / "run").glob("checkpoints/step_*"))
    assert pretrain(command("rotation", array, tmp_path / "run", resume=True, **more)).status["state"] == "done"


def test_a_teacher_may_have_moved_and_another_one_is_refused(array: Path, tmp_path: Path) -> None:
    choices = {"checkpoint_every": "2", "steps": 4, "size": 32}
    whole = pretrain(command("distill", array, tmp_path / "whole", **choices))
    (tmp_path / "teacher").rename(tmp_path / "moved")
    choices["teacher"] = str(tmp_path / "moved")
    again = resumed(whole, 2, command("distill", array, tmp_path / "cut", resume=True, **choices))
    assert_same(weights(whole, 4), weights(again, 4))
    assert again.recipe.teacher == str(tmp_path / "moved") and again.recipe.teacher_fingerprint
    file = tmp_path / "moved" / "model.safetensors"
    save_file({name: 2 * weight for name, weight in load_file(file).items()}, file)
    with pytest.raises(UsageError, match=r"cannot resume: --teacher .*moved is not what this run has learnt from"):
        pretrain(command("distill", array, tmp_path / "cut", resume=True, **choices))
    saved = again.recipe.model_copy(update={"teacher_fingerprint": None})  # as of a run that noted none
    with pytest.raises(UsageError, match=r"cannot resume: --teacher is '.*elsewhere', but the run was started with"):
        Pretrain.parse({"data": "x", "teacher": "elsewhere"}).continued(saved)


def test_a_first_pass_that_was_asked_for_may_be_said_again(array: Path, tmp_path: Path) -> None:
    choices = {"steps": 2, "checkpoint_every": "1", "first_pass": "sample"}  # of an array, which is at hand
    whole = pretrain(command("rotation", array, tmp_path / "whole", **choices))
    again = resumed(whole, 1, command("rotation", array, tmp_path / "cut", resume=True, **choices))
    assert_same(weights(whole, 2), weights(again, 2))
    assert again.recipe.fingerprint == whole.recipe.fingerprint and again.recipe.first_pass == "sample"


def stopped_after(steps: int, recipe: Pretrain) -> None:
    """Carry out a recipe for so many steps, and no more."""
    done = []

    def count(step: Any) -> None:
        done.append(step)
        if len(done) == steps:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        pretrain(recipe, hooks=Hooks(on_step=count))


def test_the_means_of_a_run_do_not_depend_on_where_it_was_stopped(array: Path, tmp_path: Path) -> None:
    def looked(run: RunFolder) -> list[tuple[int, float]]:
        return [(line["step"], line["mean_loss"]) for line in run.metrics() if line.get("health")]

    choices = {"log_every": 10}
    whole = pretrain(command("rotation", array, tmp_path / "whole", **choices))
    stopped_after(4, command("rotation", array, tmp_path / "cut", **choices))
    stopped_after(1, command("rotation", array, tmp_path / "cut", resume=True, **choices))  # which logs step 5
    again = pretrain(command("rotation", array, tmp_path / "cut", resume=True, **choices))
    assert looked(again) == looked(whole) and [step for step, _ in looked(whole)] == [3, 6, STEPS]
    assert {line["step"] for line in again.metrics()} > {line["step"] for line in whole.metrics()}


@pytest.mark.parametrize("lost", [True, False], ids=["", "but for a version that noted no start"])
def test_a_run_that_lost_its_status_takes_no_later_network_for_its_start(
    lost: bool, array: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = pretrain(command("rotation", array, tmp_path / "whole", checkpoint_every="5"))
    (whole.folder / "status.json").unlink()
    if not lost:
        whole.set_status("preempted", "stopped by the time limit", 75, chance=1.0)
    capsys.readouterr()
    again = resumed(whole, 5, command("rotation", array, tmp_path / "cut", resume=True, checkpoint_every="5"))
    said = capsys.readouterr().err
    assert said.count("warning: status.json no longer tells how the run began") == lost
    assert said.count("note: the version that began the run did not note how it began") == (not lost)
    assert "health_at_start" not in again.status and again.status["verdict"] == "learning"
    assert [line.get("health") for line in again.metrics()] == [line.get("health") for line in whole.metrics()]
