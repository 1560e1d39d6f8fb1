"""A run: the folder that pre-training leaves behind, and what can be done with it."""

import json
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UsageError
from .files import write_json
from .progress import plain
from .quarantine import write_quarantine
from .recipes import Pretrain

if TYPE_CHECKING:
    from torch import nn

    from .encoder import Encoder
    from .judging.evaluation import Evaluation

MARKS = ("recipe.yaml", "status.json")  # what makes a folder a run


class Run:
    """A run folder; see the design for its layout. It can be moved and opened without this package."""

    def __init__(self, folder: str | Path, module: "nn.Module | None" = None) -> None:
        self.folder = Path(folder)
        self.module = module  # the user's own network, which no file can hold

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """An existing run; a folder that is none is a usage error."""
        run = cls(folder)
        if not run.exists():
            raise UsageError(f"{plain(str(folder))} is not a run folder (it holds no recipe.yaml)")
        return run

    def exists(self) -> bool:
        """Whether a run was ever started here."""
        return any((self.folder / mark).exists() for mark in MARKS)

    def refuse_existing(self, resume: bool, overwrite: bool) -> None:
        """An existing folder is a usage error, unless a run in it is to be resumed or replaced."""
        if resume or not self.folder.exists() or not any(self.folder.iterdir()):
            return
        shown = plain(str(self.folder))
        if overwrite and not self.exists():
            raise UsageError(f"{shown} holds other files, not a run; choose another --out")
        if not overwrite:
            raise UsageError(
                f"{shown} already exists; use --resume to go on with it, --overwrite to replace it, or another --out"
            )

    def create(self, resume: bool, overwrite: bool) -> None:
        """Make the folder, in place of an old run where that was asked for."""
        self.refuse_existing(resume, overwrite)
        if overwrite and not resume and self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def recipe(self) -> Pretrain:
        """What was decided about this run."""
        return Pretrain.load(self.folder / "recipe.yaml")

    @property
    def status(self) -> dict[str, Any]:
        """{state, reason, exit_code, ...} as last written."""
        file = self.folder / "status.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def set_status(self, state: str, reason: str = "", exit_code: int | None = None, **facts: Any) -> None:
        """Record where the run stands: running, preempted, diverged, failed or done."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        told = {"state": state, "reason": reason, "exit_code": exit_code, "time": now, "pid": os.getpid()}
        write_json(self.folder / "status.json", {**told, **facts})

    def write_environment(self, **facts: Any) -> None:
        """Record what the run was made with."""
        packages = ("selftaught", "torch", "torchvision", "timm", "lightning-fabric", "numpy", "pillow")
        write_json(
            self.folder / "environment.json",
            {
                "python": platform.python_version(),
                "platform": platform.platform(),
                "packages": {name: version(name) for name in packages},
                "cpus": os.cpu_count(),
                "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
                **facts,
            },
        )

    def write_quarantine(self, quarantined: Sequence[tuple[str, str]]) -> None:
        """List images that were not used, with the reason."""
        write_quarantine(self.folder / "quarantine.csv", quarantined)

    def metrics(self) -> list[dict[str, Any]]:
        """Every complete line of metrics.jsonl."""
        file = self.folder / "metrics.jsonl"
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def forget_metrics_after(self, step: int) -> None:
        """Drop lines past a checkpoint, which a resumed run will write again."""
        kept = [line for line in self.metrics() if line["step"] <= step]
        (self.folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))

    def encoder(self) -> "Encoder":
        """The pre-trained encoder, in eval mode."""
        from .export import load_encoder

        return load_encoder(self.folder, module=self.module)

    def evaluate(self, train: str | Path, test: str | Path | None = None, **options: Any) -> "Evaluation":
        """Judge the encoder on labelled images; options as of `selftaught evaluate`."""
        from .judging.evaluate import evaluate
        from .recipes import Evaluate

        values = {
            "run": str(self.folder),
            "train": str(train),
            "test": str(test) if test else None,
            **options,
        }
        return evaluate(Evaluate.parse(values), module=self.module)

    def embed(self, data: str | Path, out: str | Path) -> Path:
        """Write the features of images to `out` (.npz or .parquet), with their keys."""
        from .embedding import embed

        return embed(self.folder, str(data), Path(out), module=self.module)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"


def fresh_folder(name: str) -> Path:
    """The default run folder: runs/<name>-<n> with the first n that is free."""
    number = 1
    while (folder := Path("runs") / f"{name}-{number}").exists():
        number += 1
    return folder
