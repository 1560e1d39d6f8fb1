"""Runs by this process and those that were started beside it, a few at a time; `python -m tests.distributed.runs`."""

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

import selftaught
from selftaught.methods import registry
from selftaught.system import randomness
from selftaught.system.errors import SelftaughtError, UsageError
from tests.methods.test_contract import side, small
from tests.teachers import teacher_for

ROOT = Path(__file__).parents[2]
STEPS, BATCH, COUNT = 20, 16, 160
SMALLEST = 32  # pixels that the teacher takes
# Batch norm of all samples, and in groups; negatives, a queue. bench/processes.py has all methods.
WHOLE = ["simclr", "moco"]
SPREAD = ["moco", "mae"]  # a slow self, and blocks; masks drawn by row
# The norm of a gradient, and those of weights, are of all rows; and a step that is returned to has rows as well. One is
# shown its samples in blocks, of which each process reads its own.
CHANGED: dict[str, dict[str, Any]] = {
    "moco": {"training": {"optimizer": "lars", "clip": 0.1}},
    "mae": {"training": {"optimizer": "sgd", "clip": 0.1}, "choose": "rankme", "order": "blocks"},
}
# By metadata, too, one process and several learn the same.
TOLD = {"positives": "same:patient", "suppress": "scanner", "predict": "time"}
SAME = {"precision": "32-true", "layout": "contiguous", "attention": "plain", "device": "cpu", "map": 0, "log_every": 1}


