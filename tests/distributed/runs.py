"""Runs of several methods by this process and those that were started beside it; `python -m tests.distributed.runs`."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

import selftaught
from selftaught.methods import registry
from selftaught.system.errors import UsageError
from tests.methods.test_contract import side, small
from tests.teachers import teacher_for

ROOT = Path(__file__).parents[2]
STEPS, BATCH, COUNT = 20, 16, 160
SAME = {"precision": "32-true", "layout": "contiguous", "attention": "plain", "device": "cpu", "map": 0, "log_every": 1}


def data(folder: Path, name: str = "data", seed: int = 0) -> Path:
    """Images without a codec between them and the network."""
    file = folder / f"{name}.npz"
    if not file.exists():
        np.savez(file, x=np.random.default_rng(seed).integers(0, 255, (COUNT, 32, 32, 3), dtype=np.uint8))
    return file


def settings(name: str, folder: Path) -> dict[str, Any]:
    """What a run of a method is asked for: the same whatever the number of processes."""
    cls = registry.method_class(name)
    return {
        "method": {"name": name, "options": small(name)},
        "encoder": "test_vit" if cls.needs_tokens else "test_resnet",
        "batch_size": BATCH,
        "steps": STEPS,
        "size": side(name),
        **SAME,
        **teacher_for(name, folder / "teacher"),
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


def train(folder: Path, out: Path, names: list[str]) -> None:
    """A run of each method, in `out`."""
    for name in names:
        selftaught.pretrain(data(folder), out=out / name, **settings(name, folder))


def refused(folder: Path, **unlike: Any) -> str:
    """What is said where this process is asked for something else than the others."""
    try:
        selftaught.pretrain(**{"data": data(folder), "out": folder / "refused", **settings("simclr", folder), **unlike})
    except UsageError as error:
        return str(error)
    return ""


def main(folder: str, out: str, *names: str) -> None:
    """Two runs that are refused, as the processes disagree, and one of each method."""
    torch.set_num_threads(1)
    place, rank = Path(folder), int(os.environ["RANK"])
    said = [refused(place, seed=rank), refused(place, data=data(place, f"other-{rank}", seed=rank))]
    (place / f"said-{rank}.txt").write_text("\n".join(said))
    train(place, Path(out), list(names))


if __name__ == "__main__":
    main(*sys.argv[1:])
