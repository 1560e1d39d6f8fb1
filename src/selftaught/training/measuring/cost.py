"""What a step costs, whatever computes it: operations, bytes that it keeps, weights and all that goes with them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from selftaught.contracts.encoder import batch_norms
from selftaught.run import checkpoint
from selftaught.run.plan import Plan
from selftaught.system import distributed
from selftaught.system.errors import UsageError
from selftaught.training.job import Job
from selftaught.training.measuring.trial import ROWS, Trial, kept_bytes, seconds_a_step

FEW = 4  # samples of the smaller of two steps that tell a sample's share from what every step has
# The samples that a method is built for: a number that nothing else about it has, so that what has so many rows is
# known to grow with the data.
COUNT = 65_537


def _attention(query: Any, key: Any, value: Any, *more: Any, **named: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(slope: Any, query: Any, key: Any, value: Any, *more: Any, **named: Any) -> int:
    return sdpa_backward_flop_count(slope, query, key, value)


# By shapes; torch itself counts attention of the kernels of GPUs alone.
ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


@dataclass(frozen=True)
class Cost:
    """Of one process; bytes, but for what says otherwise."""

    operations: float  # of products of matrices and convolutions, forward and backward, of a sample
    kept: float  # for the backward pass, views among them, of a sample
    views: float  # of a sample
    always: float  # kept by every step, whatever its batch: weights in half precision, scores of a queue
    learnt: int  # weights that learn; their gradients are as large
    still: int  # what does not learn: a slow self, a teacher, a queue, statistics
    optimizer: int
    saved: int  # checkpoint, but for what is kept of each sample
    of_each: float  # kept of each sample of the data, in every process
    norms: int  # times that a step goes through a batch norm
    gathered: float = 0.0  # that the method has for each of the others, of a sample, gradients that come back among it
    shuffled: float = 0.0  # of a sample, that may go to another process
    summed: float = 0.0  # of sums over all processes, whatever the batch, with those of gradients
    exchanges: int = 0  # times that the method waits for the others
    seconds: float | None = None  # of a sample, on the device at hand, where that was timed

    def banks(self, count: int) -> float:
        """Bytes that are kept of so many samples."""
        return self.of_each * count


def cost_of(plan: Plan, trial: Trial, timed: bool) -> Cost:
    """Measure a few small steps of a trial that was built for COUNT samples; `timed`: on a clock, too."""
    whole = plan.model_copy(update={"encode_chunk": None})
    rows, most = FEW, trial.samples.count // 2
    while True:
        try:
            return _measured(whole, trial, min(rows, most), timed)
        except UsageError:  # a method that cannot do with so few
            if rows >= most:
                raise
            rows *= 2


def _measured(plan: Plan, trial: Trial, rows: int, timed: bool) -> Cost:
    small, large = (kept_bytes(trial.job(plan, number), number) for number in (rows, 2 * rows))
    kept = (large - small) / rows
    job = trial.job(plan, rows)
    views = sum(view.nbytes for view in job.batches(0))
    operations, norms, exchanges = _one_step(job)
    sent = {way: sum(e.size * (1 + e.back) for e in exchanges if e.way == way) for way in distributed.WAYS}
    of_each = sum(tensor.nbytes for tensor in _grown(job)) / COUNT
    parameters = list(job.method.parameters())
    learnt = sum(p.nbytes for p in parameters if p.requires_grad)
    model = checkpoint.model_tensors(job.method)
    optimizer = checkpoint.bytes_of({"optimizer": checkpoint.optimizer_tensors(job.optimizer)})
    banks = round(of_each * COUNT)
    return Cost(
        operations=operations / rows,
        kept=kept,
        views=views / rows,
        always=max(0.0, small - kept * rows),
        learnt=learnt,
        still=_held(job) - learnt - banks,
        optimizer=optimizer,
        saved=checkpoint.bytes_of({"model": model}) + optimizer - banks,
        of_each=of_each,
        norms=norms,
        gathered=sent["gather"] / rows,
        shuffled=sent["shuffled"] / rows,
        summed=sent["total"],
        exchanges=sum(1 + e.back for e in exchanges),
        seconds=_seconds(plan, trial) if timed else None,
    )


def _one_step(job: Job) -> tuple[int, int, list[distributed.Exchange]]:
    """Operations of a whole step, how often it goes through a batch norm that takes statistics, and what it exchanges.

    What is summed does not grow with the batch (statistics, moments), and what is gathered does.
    """
    exchanges: list[distributed.Exchange] = []
    counting = FlopCounterMode(display=False, custom_mapping=ATTENTION)
    with _passes(job) as passed, distributed.noting(exchanges), counting as counter:
        job.fit(steps=1, bad=lambda step, loss, norm: None)
    return counter.get_total_flops(), len(passed), exchanges


@contextmanager
def _passes(job: Job) -> Iterator[list[Any]]:
    """Each time that something goes through a batch norm."""
    passed: list[Any] = []

    def note(norm: nn.Module, x: Any, y: Any) -> None:
        if norm.training:
            passed.append(norm)

    hooks = [norm.register_forward_hook(note) for norm in batch_norms(job.method)]
    try:
        yield passed
    finally:
        for hook in hooks:
            hook.remove()


def _grown(job: Job) -> list[Any]:
    """The state that has a part for each sample of the data."""
    return [tensor for tensor in job.method.buffers() if COUNT in tensor.shape]


def _held(job: Job) -> int:
    return sum(tensor.nbytes for tensor in [*job.method.parameters(), *job.method.buffers()])


def _seconds(plan: Plan, trial: Trial) -> float:
    rows = min(plan.batch_size, ROWS, trial.samples.count)
    return seconds_a_step(trial.job(plan, rows), trial.stop) / rows
