"""Where the lines of metrics.jsonl go as well, by the user's choice: a tracker, or what another package offers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from selftaught.run.folder import RunFolder
from selftaught.system.components import hint
from selftaught.system.errors import UsageError
from selftaught.system.saying import say
from selftaught.system.text import printable
from selftaught.training.trackers.contract import Logger
from selftaught.training.trackers.mlflow import MLflow
from selftaught.training.trackers.tensorboard import TensorBoard
from selftaught.training.trackers.trackio import Trackio
from selftaught.training.trackers.wandb import Wandb

GROUP = "selftaught.loggers"  # of entry points, each naming what makes a logger when it is called


OWN: dict[str, Callable[[], Logger]] = {
    "tensorboard": TensorBoard,
    "wandb": Wandb,
    "mlflow": MLflow,
    "trackio": Trackio,
}


class Loggers:
    """The loggers of one run. None of them can change or end it."""

    def __init__(self, names: str | None) -> None:
        """`names` as of --logger. Raises UsageError where one is not there or cannot be made."""
        wanted = dict.fromkeys(name.strip() for name in (names or "").split(",") if name.strip())
        if names and not wanted:
            raise UsageError(f"--logger cannot be '{printable(names)}', which names none; for none leave it out")
        self._at_work = {name: _made(name) for name in wanted}
        self._started = False

    def start(self, folder: Path, recipe: dict[str, Any], step: int) -> None:
        """Tell them what the run is, and after which step it goes on."""
        self._started = True
        self._tell(lambda logger: logger.start(folder, deepcopy(recipe), step))

    def log(self, line: dict[str, Any]) -> None:
        """Tell them a line of metrics.jsonl."""
        self._tell(lambda logger: logger.log(line["step"], deepcopy(line)))

    @contextmanager
    def told_the_end(self, run: RunFolder) -> Iterator[None]:
        """Tell them afterwards how it ended, where the run has begun."""
        try:
            yield
        finally:
            if self._started:
                self._tell(lambda logger: logger.end(run.status))

    def _tell(self, what: Callable[[Logger], None]) -> None:
        for name, logger in list(self._at_work.items()):
            try:
                what(logger)
            except (Exception, SystemExit) as error:
                del self._at_work[name]
                say(f"warning: logger {name} failed and is left out: {_reason(error)}; metrics.jsonl has every line")


def _made(name: str) -> Logger:
    plugins = {point.name: point for point in entry_points(group=GROUP)}
    if name not in OWN and name not in plugins:
        raise UsageError(f"no logger named {name!r}; {hint(name, {*OWN, *plugins})}")
    try:
        return plugins[name].load()() if name in plugins else OWN[name]()
    except UsageError:
        raise
    except Exception as error:  # anything can be wrong with somebody else's package
        raise UsageError(f"--logger {name} cannot be used: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    return printable(f"{type(error).__name__}: {' '.join(str(error).split())}")
