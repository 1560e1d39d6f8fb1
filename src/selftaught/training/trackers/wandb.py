"""Weights & Biases: a run on this machine, which `wandb sync` may send later, unless WANDB_MODE asks for another."""

import os
from pathlib import Path
from typing import Any

from selftaught.system.errors import UsageError
from selftaught.system.files import write_atomically
from selftaught.training.trackers.contract import PROJECT, Tracker

QUIET = {  # beside the numbers nothing is taken down: of the machine, its packages, the code, or what is printed
    **dict.fromkeys(
        ("disable_git", "disable_code", "x_disable_stats", "x_disable_meta", "x_disable_machine_info"), True
    ),
    **{"console": "off", "silent": True, "save_code": False, "x_save_requirements": False},
    "symlink": False,  # a run folder holds none
}


class Wandb(Tracker):
    """Writes to RUN/wandb, or to WANDB_DIR.

    What is on this machine cannot be asked for its last step, so RUN/wandb/last_step has it.
    """

    def __init__(self) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # before it is imported: nothing is reported to anybody
        try:
            import wandb
        except ImportError:
            raise UsageError("--logger wandb needs wandb: pip install 'selftaught[wandb]'") from None
        self._wandb: Any = wandb

    def open(self, folder: Path, identity: str, recipe: dict[str, Any]) -> int:
        held = folder / "wandb"
        held.mkdir(exist_ok=True)
        self._last = held / "last_step"
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            dir=os.environ.get("WANDB_DIR", str(folder)),
            id=identity,
            name=folder.name,
            config=recipe,
            mode=os.environ.get("WANDB_MODE", "offline"),
            resume="allow",
            reinit="create_new",  # a run that the user's own notebook has open stays as it is
            settings=self._wandb.Settings(**QUIET),
        )
        self._without_links()
        return int(self._last.read_text()) if self._last.exists() else -1

    def add(self, step: int, numbers: dict[str, float], verdict: str | None) -> None:
        self._run.log(numbers, step=step, commit=True)  # which is told at once, and not with the next step
        if verdict is not None:
            self._run.summary["verdict"] = verdict
        write_atomically(self._last, f"{step}\n")

    def close(self, status: dict[str, Any]) -> None:
        self._run.summary["state"] = status.get("state")
        self._run.finish(exit_code=status.get("exit_code") or 0)
        self._without_links()

    def _without_links(self) -> None:
        """Take out the link to the log of wandb's own process, which no setting leaves out."""
        for path in self._last.parent.glob("*/logs/debug-core.log"):
            if path.is_symlink():
                path.unlink()
