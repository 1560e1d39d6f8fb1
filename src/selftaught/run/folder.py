"""A run: the folder that pre-training leaves behind."""

import json
import os
import platform
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from selftaught.run.claim import OwnedFolder
from selftaught.run.layout import ALL, owned, refuse_classifier
from selftaught.run.recipes import Pretrain
from selftaught.run.records import BadStep, Line, Replaced, Status
from selftaught.system.errors import DivergedError, Interrupted, UsageError, exit_code_of
from selftaught.system.files import append_line, folder_of, spared, write_json
from selftaught.system.lines import keep_lines
from selftaught.system.ownership import manifest_of, odd
from selftaught.system.quarantine import write_quarantine
from selftaught.system.reading import json_lines, json_object
from selftaught.system.saying import say
from selftaught.system.text import printable

if TYPE_CHECKING:
    from torch import nn


MOST_FOLDERS = 100  # of samples that are counted
# In status.json, and stay there.
AT_START = ("chance", "health_at_start", "watched_at_start", "watched_by", "watched_measure")
LINES = {"metrics.jsonl": Line, "bad_batches.jsonl": BadStep, "replaced.jsonl": Replaced}  # of a step a line
TIMES = ("seconds", "samples_per_second")  # in status.json, of a run that is done


def versions() -> dict[str, str]:
    """Of what a run is made with, by package."""
    return {name: version(name) for name in ("selftaught", "torch", "torchvision", "timm", "numpy", "pillow")}


