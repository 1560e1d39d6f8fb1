"""Loggers: they see what metrics.jsonl sees, and can neither change nor end a run."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from selftaught.commands.python import Run
from selftaught.run.recipes import Pretrain
from selftaught.system.errors import Interrupted, UsageError
from selftaught.training.loggers import OWN
from selftaught.training.pretrain import pretrain
from selftaught.training.trackers.contract import scalars
from tests.training.test_resume import resumed

PLUGINS = '''
import json, os, signal

class Notebook:
    """Writes down all that it is told."""

    def start(self, folder, recipe, step):
        self.file = folder / "notebook.jsonl"
        self.note("start", step, recipe)

    def log(self, step, line):
        self.note("log", step, line)

    def end(self, status):
        self.note("end", None, status)

    def note(self, *told):
        with self.file.open("a") as stream:
            stream.write(json.dumps(told) + "\\n")

class Meddler(Notebook):
    def start(self, folder, recipe, step):
        recipe.clear()

    def log(self, step, line):
        line["terms"].clear()
        line["loss"] = 0.0

    def end(self, status):
        status.clear()

class Late(Notebook):
    """Fails at the second line."""

    def start(self, folder, recipe, step):
        self.left = 1

    def log(self, step, line):
        if not self.left:
            raise SystemExit("no more\\nof this")
        self.left -= 1

class Unmade:
    def __init__(self):
        raise RuntimeError("no key")

class Impatient(Notebook):
    def log(self, step, line):
        super().log(step, line)
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
'''
NAMES = {"notebook": "Notebook", "meddler": "Meddler", "late": "Late", "unmade": "Unmade", "impatient": "Impatient"}


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with loggers, one of which it does not hold."""
    facts = tmp_path / "site" / "their_loggers-1.0.dist-info"
    facts.mkdir(parents=True)
    (tmp_path / "site" / "their_loggers.py").write_text(PLUGINS)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: their-loggers\nVersion: 1.0\n")
    points = [f"{name} = their_loggers:{cls}" for name, cls in {**NAMES, "lost": "Lost"}.items()]
    (facts / "entry_points.txt").write_text("\n".join(["[selftaught.loggers]", *points]))
    monkeypatch.syspath_prepend(tmp_path / "site")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return carried_out(tmp_path_factory.mktemp("whole") / "run")


def command(out: Path, **more: Any) -> Pretrain:
    encoder = {"name": "mlp", "options": {"depth": 1, "width": 4}}
    quick = {"method": "denoising", "encoder": encoder, "batch_size": 8, "limit": 32, "steps": 4, "log_every": 1}
    quick |= {"checkpoint_every": "2", "precision": "32-true", "layout": "contiguous"}
    return Pretrain.parse({"data": "sklearn:wine", **quick, "out": str(out), **more})


def carried_out(out: Path, **more: Any) -> Run:
    return pretrain(command(out, **more))


def weights(run: Run) -> bytes:
    last = (run.checkpoints / "last").read_text().strip()
    return b"".join(file.read_bytes() for file in sorted((run.checkpoints / last).glob("*.safetensors")))


def noted(folder: Path, kind: str) -> list[Any]:
    lines = [json.loads(line) for line in (folder / "notebook.jsonl").read_text().splitlines()]
    return [(step, told) for what, step, told in lines if what == kind]


def test_a_plugin_sees_what_the_folder_holds_and_changes_nothing(whole: Run, plugins: None, tmp_path: Path) -> None:
    run = carried_out(tmp_path / "run", logger=["meddler", "notebook", "notebook"])
    assert weights(run) == weights(whole)
    assert [line for _, line in noted(run.folder, "log")] == run.metrics() and len(run.metrics()) == 4
    assert all(step == line["step"] and line["terms"] and line["loss"] for step, line in noted(run.folder, "log"))
    assert noted(run.folder, "start") == [(0, yaml.safe_load((run.folder / "recipe.yaml").read_text()))]
    assert noted(run.folder, "end") == [(None, run.status)] and run.status["state"] == "done"


