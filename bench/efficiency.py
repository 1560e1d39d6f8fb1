"""What two processes are worth, of one thread and as many samples each, in the loop of pre-training.

Part of bench/scale.py, whose --efficiency it is: there the rows go, and it says what stands beside what. By itself this
file is one of the processes that are measured.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from selftaught.run.recipes import Pretrain
from selftaught.system import distributed, processes
from selftaught.system.interruption import stopping
from selftaught.system.text import filesize
from selftaught.training.job import Job, prepare
from selftaught.training.resolve import open_data, resolve

WARM_UP, TURNS, PORT, PAUSE = 3, 3, 29873, 0.005
ALIKE = {"method": "simclr", "precision": "32-true", "layout": "contiguous", "attention": "plain", "device": "cpu"}
LEARNERS: dict[str, dict[str, Any]] = {  # a batch is that of a process
    "ResNet-18, 32 px": {"encoder": "resnet18", "size": 32, "batch_size": 64},
    "ResNet-18, 32 px, norms of each": {"encoder": "resnet18", "size": 32, "batch_size": 64, "norm": "device"},
    "ViT-tiny, 224 px": {"encoder": "vit_tiny_patch16_224", "size": 224, "batch_size": 16},
}


def efficient(networks: list[str], rounds: int, steps: int) -> Iterator[tuple[str, str]]:
    """What two processes are worth."""
    for name in networks:
        told = []
        for turn in range(rounds):
            told.append({how: learnt(name, how, steps) for how in ("alone", "apart", "together")})
            rates = {how: round(rate_of(ran), 1) for how, ran in told[-1].items()}
            print(f"{name}, round {turn + 1} of {rounds}: {rates} samples/s", file=sys.stderr, flush=True)

        alone, apart, together = (statistics.median(rate_of(turn[how]) for turn in told) for how in told[0])
        at_once = statistics.median(in_step(turn["apart"]) / rate_of(turn["apart"]) for turn in told)
        exchange = statistics.median(
            max(one["exchange"] * steps / sum(one["took"]) for one in turn["together"]) for turn in told
        )
        memory = {how: max(one["memory"] for turn in told for one in turn[how]) for how in ("alone", "together")}
        yield f"processes: {name}; one alone", f"{alone:.1f} samples/s"
        yield f"processes: {name}; two that know nothing of each other", f"{apart:.1f} samples/s"
        yield f"processes: {name}; two together", f"{together:.1f} samples/s"
        yield f"processes: {name}; of two alone", f"{together / (2 * alone):.3f}"
        yield f"processes: {name}; of two apart", f"{together / apart:.3f}"
        yield f"processes: {name}; of two apart, did each step end with the slower of both", f"{at_once:.3f}"
        yield f"processes: {name}; share of communication", f"{1 - together / apart:.1%}"
        yield f"processes: {name}; share of an exchange of gradients, by itself", f"{exchange:.1%}"
        yield f"processes: {name}; gradients", filesize(told[0]["together"][0]["gradients"])
        yield (
            f"processes: {name}; memory of each of two, of one",
            " and ".join(map(filesize, reversed(memory.values()))),
        )


def rate_of(ran: list[dict[str, Any]]) -> float:
    """Samples a second of processes that learn at once, together."""
    return float(sum(one["batch"] * len(one["took"]) / sum(one["took"]) for one in ran))


def in_step(apart: list[dict[str, Any]]) -> float:
    """The same, if none of them began a step before all had ended the one before."""
    slowest = sum(map(max, zip(*(one["took"] for one in apart), strict=True)))
    return float(sum(one["batch"] * len(one["took"]) for one in apart) / slowest)


def learnt(name: str, how: str, steps: int) -> list[dict[str, Any]]:
    """What each of the processes that learn at once says: one alone, two apart or two together."""
    count = 1 if how == "alone" else 2
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, name, str(count), folder, str(steps)]
        running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **place(rank, count, how)})
            for rank in range(count)
        ]
        said = [one.communicate()[0] for one in running]
    if any(one.returncode for one in running):
        raise SystemExit(f"a process of {name}, {how}, failed")
    return [json.loads(line) for line in said]


def place(rank: int, count: int, how: str) -> dict[str, str]:
    """What a process is told of itself; those apart are told of no others."""
    one = {"OMP_NUM_THREADS": "1", "TURN": str(rank)}
    if how != "together":
        return one
    usual = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(PORT), "GLOO_SOCKET_IFNAME": "lo"}
    return {**one, **usual, "WORLD_SIZE": str(count), "RANK": str(rank), "LOCAL_RANK": str(rank)}


def learner(name: str, count: int, folder: Path, steps: int) -> None:
    """Learn as one of `count` processes, and print seconds of each step, bytes of memory at most, and of gradients."""
    case = LEARNERS[name]
    with processes.joined(on_gpu=False):
        job = job_of(case, folder)
        took = timed(job, steps, lambda: all_ready(folder, count))
        gradients = sum(p.nbytes for p in job.method.parameters() if p.requires_grad)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        said = {"batch": case["batch_size"], "took": took, "memory": memory, "gradients": gradients}
        print(json.dumps({**said, "exchange": exchange_of(gradients)}))


def job_of(case: dict[str, Any], folder: Path) -> Job:
    """What a process learns: its share of a batch that grows with the processes."""
    side, file = case["size"], folder / f"{os.environ['TURN']}.npy"
    np.save(file, np.random.default_rng(0).integers(0, 256, (256, side, side, 3), dtype=np.uint8))
    told = {**case, "batch_size": case["batch_size"] * distributed.world_size(), "steps": 10**6}
    recipe = Pretrain.parse({"data": str(file), **ALIKE, **told})
    with stopping(None) as stop:
        samples = open_data(recipe, stop)
    return prepare(resolve(recipe, samples), samples, None)


def exchange_of(size: int) -> float:
    """Seconds that so many bytes take to be summed by all processes, while they do nothing else."""
    if distributed.world_size() == 1:
        return 0.0
    numbers = torch.zeros(size // 4)
    dist.all_reduce(numbers)
    began = time.perf_counter()
    for _ in range(TURNS):
        dist.all_reduce(numbers)
    return (time.perf_counter() - began) / TURNS


def timed(job: Job, steps: int, ready: Callable[[], None]) -> list[float]:
    """Seconds of each of so many steps, after a few that nobody counts, from when all are ready."""
    marks: list[float] = []

    def mark(step: int, terms: Any) -> None:
        if step == WARM_UP:
            ready()
        if step >= WARM_UP:
            marks.append(time.perf_counter())

    job.fit(steps=WARM_UP + steps, watch=mark)
    return [after - before for before, after in pairwise(marks)]


def all_ready(folder: Path, count: int) -> None:
    """Wait until every process has come so far."""
    (folder / f"ready-{os.environ['TURN']}").touch()
    while len(list(folder.glob("ready-*"))) < count:
        time.sleep(PAUSE)


if __name__ == "__main__":
    torch.set_num_threads(1)
    learner(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
