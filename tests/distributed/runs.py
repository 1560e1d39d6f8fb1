"""Runs by this process and those that were started beside it, a few at a time."""

import gc
import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

import selftaught
from selftaught.data import first_pass
from selftaught.methods import registry
from selftaught.run import checkpoint
from selftaught.system import randomness
from selftaught.system.errors import SelftaughtError, UsageError
from selftaught.training.job import Job
from tests.children import beside
from tests.methods.making import side, small
from tests.networks import HALVED, NARROW, SHALLOW
from tests.teachers import teacher_for

ROOT = Path(__file__).parents[2]
STEPS, FEW, BATCH, COUNT = 20, 3, 16, 160
NETWORKS = {"narrow": NARROW, "halved": HALVED}  # of methods that do without tokens
SMALLEST = 32  # pixels that the teacher takes
# Batch norm of all samples, and in groups; negatives, a queue. bench/processes.py has all methods.
WHOLE = ["simclr", "moco"]
SAMPLED = "vicreg"  # by which images are learnt of which only some were looked at
BROKEN = (3, 50, 51, 120)  # of these
SPREAD = ["moco", "mae"]  # a slow self, and blocks; masks drawn by row
# The norm of a gradient, and those of weights, are of all rows; and a step that is returned to has rows as well. One is
# shown its samples in blocks, of which each process reads its own.
CHANGED: dict[str, dict[str, Any]] = {
    "moco": {"training": {"optimizer": "lars", "clip": 0.1}},
    "mae": {"training": {"optimizer": "sgd", "clip": 0.1}, "choose": "rankme", "order": "blocks"},
}
# By metadata, too, one process and several learn the same.
TOLD = {"positives": "same:patient", "suppress": "scanner", "predict": "time"}
# What has been said to be spread besides, in a few steps on a few samples.
UNUSUAL: dict[str, tuple[str, dict[str, Any]]] = {
    "lora": ("mae", {"adapt": "lora:8", "encode_chunk": 4}),
    "half": ("mae", {"precision": "bf16-mixed"}),
    "own": ("simclr", {"precision": "64-true", "adapt": "lora:2"}),
}
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


def settings(name: str, folder: Path, network: str = "narrow") -> dict[str, Any]:
    """What a run of a method is asked for: the same whatever the number of processes."""
    cls = registry.method_class(name)
    return {
        "method": {"name": name, "options": small(name)},
        "encoder": (SHALLOW if cls.needs_tokens else NETWORKS[network]).model_dump(),
        "batch_size": BATCH,
        "steps": STEPS,
        "size": SMALLEST if cls.needs_teacher else side(name),
        **SAME,
        **teacher_for(name, folder / "teacher"),
        **(TOLD if name == "simclr" else {}),
    }


def losses(run: Path) -> dict[int, float]:
    """The loss of each step that the run wrote down."""
    return {line["step"]: line["loss"] for line in selftaught.Run(run).metrics()}


def apart(name: str, one: Path, many: Path, steps: int = STEPS) -> float:
    """The largest relative difference between the losses of two runs of a method, where the other wrote them down."""
    whole, shown = losses(one / name), losses(many / name)
    assert len(whole) == steps and steps in shown and shown.keys() <= whole.keys()
    return max(abs(whole[step] - loss) / max(abs(whole[step]), 1e-6) for step, loss in shown.items())


