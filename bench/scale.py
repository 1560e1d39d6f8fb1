"""What one process of many does for a batch of 65,536 samples: what it draws, compares, and exchanges with the others.

Draws and tiles are those of one process of 512, in the middle of the batch, by itself; exchanges are of two processes
with half the batch each, over gloo. Everything runs with one thread, the fastest of a few turns counts. Banks are
reckoned, not measured. Prints rows as they come and writes docs/results/scale.json, and a table in scale.md.

    python bench/scale.py [--only draws,tiles,exchanges,banks] [--called now]
    python bench/scale.py --efficiency [--rounds 5] [--steps 20]

The second asks what two processes are worth, of one thread and as many samples each, in the loop of pre-training:
beside one that is alone, and beside two that know nothing of each other, which share a machine's memory and clock, too.
In each round all three come in turn; medians of rounds count. For a quiet machine of two cores or more.

Rows of another name, such as those of an earlier version by this script, stay and stand beside.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F

from selftaught.contracts.method import Data
from selftaught.methods.objectives import redundancy, similarity
from selftaught.methods.parts import blocks, damage, masks
from selftaught.run.recipes import Pretrain
from selftaught.system import distributed, processes, randomness
from selftaught.system.interruption import stopping
from selftaught.system.text import filesize
from selftaught.training.job import Job, prepare
from selftaught.training.resolve import open_data, resolve

RESULT = Path(__file__).parent.parent / "docs/results/scale.json"
BATCH, PROCESSES, DIM, WIDTH = 65_536, 512, 128, 1024
SHARE = BATCH // PROCESSES  # samples of a process
PHOTOS = 2048  # where every process draws all, the noise of 65,536 photos does not fit this machine
TURNS = 3
CPU = torch.device("cpu")
WARM_UP, PORT, PAUSE = 3, 29873, 0.005
ALIKE = {"method": "simclr", "precision": "32-true", "layout": "contiguous", "attention": "plain", "device": "cpu"}
LEARNERS: dict[str, dict[str, Any]] = {  # a batch is that of a process
    "ResNet-18, 32 px": {"encoder": "resnet18", "size": 32, "batch_size": 64},
    "ViT-tiny, 224 px": {"encoder": "vit_tiny_patch16_224", "size": 224, "batch_size": 16},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="draws,tiles,exchanges,banks")
    parser.add_argument("--called", default="now")
    parser.add_argument("--efficiency", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--learner", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.one:
        one_of_two(int(asked.one[0]), Path(asked.one[1]))
        return
    if asked.learner:
        name, count, folder = asked.learner
        learner(name, int(count), Path(folder), asked.steps)
        return
    kept = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    rows = kept.setdefault(asked.called, {})
    parts: dict[str, Callable[[], Iterator[tuple[str, str]]]]
    parts = {"draws": drawn, "tiles": compared, "exchanges": exchanged, "banks": banked}
    parts["efficiency"] = partial(efficient, asked.rounds, asked.steps)
    for part in ["efficiency"] if asked.efficiency else asked.only.split(","):
        for what, value in parts[part]():
            rows[what] = value
            print(f"{what:64} {value}", flush=True)
    RESULT.write_text(json.dumps(kept, indent=1) + "\n")
    RESULT.with_suffix(".md").write_text(markdown(kept))


def fastest(call: Callable[[], Any]) -> str:
    """The least milliseconds of a few turns."""
    took = []
    for _ in range(TURNS):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return f"{1000 * min(took):.2f} ms"


def drawn() -> Iterator[tuple[str, str]]:
    """What a process draws for its rows."""
    x = torch.zeros(PHOTOS // PROCESSES, 3, 224, 224)
    data = Data(BATCH, (3, 224, 224), (0.5,) * 3, (0.25,) * 3)
    grid, asked = (14, 14), (4, (0.15, 0.2), (0.75, 1.5), (0.85, 1.0), "paper")
    calls: list[tuple[str, int, Callable[[], Any]]] = [
        ("masks of MAE, 196 tokens", BATCH, lambda: masks.random_mask(SHARE, 196, 0.75, CPU)),
        ("blocks of BEiT, 14 x 14", BATCH, lambda: masks.blockwise_mask(SHARE, grid, 0.4, CPU)),
        ("blocks of I-JEPA, 14 x 14", BATCH, lambda: blocks.context_and_targets(SHARE, grid, *asked, CPU)),  # type: ignore[arg-type]
        ("crops, 22 numbers", BATCH, lambda: randomness.uniform((SHARE, 22), "crop")),
        ("donors of cells, 100 columns", BATCH, lambda: randomness.integers(BATCH, (SHARE, 100), "donors")),
        ("masking noise, 224 px", PHOTOS, lambda: damage.masking_noise(x, 0.25, data)),
        ("Gaussian noise, 224 px", PHOTOS, lambda: damage.gaussian_noise(x, 0.25, data)),
    ]
    for what, batch, call in calls:
        first, share = batch // 2, batch // PROCESSES
        with randomness.at(0, 5, slice(first, first + share), batch):
            yield f"draws: {what}; {share} of {batch:,}", fastest(call)


def compared() -> Iterator[tuple[str, str]]:
    """Similarities of a process's views with those of all, forward and backward."""
    views, everyone = (F.normalize(torch.randn(2 * n, DIM), dim=1).requires_grad_() for n in (SHARE, BATCH))
    own = torch.arange(len(views))[:, None]

    def step() -> None:
        similarity.log_sum_exp(views, everyone, 2.0, own).mean().backward()

    yield f"tiles: NT-Xent, {len(views)} of {len(everyone):,} views, {DIM} numbers", fastest(step)


