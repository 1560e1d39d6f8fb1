"""What a logger is told of a run, and what trackers share, which keep what they were told."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import yaml

from selftaught.system.ownership import manifest_of

PROJECT = "selftaught"  # under which runs stand in a tracker, where its own environment variable names no other


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


class Tracker(ABC):
    """A logger whose tool forgets nothing: a run that goes on is the same one there, and no step comes twice.

    Steps that a resumed run does again are bit for bit what they were, so those that the tool has are passed over. A
    run is known by the random id of its folder, which `--overwrite` draws anew.
    """

    def start(self, folder: Path, recipe: dict[str, Any], step: int) -> None:
        """Open the run in the tool. Raises ValueError where the folder's list cannot be read."""
        manifest = manifest_of(folder)
        if manifest is None:
            raise ValueError("selftaught.jsonl, which has the id of the run, cannot be read")
        self._has = self.open(folder.resolve(), manifest.id, recipe)

    def log(self, step: int, line: dict[str, Any]) -> None:
        """Hand on the numbers of a line, and its verdict in words, unless the tool has that step."""
        if step > self._has:
            self.add(step, dict(scalars(line)), line.get("verdict"))
            self._has = step

    def end(self, status: dict[str, Any]) -> None:
        """Say in the tool how the run ended."""
        self.close(status)

    @abstractmethod
    def open(self, folder: Path, identity: str, recipe: dict[str, Any]) -> int:
        """Begin the run of this id, or go on with it; the last step that the tool has, or -1."""

    @abstractmethod
    def add(self, step: int, numbers: dict[str, float], verdict: str | None) -> None:
        """Write down a step."""

    @abstractmethod
    def close(self, status: dict[str, Any]) -> None:
        """Write down how the run ended: status.json."""


def scalars(line: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a line by name, those in tables as table/name; the step itself is none."""
    for name, value in line.items():
        if isinstance(value, Mapping):
            yield from scalars(value, f"{above}{name}/")
        elif isinstance(value, int | float) and name != "step":
            yield above + name, float(value)


def settings(recipe: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """What was chosen, by dotted name and in words, as tools want it that know no tables."""
    for name, value in recipe.items():
        if isinstance(value, Mapping):
            yield from settings(value, f"{above}{name}.")
        elif value is not None:
            yield above + name, str(value)


def as_code(values: dict[str, Any]) -> str:
    """Plain values as YAML in a block of Markdown, as TensorBoard and MLflow show text."""
    lines = yaml.safe_dump(values, sort_keys=False, allow_unicode=True).splitlines()
    return "".join(f"    {line}\n" for line in lines)
