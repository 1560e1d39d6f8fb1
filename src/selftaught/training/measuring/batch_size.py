"""The largest batch that fits the memory, from what one small step keeps for its backward pass."""

from selftaught.run.plan import Plan
from selftaught.system.errors import OutOfMemory, UsageError
from selftaught.system.saying import say
from selftaught.system.text import filesize
from selftaught.training.measuring.trial import Trial, free_memory, kept_bytes
from selftaught.training.resolve import power_of_two

LARGEST = 4096  # what the methods' papers go up to; twice as much hardly trains faster
ROWS = 16  # samples in the step that is measured
USED = 0.7  # share of the free memory that may be used
TRANSIENT = 1.5  # what a step needs beside what it keeps: gradients of activations, buffers of operations
STATE = 16  # bytes a weight takes: itself, its gradient and two of the optimiser


def fitting_batch(plan: Plan, trial: Trial) -> int:
    """The largest power of two of samples whose step fits the memory, for `--batch-size auto`."""
    kept, weights, free = _needs(plan, trial, LARGEST)
    sample = TRANSIENT * kept
    most = min(LARGEST, trial.samples.count // 4, int((USED * free - weights) / sample))
    batch = power_of_two(most)
    say(f"measured {filesize(sample)} of memory a sample, {filesize(free)} free: batches of {batch:,}")
    return batch


def chunk_that_fits(plan: Plan, trial: Trial, named: bool) -> int | None:
    """How many samples to encode at a time, where not even what a step must keep for its backward pass fits the free
    memory; else what the plan has.

    Parts change what is computed least, and are said aloud: the loss is still that of the whole batch. Where somebody
    has `named` the batch or its parts, raises OutOfMemory instead.
    """
    at_once = min(plan.batch_size, plan.encode_chunk or plan.batch_size)
    if at_once <= ROWS:
        return plan.encode_chunk
    kept, weights, free = _needs(plan, trial, plan.batch_size)
    if (needed := weights + kept * at_once) <= free:
        return plan.encode_chunk
    fits = power_of_two(int((USED * free - weights) / (TRANSIENT * kept)))
    lacks = f"needs {filesize(needed)} of memory at least, and {filesize(free)} is free"
    if named:
        ways = f"use --batch-size {fits}, or --encode-chunk {fits} to take the same batch in parts"
        raise OutOfMemory(f"--batch-size {plan.batch_size} {lacks}; {ways}")
    ways = f"--batch-size {fits} takes less time, and its loss is of {fits}"
    say(f"memory   a batch of {plan.batch_size} {lacks}: --encode-chunk {fits} takes it in parts; {ways}")
    return fits


def _needs(plan: Plan, trial: Trial, most: int) -> tuple[float, int, int]:
    """Bytes that a step keeps for each sample, bytes for the weights and all that goes with them, and bytes free."""
    rows, most = min(ROWS, trial.samples.count), min(most, trial.samples.count)
    whole = plan.model_copy(update={"encode_chunk": None})
    while True:
        job = trial.job(whole, rows)
        weights = STATE * sum(p.numel() for p in job.method.parameters())
        try:
            return kept_bytes(job, rows) / rows, weights, free_memory(job.engine.device)
        except UsageError:  # a method that cannot do with so few
            if rows >= most:
                raise
            rows = min(2 * rows, most)
