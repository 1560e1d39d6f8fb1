"""TensorBoard: event files in the run folder."""

from pathlib import Path
from typing import Any

from selftaught.system.errors import UsageError
from selftaught.training.trackers.contract import as_code, scalars


class TensorBoard:
    """Writes the numbers of each line, and the verdict in words, to RUN/tensorboard."""

    def __init__(self) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UsageError("--logger tensorboard needs tensorboard: pip install 'selftaught[tensorboard]'") from None
        self._open: Any = SummaryWriter

    def start(self, folder: Path, recipe: dict[str, Any], step: int) -> None:
        self._step = step
        self._writer = self._open(str(folder / "tensorboard"), purge_step=step + 1)
        self._writer.add_text("recipe", as_code(recipe), step)

    def log(self, step: int, line: dict[str, Any]) -> None:
        self._step = step
        for name, value in scalars(line):
            self._writer.add_scalar(name, value, step)
        if "verdict" in line:
            self._writer.add_text("verdict", line["verdict"], step)
        self._writer.flush()  # what a killed run has in metrics.jsonl is to be seen here as well

    def end(self, status: dict[str, Any]) -> None:
        self._writer.add_text("status", as_code(status), self._step)
        self._writer.close()