class RunFolder(OwnedFolder):
    """A run folder; see the design for its layout. It can be moved and opened without this package."""

    def __init__(self, folder: str | Path, module: "nn.Module | None" = None) -> None:
        super().__init__(folder)
        self.module = module  # the user's own network, which no file can hold
        self._complained = False

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """An existing run; a folder that is none is a usage error."""
        run = cls(folder)
        if not run.exists():
            raise UsageError(_is_no_run(run.folder))
        for line in odd(run.folder, owned(ALL)):
            say(f"warning: {line}, and is left out")
        return run

    @property
    def recipe(self) -> Pretrain:
        """What was decided about this run. Raises UsageError of a classifier, which is made otherwise."""
        refuse_classifier(self.folder)
        return Pretrain.load(self.folder / "recipe.yaml")

    @property
    def status(self) -> dict[str, Any]:
        """{state, reason, exit_code, ...} as last written."""
        try:
            return json_object(self.folder / "status.json", Status)
        except (OSError, ValueError) as error:
            if not self._complained:  # once, not whenever it is asked for until it is written again
                shown = printable(self.folder / "status.json")
                say(f"warning: {shown} cannot be read, and is made anew: {printable(error)}")
            self._complained = True
            return {}

    def set_status(self, state: str, reason: str = "", exit_code: int | None = None, **more: Any) -> None:
        """Record where the run stands: running, preempted, diverged, failed or done.

        What its start was like stays, and how long it took where it was done once.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        stays = {key: value for key, value in self.status.items() if key in (*AT_START, *TIMES)}
        status = {"state": state, "reason": reason, "exit_code": exit_code, "time": now, "pid": os.getpid()}
        with spared("status.json"):
            write_json(self.folder / "status.json", {**status, **stays, **more})

    @contextmanager
    def working(self, task: str | None = None) -> Iterator[dict[str, Any]]:
        """Record how the work inside ends: done, with what it puts into the dict it gets, or why not.

        A `task` is running from here on. Pre-training, which is none, says so itself as soon as it has the scores of
        its start, which belong to that status: what is killed earlier has no status, as nothing was trained.
        """
        about: dict[str, Any] = {"task": task} if task else {}
        result: dict[str, Any] = {}
        if task:
            self.set_status("running", **about)
        try:
            yield result
        except (Interrupted, KeyboardInterrupt) as error:  # a second Ctrl-C brings no words of its own
            self.set_status("preempted", str(error) or "stopped at once", Interrupted.exit_code, **about)
            raise
        except DivergedError as error:
            self.set_status("diverged", str(error), error.exit_code, **about)
            raise
        except BaseException as error:  # of all kinds: somebody's own function may leave by sys.exit
            self.set_status("failed", f"{type(error).__name__}: {error}", exit_code_of(error), **about)
            raise
        self.set_status("done", "", 0, **about, **result)

    def write_environment(self, **more: Any) -> None:
        """Record what the run was made with."""
        write_json(
            self.folder / "environment.json",
            {
                "python": platform.python_version(),
                "platform": platform.platform(),
                "packages": versions(),
                "cpus": os.cpu_count(),
                "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
                **more,
            },
        )

    def write_data(
        self, things: str, as_seen: str, count: int, keys: Iterable[str], looked_at: Mapping[str, Any] | None
    ) -> None:
        """Record how many samples there are, and in which folders most of them lie.

        keys: of all, or of those that are `looked_at`, of which it is recorded what they are like.
        """
        folders = Counter(folder_of(printable(key)) for key in keys).most_common(MOST_FOLDERS)
        facts = {"samples": f"{count:,} {things}", "as seen": as_seen, "folders": dict(folders)}
        write_json(self.folder / "data.json", facts | ({"looked at": looked_at} if looked_at else {}))

    def write_quarantine(self, quarantined: Sequence[tuple[str, str]]) -> None:
        """List images that were not used, with the reason."""
        write_quarantine(self.folder / "quarantine.csv", quarantined)

    def metrics(self) -> list[dict[str, Any]]:
        """Every complete line of metrics.jsonl."""
        return json_lines(self.folder / "metrics.jsonl", Line)[0]

    def forget_metrics_after(self, step: int) -> None:
        """Drop lines past a checkpoint, which a resumed run will write again."""
        for name, schema in LINES.items():
            if (file := self.folder / name).exists():
                keep_lines(file, schema, lambda line: line["step"] <= step)

    def note_step(self, line: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl: what a step came to."""
        with spared(f"the metrics of step {line['step']:,}"):
            append_line(self.folder / "metrics.jsonl", json.dumps(line))

    def note_step_again(self, line: dict[str, Any]) -> None:
        """Put a line in the place of the last one of metrics.jsonl, where that is of the same step, or after it."""
        file, step = self.folder / "metrics.jsonl", line["step"]
        with spared(f"the look at step {step:,}"):
            if file.exists():
                keep_lines(file, Line, lambda known: known["step"] < step)
            append_line(file, json.dumps(line))

    def note_bad_step(self, line: dict[str, Any]) -> None:
        """Add a line to bad_batches.jsonl: a step that was left out, and its samples."""
        with spared("a line of bad_batches.jsonl"):
            append_line(self.folder / "bad_batches.jsonl", json.dumps(line))

    def bad_steps(self) -> list[int]:
        """Numbers of the steps in bad_batches.jsonl."""
        return [line["step"] for line in json_lines(self.folder / "bad_batches.jsonl", BadStep)[0]]

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"


def fresh_folder(name: str) -> Path:
    """The default run folder, made: runs/<name>-<n> with the first n that is free."""
    for number in count(1):
        folder = Path("runs") / f"{name}-{number}"
        with suppress(FileExistsError):  # another run's, which may have begun in this very moment
            folder.mkdir(parents=True)
            return folder
    raise AssertionError


def _is_no_run(folder: Path) -> str:
    """What to say of what was taken for a run folder and is none."""
    shown, manifest = printable(folder), manifest_of(folder)
    if manifest and manifest.kind == "comparison":
        return (
            f"{shown} is a comparison, not a run: its page is comparison.html in it, and its runs lie in {shown}/runs"
        )
    if folder.is_dir():
        return f"{shown} is not a run folder (it holds no recipe.yaml)"
    return (
        f"{shown} is a file, not a run folder" if folder.exists() else f"{shown} is not a run folder: it does not exist"
    )
