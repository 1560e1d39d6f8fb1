"""How near is a run on a GPU to the bare step, and how long does the GPU wait? For people with a card.

Of each case: samples a second of the loop that pre-training has (`loop`), of the same step on one batch that never
changes (`bare`), and the share of the loop's time in which no kernel ran (`waits`), by torch's profiler; all beside one
another in one process, in interleaved rounds, of which medians are shown. Data are random images in memory, as decoding
is another question (bench/input.py).

    python bench/gpu.py [--cases simclr-resnet18-32,...] [--rounds 5] [--steps 30]
"""

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from selftaught.run.recipes import Pretrain
from selftaught.system.interruption import stopping
from selftaught.training.job import Job, prepare
from selftaught.training.resolve import open_data, resolve

WARM_UP = 5  # steps: cuDNN tries its kernels, the allocator fills
CASES: dict[str, dict[str, Any]] = {
    "simclr-resnet18-32": {"method": "simclr", "encoder": "resnet18", "size": 32, "batch_size": 1024},
    "simclr-resnet50-224": {"method": "simclr", "encoder": "resnet50", "size": 224, "batch_size": 256},
    "dino-vit_small-224": {"method": "dino", "encoder": "vit_small_patch16_224", "size": 224, "batch_size": 128},
    "mae-vit_base-224": {"method": "mae", "encoder": "vit_base_patch16_224", "size": 224, "batch_size": 256},
}


class Same:
    """The views of the first step, whichever is asked for."""

    def __init__(self, job: Job) -> None:
        self.views, self.device = job.batches(0), job.batches.device

    def __call__(self, step: int) -> Any:
        return self.views

    def of_run(self, steps: int, until: int) -> AbstractContextManager[None]:
        return nullcontext()


def job_of(case: dict[str, Any], folder: Path, count: int = 2048) -> Job:
    """A case on random images."""
    side = case["size"]
    np.save(folder / f"{side}.npy", np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8))
    how = {"steps": 10**6, "precision": "bf16-mixed", "layout": "channels_last", "attention": "fused"}
    recipe = Pretrain.parse({"data": str(folder / f"{side}.npy"), "memory": "64GB", **how, **case})
    with stopping(None) as stop:
        samples = open_data(recipe, stop)
    return prepare(resolve(recipe, samples), samples, None)


def rate(job: Job, batches: Any, steps: int) -> float:
    """Samples a second of so many steps, after some that nobody counts."""
    marks: list[float] = []

    def mark(step: int, terms: Any) -> None:
        if step in (WARM_UP, WARM_UP + steps):
            torch.cuda.synchronize()
            marks.append(time.perf_counter())

    replace(job, batches=batches).fit(steps=WARM_UP + steps, watch=mark)
    return job.batches.batch_size * steps / (marks[1] - marks[0])


def waiting(job: Job, steps: int) -> float:
    """The share of the time of some steps in which the device computed nothing."""
    job.fit(steps=WARM_UP)
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as profiler:
        job.fit(steps=steps)
        torch.cuda.synchronize()
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiler.events() or []
        if event.device_type == DeviceType.CUDA
    )
    busy, until = 0.0, spans[0][0]
    for start, end in spans:
        busy, until = busy + max(0.0, end - max(start, until)), max(until, end)
    return 1 - busy / (until - spans[0][0])


def main() -> None:
    """Print a line a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("bench/gpu.py measures a CUDA device, and torch finds none")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(f"{'case':<24} {'loop':>10} {'bare':>10} {'of bare':>8} {'waits':>7}")
    for name in chosen.cases.split(","):
        with tempfile.TemporaryDirectory() as folder:
            job = job_of(CASES[name], Path(folder))
            same = Same(job)
            rounds = [[rate(job, each, chosen.steps) for each in (job.batches, same)] for _ in range(chosen.rounds)]
            loop, bare = (statistics.median(each) for each in zip(*rounds))
            waits = waiting(job, chosen.steps)
        print(f"{name:<24} {loop:10,.0f} {bare:10,.0f} {loop / bare:8.1%} {waits:7.1%}")


if __name__ == "__main__":
    main()