def start(count: int, work: Callable[[], None], port: int, **told: str) -> list[BaseProcess]:
    """So many processes at the same work, told of each other as by torchrun, but that the first of them has the store.

    They are forked, which is that much sooner than to import torch in each.
    """
    usual = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}

    def of_many(rank: int) -> None:
        os.environ |= {**usual, **told, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        torch.set_num_threads(1)
        work()

    return beside(count, of_many)


def train(folder: Path, out: Path, names: list[str], network: str = "narrow", **more: Any) -> None:
    """A run of each method, in `out`."""
    for name in names:
        selftaught.pretrain(data(folder), out=out / name, **{**settings(name, folder, network), **more})


def photos(folder: Path) -> Path:
    """The same images in files, of which some are broken."""
    root = folder / "photos"
    if not root.exists():
        root.mkdir()
        for row, pixels in enumerate(np.load(data(folder))["x"]):
            Image.fromarray(pixels).save(root / f"{row:03d}.png")
        for row in BROKEN:
            (root / f"{row:03d}.png").write_bytes(b"no image")
    return root


def by_sample(folder: Path, out: Path, **more: Any) -> None:
    """A run that looks at eight images before it begins, none of which is broken."""
    held, first_pass.LOOKED_AT = first_pass.LOOKED_AT, 8
    told = {"first_pass": "sample", "tolerance": 0.1, **settings(SAMPLED, folder), **more}
    try:
        selftaught.pretrain(photos(folder), out=out / SAMPLED, **told)
    finally:
        first_pass.LOOKED_AT = held


def changed(folder: Path, out: Path, names: list[str], **more: Any) -> None:
    """The same, where some are trained otherwise than they are by default."""
    for name in names:
        train(folder, out, [name], **CHANGED.get(name, {}), **more)


def unusual(folder: Path, out: Path, known: Path, **more: Any) -> None:
    """A short run of each kind; what is adapted begins with the encoder of a run that is `known`, or with one's own."""
    for kind, (name, told) in UNUSUAL.items():
        told = {**settings(name, folder), "steps": FEW, "limit": 2 * BATCH, **told, **more}
        if kind == "lora":
            told |= {"init": str(known / name)}
        torch.manual_seed(0)
        if kind == "own":
            told |= {"encoder": nn.Sequential(nn.Conv2d(3, 8, 3, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())}
        selftaught.pretrain(data(folder), out=out / kind, **told)


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

    def in_pairs(self) -> None:
        """From now on two and two believe to be all; the second pair meets elsewhere."""
        place, port = str(self.rank % 2), self.ports[1 + 2 * (self.rank // 2)]
        os.environ |= {"RANK": place, "LOCAL_RANK": place, "WORLD_SIZE": "2", "MASTER_PORT": port}

    def of(self, count: int) -> bool:
        """Whether this process is one of the first `count`, which it then believes to be all."""
        os.environ |= {"WORLD_SIZE": str(count), "MASTER_PORT": self.ports[count // 2]}
        return self.rank < count

    def ends(self, name: str, out: str, **more: Any) -> None:
        """Train, and write down for the tests how that ended here."""
        self.told(out, lambda: changed(self.folder, self.folder / out, [name], **more))

    def told(self, out: str, work: Callable[[], None]) -> None:
        """Write down for the tests how some work ended here."""
        told: dict[str, Any] = {"code": 0, "line": ""}
        try:
            work()
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
def stopping(really: bool) -> Iterator[None]:
    """Stop this process, with all its threads, as soon as it has something of a checkpoint to write."""
    own = checkpoint._write_tensors
    checkpoint._write_tensors = (lambda *told: os.kill(os.getpid(), signal.SIGSTOP)) if really else own
    try:
        yield
    finally:
        checkpoint._write_tensors = own


@contextmanager
def counting(file: Path) -> Iterator[None]:
    """Write down how often weights that are spread were brought together."""
    own, times = Job.gather, []

    def gather(self: Job) -> None:
        times.append(self.moves)
        own(self)

    Job.gather = gather  # type: ignore[method-assign]
    try:
        yield
    finally:
        Job.gather = own  # type: ignore[method-assign]
        file.write_text(json.dumps(times))


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


def show(place: Path, first: int, second: int, third: int) -> None:
    """Everything that several processes show, in turn: by two, by four, and in two pairs what ends one of them.

    They meet at these ports of this machine.
    """
    team = Team(place, [str(port) for port in (first, first, second, third)])
    if team.of(2):
        said = [refused(place, seed=team.rank), refused(place, data=data(place, f"other-{team.rank}", seed=team.rank))]
        said.append(refused(place, shard="3"))
        (place / f"said-{team.rank}.txt").write_text("\n".join(said))
        changed(place, place / "two", WHOLE)
        for name in SPREAD:
            with counting(place / f"gathered-{name}-{team.rank}.json"):
                changed(place, place / "spread", [name], shard="2")
        unusual(place, place / "spread", place / "spread", shard="2")
        by_sample(place, place / "sampled-two", log_every=3)
        team.told("too-many", lambda: by_sample(place, place / "too-many", tolerance=0.01))
    team.resumed("mae", "resumed", ["none", "2", "none", "2"])
    team.in_pairs()
    if team.rank > 1:
        with stopping(team.rank == 3):
            team.ends("moco", "stops", checkpoint_every="5", shard="2")
    else:
        team.struck("simclr", "raises", 1, 6, lambda: fail(RuntimeError("a fault of its own")), checkpoint_every="5")
        team.struck("simclr", "short", 1, 6, lambda: fail(MemoryError()))
        team.struck("simclr", "hangs", 1, 6, threading.Event().wait, checkpoint_every="5")


def methods(folder: Path, out: Path, names: list[str], network: str, **more: Any) -> None:
    """A run of each method, for a bench; one that fails is no reason to leave the others out."""
    for name in names:
        try:
            train(folder, out, [name], network, **more)
        except Exception as error:
            print(f"{name} by process {os.environ['RANK']}: {type(error).__name__}: {error}", file=sys.stderr)
