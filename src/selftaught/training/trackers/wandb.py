"""Weights & Biases: a run on this machine, which `wandb sync` may send later, unless WANDB_MODE asks for another."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selftaught.system.errors import UsageError
from selftaught.system.telemetry import switch_off
from selftaught.training.trackers.contract import PROJECT, Tracker

QUIET = {  # beside the numbers nothing is taken down: of the machine, its packages, the code, or what is printed
    **dict.fromkeys(
        ("disable_git", "disable_code", "x_disable_stats", "x_disable_meta", "x_disable_machine_info"), True
    ),
    **{"console": "off", "silent": True, "save_code": False, "x_save_requirements": False},
    "host": "",  # the name of the machine
    "symlink": False,  # a run folder holds none
}
MAGIC, HEADER, BLOCK = 7, 7, 32768  # bytes: before the first record, before each part of one, and of a block
WHOLE, LAST = 1, 4  # kinds of parts that end a record


class Wandb(Tracker):
    """Writes to RUN/wandb, or to WANDB_DIR."""

    def __init__(self) -> None:
        switch_off()
        try:
            import wandb
        except ImportError:
            raise UsageError("--logger wandb needs wandb: pip install 'selftaught[wandb]'") from None
        self._wandb: Any = wandb

    def open(self, folder: Path, identity: str, recipe: dict[str, Any]) -> int:
        place = os.environ.get("WANDB_DIR", str(folder))
        self._held = Path(place, "wandb")
        last = self._last(identity)
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            dir=place,
            id=identity,
            name=folder.name,
            config=recipe,
            mode=os.environ.get("WANDB_MODE", "offline"),
            resume="allow",
            reinit="create_new",  # a run that the user's own notebook has open stays as it is
            settings=self._wandb.Settings(**QUIET),
        )
        self._without_links()
        return max(last, self._run.step - 1)  # what a server has, where there is one, is before its next step

    def add(self, step: int, numbers: dict[str, float], verdict: str | None) -> None:
        self._run.log(numbers, step=step, commit=True)  # which is told at once, and not with the next step
        if verdict is not None:
            self._run.summary["verdict"] = verdict

    def close(self, status: dict[str, Any]) -> None:
        self._run.summary["state"] = status.get("state")
        self._run.finish(exit_code=status.get("exit_code") or 0)
        self._without_links()

    def _without_links(self) -> None:
        """Take out the link to the log of wandb's own process, which no setting leaves out."""
        for path in self._held.glob("*/logs/debug-core.log"):
            if path.is_symlink():
                path.unlink()

    def _last(self, identity: str) -> int:
        """The last step on this machine, or -1. What wandb had not written when all was killed is not there."""
        from wandb.proto.wandb_internal_pb2 import Record

        for file in sorted(self._held.glob(f"*run-*-{identity}/run-{identity}.wandb"), reverse=True):
            told = [Record.FromString(raw) for raw in records(file.read_bytes())]
            if steps := [record.history.step.num for record in told if record.HasField("history")]:
                return int(steps[-1])
        return -1


def records(held: bytes) -> Iterator[bytes]:
    """The whole records of a file of wandb's, which is a log as LevelDB writes it; its end may be torn.

    A block holds parts of records, each behind its checksum (4 bytes), its length (2) and its kind (1).
    https://github.com/google/leveldb/blob/main/doc/log_format.md
    """
    at, record = MAGIC, b""
    while at + HEADER <= len(held):
        if (left := BLOCK - at % BLOCK) < HEADER:  # too little for a part: the rest of the block is empty
            at += left
            continue
        size, kind = int.from_bytes(held[at + 4 : at + 6], "little"), held[at + 6]
        begin, at = at + HEADER, at + HEADER + size
        if not kind or at > len(held):
            return
        record += held[begin:at]
        if kind in (WHOLE, LAST):
            yield record
            record = b""