def exchanged() -> Iterator[tuple[str, str]]:
    """What two processes with half of the batch each take."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--one"]
        pair = [subprocess.Popen([*command, str(rank), folder], stdout=subprocess.PIPE) for rank in range(2)]
        said = [process.communicate()[0] for process in pair]
    if any(process.returncode for process in pair):
        raise SystemExit("one of the two processes failed")
    for what, value in json.loads(said[0]).items():
        yield f"exchanges: {what}; {BATCH // 2:,} of {BATCH:,}", value


def one_of_two(rank: int, folder: Path) -> None:
    """One of two processes; the first prints what it measured."""
    dist.init_process_group("gloo", store=dist.FileStore(str(folder / "store"), 2), rank=rank, world_size=2)
    narrow, wide = (torch.randn(BATCH // 2, dim, requires_grad=True) for dim in (DIM, WIDTH))
    calls = {
        f"gather and its backward, {DIM} numbers": lambda: distributed.gather(narrow).sum().backward(),
        f"VICReg's variance, {WIDTH} numbers": lambda: redundancy.variance(wide).backward(),
        f"VICReg's covariance, {WIDTH} numbers": lambda: redundancy.covariance(wide).backward(),
    }
    found = {what: fastest(call) for what, call in calls.items()}
    dist.destroy_process_group()
    if not rank:
        print(json.dumps(found))


def banked() -> Iterator[tuple[str, str]]:
    """Bytes of banks in each process."""
    for count, called in ((10**8, "100 million"), (10**10, "10 billion")):
        for methods, numbers in (("instance_discrimination, pirl", DIM), ("deepcluster", 2 * DIM)):
            yield f"banks: {methods}; {called} samples", f"{count * numbers * 4 / 1e9:,.1f} GB"


def efficient(rounds: int, steps: int) -> Iterator[tuple[str, str]]:
    """What two processes are worth."""
    for name in LEARNERS:
        told = [{how: learnt(name, how, steps) for how in ("alone", "apart", "together")} for _ in range(rounds)]

        def middle(how: str, told: list[Any] = told) -> float:
            return statistics.median(sum(one["rate"] for one in turn[how]) for turn in told)

        alone, apart, together = map(middle, ("alone", "apart", "together"))
        memory = {how: max(one["memory"] for turn in told for one in turn[how]) for how in ("alone", "together")}
        yield f"processes: {name}; one alone", f"{alone:.1f} samples/s"
        yield f"processes: {name}; two that know nothing of each other", f"{apart:.1f} samples/s"
        yield f"processes: {name}; two together", f"{together:.1f} samples/s"
        yield f"processes: {name}; of two alone", f"{together / (2 * alone):.3f}"
        yield f"processes: {name}; of two apart", f"{together / apart:.3f}"
        yield f"processes: {name}; share of communication", f"{1 - together / apart:.1%}"
        yield f"processes: {name}; gradients", filesize(told[0]["together"][0]["gradients"])
        yield (
            f"processes: {name}; memory of each of two, of one",
            " and ".join(map(filesize, reversed(memory.values()))),
        )


def learnt(name: str, how: str, steps: int) -> list[dict[str, float]]:
    """What each of the processes that learn at once says: one alone, two apart or two together."""
    count = 1 if how == "alone" else 2
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--steps", str(steps), "--learner", name, str(count), folder]
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
    """Learn as one of `count` processes, and print samples a second, bytes of memory at most, and of gradients."""
    case = LEARNERS[name]
    with processes.joined(on_gpu=False):
        job = job_of(case, folder)
        took = timed(job, steps, lambda: all_ready(folder, count))
        gradients = sum(p.nbytes for p in job.method.parameters() if p.requires_grad)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        print(json.dumps({"rate": case["batch_size"] * steps / took, "memory": memory, "gradients": gradients}))


def job_of(case: dict[str, Any], folder: Path) -> Job:
    """What a process learns: its share of a batch that grows with the processes."""
    side, file = case["size"], folder / f"{os.environ['TURN']}.npy"
    np.save(file, np.random.default_rng(0).integers(0, 256, (256, side, side, 3), dtype=np.uint8))
    told = {**case, "batch_size": case["batch_size"] * distributed.world_size(), "steps": 10**6}
    recipe = Pretrain.parse({"data": str(file), **ALIKE, **told})
    with stopping(None) as stop:
        samples = open_data(recipe, stop)
    return prepare(resolve(recipe, samples), samples, None)


def timed(job: Job, steps: int, ready: Callable[[], None]) -> float:
    """Seconds of so many steps, after a few that nobody counts, from when all are ready."""
    marks: list[float] = []

    def mark(step: int, terms: Any) -> None:
        if step == WARM_UP:
            ready()
        if step in (WARM_UP, WARM_UP + steps):
            marks.append(time.perf_counter())

    job.fit(steps=WARM_UP + steps, watch=mark)
    return marks[1] - marks[0]


def all_ready(folder: Path, count: int) -> None:
    """Wait until every process has come so far."""
    (folder / f"ready-{os.environ['TURN']}").touch()
    while len(list(folder.glob("ready-*"))) < count:
        time.sleep(PAUSE)


def markdown(kept: dict[str, dict[str, str]]) -> str:
    """A table with a column for each name."""
    lines = [
        f"# What a batch of {BATCH:,} costs each process",
        "",
        f"Made by `bench/scale.py`: draws and tiles of one process of {PROCESSES}, exchanges of two with half of the "
        "batch each, over gloo on one machine, where what is sent is memory copied; one thread on a CPU, the fastest "
        f"of {TURNS}. Banks are reckoned. What a process would draw for photos is taken of a batch of {PHOTOS:,}. "
        "Processes are those of `--efficiency`: SimCLR in float32, one thread each, as many samples for each of two as "
        "for one.",
        "",
        "| what | " + " | ".join(kept) + " |",
        "|---|" + "--:|" * len(kept),
    ]
    for what in dict.fromkeys(what for rows in kept.values() for what in rows):
        lines.append(f"| {what} | " + " | ".join(rows.get(what, "") for rows in kept.values()) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
