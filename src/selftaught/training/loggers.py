"""Where the lines of metrics.jsonl go as well, by the user's choice: TensorBoard, or what another package offers."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

import yaml

from selftaught.run.folder import RunFolder
from selftaught.system.components import hint
from selftaught.system.errors import UsageError
from selftaught.system.saying import say
from selftaught.system.text import printable

GROUP = "selftaught.loggers"  # of entry points, each naming what makes a logger when it is called


class Logger(Protocol):
    """Sees a run as its folder does. Whatever it raises is said once, and it is left out from there on."""

    def start(self, folder: Path, recipe: dict[str, Any], step: int) -> None:
        """Before the first step: the run folder, recipe.yaml, and the last step that is done.

        A resumed run does the steps after `step` again, so lines of these that came before it are void.
        """

    def log(self, step: int, line: dict[str, Any]) -> None:
        """A line of metrics.jsonl."""

    def end(self, status: dict[str, Any]) -> None:
        """After the last line, whatever ended the run: status.json."""


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


OWN: dict[str, Callable[[], Logger]] = {"tensorboard": TensorBoard}


class Loggers:
    """The loggers of one run. None of them can change or end it."""

    def __init__(self, names: str | None) -> None:
        """`names` as of --logger. Raises UsageError where one is not there or cannot be made."""
        wanted = dict.fromkeys(name.strip() for name in (names or "").split(",") if name.strip())
        if names and not wanted:
            raise UsageError(f"--logger cannot be {printable(names)!r}, which names none; for none leave it out")
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


def scalars(line: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a line by name, those in tables as table/name; the step itself is none."""
    for name, value in line.items():
        if isinstance(value, Mapping):
            yield from scalars(value, f"{above}{name}/")
        elif isinstance(value, int | float) and name != "step":
            yield above + name, float(value)


def as_code(values: dict[str, Any]) -> str:
    """Plain values as YAML in a block of Markdown, as TensorBoard shows text."""
    lines = yaml.safe_dump(values, sort_keys=False, allow_unicode=True).splitlines()
    return "".join(f"    {line}\n" for line in lines)


def _made(name: str) -> Logger:
    plugins = {point.name: point for point in entry_points(group=GROUP)}
    if name not in OWN and name not in plugins:
        raise UsageError(f"no logger named {name!r}; {hint(name, {*OWN, *plugins})}")
    try:
        return OWN[name]() if name in OWN else plugins[name].load()()
    except UsageError:
        raise
    except Exception as error:  # anything can be wrong with somebody else's package
        raise UsageError(f"--logger {name} cannot be used: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    return printable(f"{type(error).__name__}: {' '.join(str(error).split())}")
