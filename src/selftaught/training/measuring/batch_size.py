"""The largest batch that fits the memory, from what one small step keeps for its backward pass."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from selftaught.run.recipes import Pretrain
from selftaught.system.errors import OutOfMemory, UsageError
from selftaught.system.saying import say
from selftaught.system.text import filesize
from selftaught.training.measuring.trial import free_memory, kept_bytes
from selftaught.training.resolve import power_of_two

if TYPE_CHECKING:
    from selftaught.training.job import Job


LARGEST = 4096  # what the methods' papers go up to; twice as much hardly trains faster
ROWS = 16  # samples in the step that is measured
USED = 0.7  # share of the free memory that may be used
TRANSIENT = 1.5  # what a step needs beside what it keeps: gradients of activations, buffers of operations
STATE = 16  # bytes a weight takes: itself, its gradient and two of the optimiser


def fitted(recipe: Pretrain, images: int, prepare: Callable[[Pretrain], "Job"]) -> Pretrain:
    """The recipe, with `--batch-size auto` replaced by the largest power of two that fits."""
    if recipe.batch_size != 0:
        return recipe
    sound = recipe.model_copy(update={"precision": "32-true", "layout": "contiguous"})
    kept, weights, free = _needs(sound, images, prepare)
    sample = TRANSIENT * kept
    most = min(LARGEST, images // 4, int((USED * free - weights) / sample))
    batch = power_of_two(most)
    say(f"measured {filesize(sample)} of memory a sample, {filesize(free)} free: batches of {batch:,}")
    return recipe.model_copy(update={"batch_size": batch})


def refuse_too_large(recipe: Pretrain, images: int, prepare: Callable[[Pretrain], "Job"]) -> None:
    """Raise OutOfMemory where not even what a step must keep for its backward pass fits the free memory."""
    assert recipe.batch_size
    at_once = min(recipe.batch_size, recipe.encode_chunk or recipe.batch_size)
    if at_once <= ROWS:
        return
    kept, weights, free = _needs(recipe, images, prepare)
    if weights + kept * at_once > free:
        fits = power_of_two(int((USED * free - weights) / (TRANSIENT * kept)))
        raise OutOfMemory(
            f"--batch-size {recipe.batch_size} needs {filesize(weights + kept * at_once)} of memory at least, and "
            f"{filesize(free)} is free; use --batch-size {fits}, or --encode-chunk {fits} to take the same batch in "
            "parts"
        )


def _needs(recipe: Pretrain, images: int, prepare: Callable[[Pretrain], "Job"]) -> tuple[float, int, int]:
    """Bytes that a step keeps for each sample, bytes for the weights and all that goes with them, and bytes free."""
    rows, most = min(ROWS, images), min(recipe.batch_size or LARGEST, images)
    while True:
        job = prepare(recipe.model_copy(update={"batch_size": rows, "compile": False, "encode_chunk": None}))
        weights = STATE * sum(p.numel() for p in job.method.parameters())
        try:
            return kept_bytes(job, rows) / rows, weights, free_memory(job.fabric.device)
        except UsageError:  # a method that cannot do with so few
            if rows >= most:
                raise
            rows = min(2 * rows, most)
