"""Every verb can be stopped in each of its parts: exit code 75, nothing half-written, and a run that goes on."""

import fcntl
import os
import signal
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from selftaught.commands.cli import run_command
from selftaught.commands.python import Run
from selftaught.data import storage
from selftaught.methods import registry
from selftaught.reporting import run_page as report
from selftaught.run import checkpoint
from selftaught.run.folder import RunFolder
from selftaught.system.files import write_json
from selftaught.system.interruption import poll, stopping
from selftaught.training.keeping import Keeping
from tests.children import Child, child, halt_in
from tests.clocks import held, when_begun
from tests.networks import HALVED, flags
from tests.reliability.faults import at_point, points

QUICK = ["--method", "rotation", *flags(HALVED), "--steps", "3", "--batch-size", "8", "--size", "16"]
QUICK += ["--precision", "32-true", "--layout", "contiguous", "--checkpoint-every", "1h"]


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture
def signal_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, signal.Signals], None]:
    """Let one signal reach this process as soon as a part of the work, named as its progress bar, begins."""

    return lambda part, number: when_begun(part, lambda: send(number), monkeypatch)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert run_command(["pretrain", "sklearn:digits", *QUICK, "--limit", "64", "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_training_saves_once_and_goes_on(
    number: signal.Signals, tmp_path: Path, signal_at: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["pretrain", "sklearn:digits", *QUICK, "--limit", "32", "--out", str(tmp_path / "run")]
    with pytest.MonkeyPatch.context() as patch:
        saves: list[int] = []
        save = checkpoint.save
        patch.setattr(
            checkpoint,
            "save",
            lambda folder, step, *more, **best: saves.append(step) or save(folder, step, *more, **best),
        )
        signal_at("training", number)
        assert run_command(command) == 75
        assert saves == [1]
    assert f"stopped by {number.name} at step 1; add --resume to go on" in capsys.readouterr().err
    assert Run(tmp_path / "run").status["state"] == "preempted"
    assert run_command([*command, "--resume"]) == 0
    assert [line["step"] for line in Run(tmp_path / "run").metrics()] == [1, 2, 3]


def test_a_run_that_is_stopped_before_its_first_step_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["pretrain", "sklearn:digits", *QUICK, "--limit", "32", "--out", str(tmp_path / "run")]
    with pytest.MonkeyPatch.context() as patch:
        written = RunFolder.write_environment
        patch.setattr(
            RunFolder, "write_environment", lambda *given, **more: (written(*given, **more), send(signal.SIGHUP))
        )
        assert run_command(command) == 75
    assert "error: stopped by SIGHUP; add --resume to go on\n" in capsys.readouterr().err
    assert run_command([*command, "--resume"]) == 0


@pytest.mark.parametrize("watched", [True, False])  # whether a person sees a progress bar there
def test_a_terminal_that_goes_away_stops_a_run_which_saves(watched: bool, tmp_path: Path) -> None:
    """As when a connection drops: it sends SIGHUP, and nothing can be written to it any more."""
    ours, theirs = os.openpty()

    def work(here: Child) -> int:
        os.close(ours)
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        for handle in (0, 2) if watched else (0,):
            os.dup2(theirs, handle)
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - what the tests have there catches it
        halt_in(registry.method_class("rotation"), 1, here)
        return run_command(["pretrain", "sklearn:digits", *QUICK, "--limit", "32", "--out", str(tmp_path / "run")])

    with child(work) as gone:
        os.close(theirs)
        gone.wait_for()
        os.close(ours)
        gone.release()
        assert gone.ended() == 75
    run = Run(tmp_path / "run")
    assert run.status["reason"] == "stopped by SIGHUP at step 1; add --resume to go on"
    assert checkpoint.load_newest(run.checkpoints)[1]["step"] == 1


@pytest.mark.parametrize("cached", [True, False])
def test_decoding_and_caching_stop(
    cached: bool,
    photos: Path,
    tmp_path: Path,
    signal_at: Callable,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SELFTAUGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(storage, "WORTH_CACHING", 0 if cached else 1 << 30)
    signal_at("reading", signal.SIGUSR1)
    assert run_command(["pretrain", str(photos), *QUICK, "--out", str(tmp_path / "run")]) == 75
    assert "error: stopped by SIGUSR1; say the same again\n" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").iterdir())


def test_a_time_limit_is_looked_at_while_decoding(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = held(monkeypatch)
    when_begun("reading", lambda: time.advance(60), monkeypatch)
    command = ["pretrain", str(photos), *QUICK, "--out", str(tmp_path / "run"), "--time-limit", "1m"]
    assert run_command(command) == 75 and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("part", "probe"),
    [
        ("reading", "knn"),
        ("trained features", "knn"),
        ("untrained features", "knn"),
        ("knn probe", "knn"),
        ("linear probe", "linear"),
        ("trained tokens", "attentive"),
        ("attentive probe", "attentive"),
        ("fine-tuning", "finetune"),
    ],
)
def test_judging_stops_in_each_part(part: str, probe: str, run: Path, photos: Path, signal_at: Callable) -> None:
    signal_at(part, signal.SIGTERM)
    data = "sklearn:digits" if part != "reading" else str(photos)
    assert run_command(["evaluate", str(run), "--train", data, "--limit", "40", "--probe", probe]) == 75
    assert not (run / "evaluation.json").exists()


def test_embedding_and_reporting_stop(
    run: Path, tmp_path: Path, signal_at: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal_at("embedding", signal.SIGUSR1)
    assert run_command(["embed", str(run), "sklearn:digits", "--out", str(tmp_path / "f.npz")]) == 75
    curves = report._curves
    monkeypatch.setattr(report, "_curves", lambda *told: send(signal.SIGTERM) or curves(*told))
    assert run_command(["report", str(run), str(run), "--out", str(tmp_path / "report.html")]) == 75
    assert not list(tmp_path.iterdir())


def test_what_follows_training_stops_and_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["pretrain", "sklearn:digits", *QUICK, "--limit", "32", "--out", str(tmp_path / "run")]
    draw = Keeping.draw
    with monkeypatch.context() as patch:
        patch.setattr(Keeping, "draw", lambda self: send(signal.SIGTERM))
        assert run_command(command) == 75
    stopped = Run(tmp_path / "run")
    assert stopped.status["state"] == "preempted" and not (stopped.folder / "pictures.png").exists()
    long_ago = "2026-01-01T00:00:00+00:00"
    write_json(stopped.folder / "status.json", {**stopped.status, "time": long_ago})
    assert Keeping.draw is draw and run_command([*command, "--resume"]) == 0
    status = stopped.status
    assert status["state"] == "done" and status["final_terms"] and status["health"] and status["time"] > long_ago
    assert (stopped.folder / "pictures.png").exists()


def test_what_ends_a_run_and_an_export_says_that_it_is_at_work(
    run: Path, tmp_path: Path, signal_at: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    signal_at("finishing", signal.SIGTERM)
    out = tmp_path / "run"
    assert run_command(["pretrain", "sklearn:digits", *QUICK, "--limit", "32", "--out", str(out)]) == 75
    assert "stopped by SIGTERM at step 3; add --resume to go on" in capsys.readouterr().err
    assert checkpoint.named(out / "checkpoints", "last") and (out / "encoder" / "model.safetensors").exists()
    signal_at("exporting", signal.SIGTERM)
    assert run_command(["export", str(run), "--to", "onnx", "--out", str(tmp_path / "m.onnx")]) == 75
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_second_ctrl_c_in_the_middle_of_a_save_harms_nothing(tmp_path: Path, run: Path) -> None:
    groups, _, _ = checkpoint.load_newest(run / "checkpoints")

    def save() -> None:
        checkpoint.save(tmp_path, 8, groups, {})

    def twice(name: str) -> None:
        send(signal.SIGINT)
        send(signal.SIGINT)

    calls = points(lambda: checkpoint.save(tmp_path, 7, groups, {}))
    for number in range(len(calls)):
        with stopping(), pytest.raises(KeyboardInterrupt), at_point(number, twice):
            save()
        assert checkpoint.load_newest(tmp_path)[1]["step"] in (7, 8)
        assert checkpoint.named(tmp_path, "last")


def test_a_signal_counts_for_all_work_inside_and_none_after() -> None:
    with stopping() as outer:
        send(signal.SIGTERM)
        with stopping() as inner:
            assert inner.reason == outer.reason == "SIGTERM"
    with stopping():
        poll()
    poll()
