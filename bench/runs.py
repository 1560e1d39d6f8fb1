"""Runs that measurements are made on: one that was cut goes on, one that is done is not made again."""

from pathlib import Path
from typing import Any

import selftaught
from selftaught.commands.python import Run


def made(out: Path, data: str, **told: Any) -> Run:
    """The run in `out`, made or gone on with; `told` is what `pretrain` takes."""
    run = Run.open(out) if out.exists() else None
    if run is not None and run.status.get("state") == "done":
        return run
    return selftaught.pretrain(data, out=str(out), resume=run is not None, **told)
