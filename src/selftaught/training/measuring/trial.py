"""A few steps of a network that is thrown away, only to know: seconds, bytes, faults."""

import math
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from selftaught.contracts.method import Method
from selftaught.contracts.samples import Samples
from selftaught.run.plan import Plan, Way
from selftaught.system import clock, randomness
from selftaught.system.allocator import give_back
from selftaught.system.interruption import Stop
from selftaught.system.memory import unused_memory
from selftaught.training.devices import fault_of
from selftaught.training.job import Job, arranged, build

ROWS = 64  # samples a measured step has at most
WARM_UP, MEASURED = 1, 3  # steps
SHARE, MOST = 0.05, 60.0  # of a run, and seconds, that all measuring before it may take
SLOWER = 1.5  # times the fastest so far: not worth another step of this turn


class _EnoughError(Exception):
    """The measurement is over; a StopIteration of a method's own is a fault, and must not pass for that."""


class Trial:
    """A network that is thrown away: arranged one way after another, it is asked what each takes.

    It is built once, whatever is asked, and is never the user's own. All trials of a run share one allowance of time,
    since a machine may be slow, or busy with other things, and people wait for the run and not for its preparations.
    """

    def __init__(
        self,
        samples: Samples,
        stop: Stop,
        *,
        module: nn.Module | None = None,
        count: int | None = None,
        budget: float | None = None,
    ) -> None:
        """`count` is the number of samples there will be, where these are only some; `budget` seconds are for the run.

        Without a budget the first few steps that are timed tell how long the run will be.
        """
        self.samples, self.stop, self.module, self.count = samples, stop, module, count
        self.run_seconds = budget
        self.known: dict[tuple[Way, int], float] = {}  # seconds a step of so many samples takes
        self._built: dict[int | None, tuple[Method, str]] = {}  # by the chunks that the encoder takes
        self._began = clock.now()

    @property
    def left(self) -> float:
        """Seconds that measuring may still take; before anything is known of the run, as many as there are at most."""
        allowed = MOST if self.run_seconds is None else min(MOST, SHARE * self.run_seconds)
        return allowed - (clock.now() - self._began)

    def job(self, plan: Plan, rows: int, *, small: bool = False) -> Job:
        """The network as the plan computes it, for steps of `rows` samples, of whole views or as small as the first."""
        growth = plan.grow.model_copy(update={"steps": 1.0}) if small and plan.grow else None
        if plan.encode_chunk not in self._built:
            uncompiled = plan.model_copy(update={"compile": False})  # compiling takes longer than is to be known
            self._built[plan.encode_chunk] = build(uncompiled, self.samples, deepcopy(self.module), self.count)
        return arranged(
            *self._built[plan.encode_chunk], plan.model_copy(update={"batch_size": rows, "grow": growth}), self.samples
        )

    def seconds(self, plan: Plan, rows: int) -> float:
        """What a step takes: the fastest of a few, and of those timed earlier."""
        fastest = min((known for (_, size), known in self.known.items() if size == rows), default=math.inf)
        job = self.job(plan, rows)
        now = seconds_a_step(job, self.stop, clock.now() + self.left, SLOWER * fastest)
        self.known[plan.way, rows] = min(now, self.known.get((plan.way, rows), math.inf))
        if self.run_seconds is None:
            self.run_seconds = plan.steps * plan.batch_size / rows * now
        return self.known[plan.way, rows]


def seconds_a_step(job: Job, stop: Stop, until: float = math.inf, enough: float = math.inf) -> float:
    """The fastest of a few steps, or of as many as were done by the time `until`; one over `enough` is the last."""
    steps = times(
        job, stop, WARM_UP + MEASURED, lambda took: clock.now() > until or min(took[WARM_UP:], default=0) > enough
    )
    return min(steps[WARM_UP:] or steps)


def times(job: Job, stop: Stop, most: int, done: Callable[[list[float]], bool]) -> list[float]:
    """Seconds of each step, the first ones among them, until these are `done`, or `most`.

    One that is not finite takes as long as any other.
    """
    marks, took = [clock.now()], []

    def mark(step: int, terms: dict[str, Tensor]) -> None:
        stop.poll()
        marks.append(clock.now())
        took.append(marks[-1] - marks[-2])
        if done(took):
            raise _EnoughError

    with suppress(_EnoughError):
        job.fit(steps=most, watch=mark, bad=lambda step, loss, norm: None)
    return took


def half_precision_fault(job: Job) -> str | None:
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

    return fault_of(job.method, show) if job.engine.device.type == "cpu" else None


def kept_bytes(job: Job, rows: int) -> int:
    """Bytes of views and activations that one forward pass of `rows` samples keeps for the backward pass."""
    own = {p.untyped_storage().data_ptr() for p in job.method.state_dict().values()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # an output that its own graph held would never be freed

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
        # What torch has taken and does not use is as good as free.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    give_back()
    return _available(Path("/proc/meminfo"), Path("/sys/fs/cgroup"))


def _available(machine: Path, group: Path) -> int:
    """Bytes that a process may still take: files the system merely remembers make room, a container has its limit."""
    free = unused_memory()
    with suppress(OSError, StopIteration, ValueError):
        told = next(
            line for line in machine.read_text(encoding="utf-8").splitlines() if line.startswith("MemAvailable:")
        )
        free = int(told.split()[1]) << 10
    with suppress(OSError, StopIteration, ValueError):
        limit, used = (int((group / name).read_text(encoding="utf-8")) for name in ("memory.max", "memory.current"))
        lines = (group / "memory.stat").read_text(encoding="utf-8").splitlines()
        files = int(next(line for line in lines if line.startswith("inactive_file ")).split()[1])
        free = min(free, limit - used + files)
    return free
