"""MLflow: a store in the run folder, or the one that MLFLOW_TRACKING_URI names."""

import os
from pathlib import Path
from typing import Any

from selftaught.system import clock
from selftaught.system.errors import UsageError
from selftaught.system.telemetry import switch_off
from selftaught.training.trackers.contract import PROJECT, Tracker, as_code, settings

MARK = "selftaught.run"  # the tag that has the id of a run folder
ALWAYS = "epoch"  # a number that every line has, by which the store tells its last step
SETTINGS, LONGEST = 100, 6000  # that it takes at once, and characters of one
ENDS = {"done": "FINISHED", "preempted": "KILLED"}  # all else failed


class MLflow(Tracker):
    """Writes to RUN/mlflow/mlflow.db, where the user has named no other store."""

    def __init__(self) -> None:
        switch_off()
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # before it is imported
        try:
            from mlflow import MlflowClient, entities
        except ImportError:
            raise UsageError("--logger mlflow needs mlflow: pip install 'selftaught[mlflow]'") from None
        self._client_of, self._entities = MlflowClient, entities

    def open(self, folder: Path, identity: str, recipe: dict[str, Any]) -> int:
        self._client: Any = self._client_of(tracking_uri=_store(folder))
        experiment = self._experiment(folder)
        found = self._client.search_runs([experiment], f"tags.`{MARK}` = '{identity}'", max_results=1)
        if found:
            self._run = found[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
            return max((one.step for one in self._client.get_metric_history(self._run, ALWAYS)), default=-1)
        tags = {MARK: identity, "mlflow.note.content": as_code(recipe)}
        self._run = self._client.create_run(experiment, tags=tags, run_name=folder.name).info.run_id
        chosen = [self._entities.Param(name, value[:LONGEST]) for name, value in settings(recipe)]
        for first in range(0, len(chosen), SETTINGS):
            self._client.log_batch(self._run, params=chosen[first : first + SETTINGS])
        return -1

    def _experiment(self, folder: Path) -> str:
        """The id of the experiment that runs stand under."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        if known := self._client.get_experiment_by_name(name):
            return str(known.experiment_id)
        # Where nothing is said MLflow would have a folder of its own where the user happens to stand.
        own = None if _named() else (folder / "mlflow" / "artifacts").as_uri()
        return str(self._client.create_experiment(name, artifact_location=own))

    def add(self, step: int, numbers: dict[str, float], verdict: str | None) -> None:
        now = int(clock.wall() * 1000)
        held = [self._entities.Metric(name, value, now, step) for name, value in numbers.items()]
        told = [] if verdict is None else [self._entities.RunTag("verdict", verdict)]
        self._client.log_batch(self._run, metrics=held, tags=told)  # at once, so that it has a step whole or not at all

    def close(self, status: dict[str, Any]) -> None:
        self._client.set_terminated(self._run, ENDS.get(status.get("state", ""), "FAILED"))


def _named() -> str | None:
    return os.environ.get("MLFLOW_TRACKING_URI")


def _store(folder: Path) -> str:
    """Where runs are kept: what the user has named, or a file of the run folder."""
    if named := _named():
        return named
    (folder / "mlflow").mkdir(exist_ok=True)
    return f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}"
