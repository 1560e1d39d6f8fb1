"""A few steps of a job, only to know: seconds, bytes, faults."""

import itertools
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from selftaught.system import clock, randomness
from selftaught.system.interruption import Stop
from selftaught.training.devices import fault_of
from selftaught.training.fit import fit

if TYPE_CHECKING:
    from selftaught.training.job import Job

ROWS = 64  # samples a measured step has at most
WARM_UP, MEASURED = 1, 3  # steps


def half_precision_fault(job: "Job") -> str | None:
    """Why gradients in bf16 would be wrong, or None.

    On CPUs, the weight gradient of a strided convolution over a map of one cell is read from memory that was never
    written (seen with torch 2.14.1: NaN or anything else), so a network that shrinks small images that far is kept
    out of half precision.
    """

    def show() -> None:
        # The method itself is asked, since it may show its encoder less than a view: tiles, or tokens.
        rows = job.batches.batch_size
        with randomness.at(job.recipe.seed, 0, slice(0, rows)):
            job.method(*job.batches(0))

    return fault_of(job.method, show) if job.fabric.device.type == "cpu" else None


def seconds_a_step(job: "Job", stop: Stop) -> float:
    """The fastest of a few steps."""
    marks: list[float] = []

    def mark(step: int, terms: dict[str, Tensor]) -> None:
        stop.poll()
        marks.append(clock.now())

    fit(
        job.fabric,
        job.method,
        job.optimizer,
        job.batches,
        steps=WARM_UP + MEASURED,
        training=job.training,
        seed=job.recipe.seed,
        watch=mark,
        forward=job.forward,
    )
    return min(b - a for a, b in itertools.pairwise(marks))


def kept_bytes(job: "Job", rows: int) -> int:
    """Bytes of views and activations that one forward pass of `rows` samples keeps for the backward pass."""
    own = {p.untyped_storage().data_ptr() for p in job.method.state_dict().values()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    views = job.batches(0)
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        randomness.at(job.recipe.seed, 0, slice(0, rows)),
    ):
        terms = job.forward(*views)  # held until counted, so that no storage is freed and counted twice
    assert terms
    return sum(kept.values()) + sum(view.nbytes for view in views)


def free_memory(device: torch.device) -> int:
    """Bytes that are free, of the device's memory or the machine's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return _available(Path("/proc/meminfo"), Path("/sys/fs/cgroup"))


def _available(machine: Path, group: Path) -> int:
    """Bytes that a process may still take: files the system merely remembers make room, a container has its limit."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, StopIteration, ValueError):
        told = next(line for line in machine.read_text().splitlines() if line.startswith("MemAvailable:"))
        free = int(told.split()[1]) << 10
    with suppress(OSError, StopIteration, ValueError):
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        lines = (group / "memory.stat").read_text().splitlines()
        files = int(next(line for line in lines if line.startswith("inactive_file ")).split()[1])
        free = min(free, limit - used + files)
    return free