def test_a_logger_that_fails_is_told_of_once_and_ends_no_run(
    whole: Run, plugins: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = carried_out(tmp_path / "run", logger="late,notebook")
    assert weights(run) == weights(whole)
    told = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert told == [
        "warning: logger late failed and is left out: SystemExit: no more of this; metrics.jsonl has every line"
    ]
    assert told[0] in (run.folder / "run.log").read_text()
    assert len(noted(run.folder, "log")) == 4 and run.status["state"] == "done"


def test_a_resumed_run_says_after_which_step_it_goes_on(whole: Run, plugins: None, tmp_path: Path) -> None:
    again = resumed(whole, 2, command(tmp_path / "cut", resume=True, logger="notebook"))
    assert weights(again) == weights(whole)
    assert [step for step, _ in noted(again.folder, "start")] == [2]
    assert [step for step, _ in noted(again.folder, "log")] == [3, 4]
    assert again.recipe.logger == "notebook"


def test_a_stopped_run_tells_its_end_and_may_go_on_without(whole: Run, plugins: None, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        carried_out(tmp_path / "run", logger="impatient")
    (ended,) = noted(tmp_path / "run", "end")
    assert ended[1]["state"] == "preempted" and ended[1]["exit_code"] == 75
    again = carried_out(tmp_path / "run", resume=True)
    assert weights(again) == weights(whole)
    assert len(noted(again.folder, "end")) == 1


@pytest.mark.parametrize(
    ("logger", "said"),
    [
        ("notebok", "no logger named 'notebok'; did you mean 'notebook'"),
        (
            "xyz",
            "no logger named 'xyz'; there are impatient, late, lost, meddler, mlflow, notebook, tensorboard, trackio",
        ),
        ("notebook,lost", "--logger lost cannot be used: AttributeError"),
        ("unmade", "--logger unmade cannot be used: RuntimeError: no key"),
        (" ,", "--logger cannot be ' ,', which names none; for none leave it out"),
    ],
)
def test_a_logger_that_cannot_be_had_is_one_line_and_leaves_nothing(
    logger: str, said: str, plugins: None, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        carried_out(tmp_path / "run", logger=logger)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", OWN)
def test_without_its_package_a_logger_names_the_extra(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("torch.utils.tensorboard", "wandb", "mlflow", "trackio", "trackio.sqlite_storage"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=rf"--logger {name} needs {name}: pip install 'selftaught\[{name}\]'"):
        carried_out(tmp_path / "run", logger=name)
    assert not (tmp_path / "run").exists()


def test_the_numbers_of_a_line_have_flat_names() -> None:
    line = {"step": 3, "loss": 1.5, "terms": {"a": None, "b": 2}, "health": {"rankme": 4.0}, "verdict": "learning"}
    assert dict(scalars(line)) == {"loss": 1.5, "terms/b": 2.0, "health/rankme": 4.0}


def test_tensorboard_shows_every_line_once(whole: Run, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs tensorboard: pip install 'selftaught[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = carried_out(tmp_path / "first", logger="tensorboard")
    assert weights(first) == weights(whole)
    again = resumed(first, 2, command(tmp_path / "cut", resume=True, logger="tensorboard"))
    for run in (first, again):
        shown = EventAccumulator(str(run.folder / "tensorboard")).Reload()
        for name in ("loss", "lr"):
            expected = [(line["step"], dict(scalars(line))[name]) for line in run.metrics()]
            found = [(event.step, event.value) for event in shown.Scalars(name)]
            assert [step for step, _ in found] == [step for step, _ in expected] == list(range(1, 5))
            assert torch.allclose(torch.tensor([v for _, v in found]), torch.tensor([v for _, v in expected]))
        assert "verdict/text_summary" in shown.Tags()["tensors"]
