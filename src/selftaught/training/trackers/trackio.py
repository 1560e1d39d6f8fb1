"""Trackio: its own folder on this machine (TRACKIO_DIR), which `trackio show` shows and `trackio sync` may send."""

import os
from pathlib import Path
from typing import Any

from selftaught.system.errors import UsageError
from selftaught.system.telemetry import switch_off
from selftaught.training.trackers.contract import PROJECT, Tracker


class Trackio(Tracker):
    """Writes to Trackio's store itself: `trackio.init` would ask the Hub who the user is, and print on standard output.

    So it is local whatever TRACKIO_SPACE_ID says, and each line is on the disk before the next step.
    """

    def __init__(self) -> None:
        switch_off()
        try:
            from trackio.sqlite_storage import SQLiteStorage
        except ImportError:
            raise UsageError("--logger trackio needs trackio: pip install 'selftaught[trackio]'") from None
        self._store: Any = SQLiteStorage

    def open(self, folder: Path, identity: str, recipe: dict[str, Any]) -> int:
        self._project = os.environ.get("TRACKIO_PROJECT", PROJECT)
        self._run, self._id, self._recipe = folder.name, identity, recipe
        last = self._store.get_max_step_for_run(self._project, run_id=identity)
        return -1 if last is None else int(last)

    def add(self, step: int, numbers: dict[str, float], verdict: str | None) -> None:
        line = numbers if verdict is None else {**numbers, "verdict": verdict}
        self._store.bulk_log(self._project, self._run, [line], steps=[step], config=self._recipe, run_id=self._id)

    def close(self, status: dict[str, Any]) -> None:
        """Nothing is open, and Trackio knows no state of a run."""