def data(folder: Path, name: str = "data", seed: int = 0) -> Path:
    """Images without a codec between them and the network."""
    file = folder / f"{name}.npz"
    if not file.exists():
        facts = {"patient": np.arange(COUNT) // 3, "time": np.arange(COUNT) * 0.7}
        scanner = np.array([f"s{row % 3}" if row % 7 else "" for row in range(COUNT)])  # of some it is not known
        images = np.random.default_rng(seed).integers(0, 255, (COUNT, 32, 32, 3), dtype=np.uint8)
        np.savez(file, x=images, scanner=scanner, **facts)
    return file


def settings(name: str, folder: Path) -> dict[str, Any]:
    """What a run of a method is asked for: the same whatever the number of processes."""
    cls = registry.method_class(name)
    return {
        "method": {"name": name, "options": small(name)},
        "encoder": "test_vit" if cls.needs_tokens else "test_resnet",
        "batch_size": BATCH,
        "steps": STEPS,
        "size": SMALLEST if cls.needs_teacher else side(name),
        **SAME,
        **teacher_for(name, folder / "teacher"),
        **(TOLD if name == "simclr" else {}),
    }


def losses(run: Path) -> list[float]:
    """The loss of each step, as the run wrote it down."""
    return [line["loss"] for line in selftaught.Run(run).metrics()]


def apart(name: str, one: Path, many: Path) -> float:
    """The largest relative difference between the losses of two runs of a method."""
    pairs = list(zip(losses(one / name), losses(many / name), strict=True))
    assert len(pairs) == STEPS
    return max(abs(a - b) / max(abs(a), 1e-6) for a, b in pairs)


def start(count: int, words: list[str], port: int, **told: str) -> list[subprocess.Popen[bytes]]:
    """So many processes of this module, as torchrun would start them, but that the first of them has the store."""
    usual = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.distributed.runs", *words]
    where = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **usual, **told}
    return [
        subprocess.Popen(command, cwd=ROOT, env={**where, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(count)
    ]


def train(folder: Path, out: Path, names: list[str], **more: Any) -> None:
    """A run of each method, in `out`."""
    for name in names:
        selftaught.pretrain(data(folder), out=out / name, **settings(name, folder), **more)


def changed(folder: Path, out: Path, names: list[str], **more: Any) -> None:
    """The same, where some are trained otherwise than they are by default."""
    for name in names:
        train(folder, out, [name], **CHANGED.get(name, {}), **more)


def refused(folder: Path, **unlike: Any) -> str:
    """What is said where this process is asked for something else than the others."""
    try:
        selftaught.pretrain(**{"data": data(folder), "out": folder / "refused", **settings("simclr", folder), **unlike})
    except UsageError as error:
        return str(error)
    return ""


class Team:
    """One of the processes that were started together, of which the first few work as if they were all."""

    def __init__(self, folder: Path, ports: list[str]) -> None:
        self.folder, self.ports, self.rank = folder, ports, int(os.environ["RANK"])

    def of(self, count: int) -> bool:
        """Whether this process is one of the first `count`, which it then believes to be all."""
        os.environ |= {"WORLD_SIZE": str(count), "MASTER_PORT": self.ports[count // 2]}
        return self.rank < count

    def ends(self, name: str, out: str, **more: Any) -> None:
        """Train, and write down for the tests how that ended here."""
        told: dict[str, Any] = {"code": 0, "line": ""}
        try:
            changed(self.folder, self.folder / out, [name], **more)
        except SelftaughtError as error:
            told = {"code": error.exit_code, "line": str(error)}
        except RuntimeError as error:
            told = {"code": 1, "line": str(error)}
        (self.folder / f"{out}-{self.rank}.json").write_text(json.dumps(told))
        gc.collect()  # what failed here holds connections, as it would not where its process ends

    def struck(self, name: str, out: str, rank: int, step: int, act: Callable[[], Any], **more: Any) -> None:
        """The same, with something that one process does in the middle of a step."""
        with striking(step, act if rank == self.rank else lambda: None):
            self.ends(name, out, **more)

    def resumed(self, name: str, out: str, shards: list[str]) -> None:
        """A quarter of a run by one process, another by two, by four and by two; a signal to the last ends each."""
        for turn, (count, shard) in enumerate(zip((1, 2, 4, 2), shards, strict=True)):
            if self.of(count):
                last = (turn + 1) * STEPS // 4 - 1
                act = (lambda: os.kill(os.getpid(), signal.SIGTERM)) if turn < 3 else lambda: None
                self.struck(name, out, count - 1, last, act, resume=True, shard=shard)


@contextmanager
def striking(step: int, act: Callable[[], Any]) -> Iterator[None]:
    """Act in the forward pass of a step."""
    fit = importlib.import_module("selftaught.training.fit")

    def at(seed: int, now: int, rows: slice, count: int) -> Any:
        if now == step:
            act()
        return randomness.at(seed, now, rows, count)

    fit.randomness = SimpleNamespace(at=at, seed_torch=randomness.seed_torch)
    try:
        yield
    finally:
        fit.randomness = randomness


def fail(error: BaseException) -> None:
    """Raise it."""
    raise error


def main(folder: str, first: str, second: str) -> None:
    """Everything that several processes show, in turn: by two, by four, and at last what ends one of them."""
    torch.set_num_threads(1)
    place = Path(folder)
    team = Team(place, [first, first, second])
    if team.of(2):
        said = [refused(place, seed=team.rank), refused(place, data=data(place, f"other-{team.rank}", seed=team.rank))]
        said.append(refused(place, shard="3"))
        (place / f"said-{team.rank}.txt").write_text("\n".join(said))
        changed(place, place / "two", WHOLE)
        changed(place, place / "spread", SPREAD, shard="2")
    team.resumed("mae", "resumed", ["none", "2", "none", "2"])
    if team.of(2):
        team.struck("simclr", "raises", 1, 6, lambda: fail(RuntimeError("a fault of its own")), checkpoint_every="5")
        team.struck("simclr", "short", 1, 6, lambda: fail(MemoryError()))
        team.struck("simclr", "hangs", 1, 6, threading.Event().wait, checkpoint_every="5")


def methods(folder: str, out: str, shard: str, *names: str) -> None:
    """A run of each method, for a bench; one that fails is no reason to leave the others out."""
    torch.set_num_threads(1)
    for name in names:
        try:
            train(Path(folder), Path(out), [name], shard=shard)
        except Exception as error:
            print(f"{name} by process {os.environ['RANK']}: {type(error).__name__}: {error}", file=sys.stderr)


if __name__ == "__main__":
    (methods if sys.argv[1] == "methods" else main)(*sys.argv[1 + (sys.argv[1] == "methods") :])
