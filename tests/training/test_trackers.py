"""Trackers: a run that goes on is the same one there, with every step once; what they are, on this machine alone."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from selftaught.commands.python import Run
from selftaught.system.ownership import manifest_of
from selftaught.training import loggers
from selftaught.training.trackers.contract import Tracker, scalars, settings
from selftaught.training.trackers.wandb import records
from tests.training.test_loggers import carried_out, command
from tests.training.test_resume import resumed

Told = dict[str, list[tuple[int, dict[str, Any]]]]  # of each run by its id: its steps, and what was told of each


class Kept(Tracker):
    """A tracker of the plainest kind, which keeps what it is told for as long as a test lasts."""

    runs: ClassVar[Told] = {}
    told: ClassVar[list[Any]] = []

    def open(self, folder: Path, identity: str, recipe: dict[str, Any]) -> int:
        self.told.append((folder.name, recipe["method"]["name"]))
        self.lines = self.runs.setdefault(identity, [])
        return self.lines[-1][0] if self.lines else -1

    def add(self, step: int, numbers: dict[str, float], verdict: str | None) -> None:
        self.lines.append((step, {**numbers, "verdict": verdict}))

    def close(self, status: dict[str, Any]) -> None:
        self.told.append(status["state"])


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Told:
    monkeypatch.setattr(Kept, "runs", {})
    monkeypatch.setattr(Kept, "told", [])
    monkeypatch.setitem(loggers.OWN, "kept", Kept)
    return Kept.runs


def numbers(run: Run) -> list[tuple[int, dict[str, Any]]]:
    """What a tracker should have of a run: by step."""
    return [(line["step"], dict(scalars(line))) for line in run.metrics()]


def identity(run: Run) -> str:
    manifest = manifest_of(run.folder)
    assert manifest
    return manifest.id


def without(line: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in names}


CLOCKED = ("samples_per_second", "input_share", "seconds")  # which differ where a step is done again


@pytest.mark.parametrize("has", [4, 3, 2])
def test_a_run_that_goes_on_is_one_run_with_every_step_once(has: int, kept: Told, tmp_path: Path) -> None:
    first = carried_out(tmp_path / "first", logger="kept")
    (lines,) = kept.values()
    assert list(kept) == [identity(first)] and [step for step, _ in lines] == [1, 2, 3, 4]
    assert [(step, without(line, "verdict")) for step, line in lines] == numbers(first)
    assert lines[-1][1]["verdict"] == first.metrics()[-1]["verdict"]
    del lines[has:]  # as the last of them may be lost with the process that was to send them
    again = resumed(first, 2, command(tmp_path / "cut", resume=True, logger="kept"))
    assert list(kept) == [identity(again)] and [step for step, _ in lines] == [1, 2, 3, 4]
    assert [without(line, *CLOCKED, "verdict") for _, line in lines] == [
        without(line, *CLOCKED) for _, line in numbers(again)
    ]
    assert Kept.told == [("first", "denoising"), "done", ("cut", "denoising"), "done"]


def test_a_run_that_is_replaced_is_another(kept: Told, tmp_path: Path) -> None:
    carried_out(tmp_path / "run", logger="kept")
    run = carried_out(tmp_path / "run", logger="kept", overwrite=True)
    assert len(kept) == 2 and list(kept)[1] == identity(run)
    assert [[step for step, _ in lines] for lines in kept.values()] == [[1, 2, 3, 4]] * 2


def test_settings_have_dotted_names() -> None:
    recipe = {"method": {"name": "mae", "options": {"ratio": 0.75}}, "limit": None, "views": {}, "steps": 3}
    assert dict(settings(recipe)) == {"method.name": "mae", "method.options.ratio": "0.75", "steps": "3"}


def of_wandb(run: Run) -> tuple[list[tuple[int, dict[str, Any]]], dict[str, Any]]:
    """Steps and settings as the files of a run have them, in the order in which `wandb sync` would send them."""
    from wandb.proto.wandb_internal_pb2 import Record

    steps: list[tuple[int, dict[str, Any]]] = []
    config: dict[str, Any] = {}
    for file in sorted(run.folder.glob(f"wandb/offline-run-*/run-{identity(run)}.wandb")):
        for raw in records(file.read_bytes()):
            record = Record.FromString(raw)
            if record.HasField("history"):
                items = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
                steps.append((record.history.step.num, {k: v for k, v in items.items() if not k.startswith("_")}))
            if record.HasField("run"):
                assert not record.run.host
                config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
    return steps, config


def torn(run: Run) -> None:
    """Leave of its file what a power cut might: all but the last step, and of that the beginning."""
    (file,) = run.folder.glob("wandb/*/run-*.wandb")
    while len(of_wandb(run)[0]) == 4:
        file.write_bytes(file.read_bytes()[:-1])


def of_mlflow(run: Run) -> tuple[list[tuple[int, dict[str, Any]]], dict[str, Any]]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{run.folder / 'mlflow' / 'mlflow.db'}")
    (held,) = client.search_runs([client.get_experiment_by_name("selftaught").experiment_id])
    assert held.info.status == "FINISHED" and held.data.tags["selftaught.run"] == identity(run)
    steps: dict[int, dict[str, Any]] = {}
    for name in held.data.metrics:
        for metric in client.get_metric_history(held.info.run_id, name):
            assert name not in steps.setdefault(metric.step, {})  # told once
            steps[metric.step][name] = metric.value
    return sorted(steps.items()), held.data.params


def of_trackio(run: Run) -> tuple[list[tuple[int, dict[str, Any]]], dict[str, Any]]:
    from trackio.sqlite_storage import SQLiteStorage

    lines = SQLiteStorage.get_logs("selftaught", run_id=identity(run))
    config = SQLiteStorage.get_run_config("selftaught", run_id=identity(run))
    return [(line["step"], without(line, "step", "timestamp", "verdict")) for line in lines], config or {}


@pytest.mark.parametrize(("name", "read"), [("wandb", of_wandb), ("mlflow", of_mlflow), ("trackio", of_trackio)])
def test_a_real_tracker_has_every_step_once_on_this_machine(
    name: str, read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # which it takes when it is imported
    pytest.importorskip(name, reason=f"needs {name}: pip install 'selftaught[{name}]'")
    for variable in ("WANDB_MODE", "WANDB_DIR", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    first = carried_out(tmp_path / "first", logger=name)
    assert not any(path.is_symlink() for path in first.folder.rglob("*"))
    steps, config = read(first)
    assert steps == numbers(first) and [step for step, _ in steps] == [1, 2, 3, 4]
    method = config["method.name"] if name == "mlflow" else config["method"]["name"]
    assert method == "denoising"
    if name == "wandb":
        torn(first)
    again = resumed(first, 2, command(tmp_path / "cut", resume=True, logger=name))
    assert [(step, without(line, *CLOCKED)) for step, line in read(again)[0]] == [
        (step, without(line, *CLOCKED)) for step, line in numbers(again)
    ]
    out, err = capsys.readouterr()
    assert not out and "left out" not in err
    assert {path.name for path in tmp_path.iterdir()} <= {"first", "cut", "trackio"}
    assert carried_out(tmp_path / "cut", overwrite=True).status["state"] == "done"  # all in the folder is ours
