"""An encoder or a classifier in another library's file, which only appears once it answers as the network does."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from selftaught.contracts.encoder import BEGIN, PADDING
from selftaught.system.errors import UsageError
from selftaught.system.files import replacing
from selftaught.system.interruption import poll
from selftaught.system.progress import Progress

TOLERANCE = 1e-4  # largest deviation of the file's outputs, relative to their own range

Write = Callable[[nn.Module, Callable[[int], Tensor], Path], None]  # a network, samples by how many, and the file
Read = Callable[[Path], Callable[[Tensor], Tensor]]  # of a file what it makes of samples


def written(network: nn.Module, file: Path, write: Write, read: Read, batches: Sequence[int], called: str) -> float:
    """The largest deviation of the file's outputs on random inputs of these batch sizes, relative to their range.

    Of a classifier that says numbers it is relative to how far they lie from their mean, or to their deviation if that
    is more: beside a large mean no difference would show. The network has the preparation of its samples on it. Raises
    UsageError where they differ by more than the tolerance.
    """
    network = network.cpu().eval()
    meaning = getattr(network, "meaning", None)
    middle, least = (meaning.mean, meaning.deviation) if meaning and meaning.task == "number" else (0.0, 1e-6)
    draws = torch.Generator().manual_seed(0)

    def drawn(batch: int) -> Tensor:
        return _samples(network.preparation, batch, draws)

    deviation = 0.0
    with replacing(file) as temporary, Progress("exporting", 1 + len(batches), "parts") as bar:
        with torch.no_grad():
            write(network, drawn, temporary)
        poll()
        bar.update(1)
        answer = read(temporary)
        for done, batch in enumerate(batches, 2):
            samples = drawn(batch)
            with torch.no_grad():
                expected = network(samples)
            spread = (expected - middle).abs().max().clamp(min=least)
            apart = float((answer(samples) - expected).abs().max() / spread)
            deviation = max(deviation, apart if math.isfinite(apart) else math.inf)  # max() would pass over a NaN
            bar.update(done)
        if deviation > TOLERANCE:
            raise UsageError(f"the {called} file's outputs differ by {deviation:.2g} of their range; not written")
    return deviation


def _samples(preparation: Any, batch: int, draws: torch.Generator) -> Tensor:
    """Samples such as there might be: of words, which are whole numbers, texts of any length."""
    shape, words = (batch, *preparation.shape), getattr(preparation, "words", 0)
    if not words:
        return torch.randn(shape, generator=draws)
    ends = torch.randint(1, shape[-1] + 1, (batch, 1, 1), generator=draws)
    made = torch.randint(BEGIN, words, shape, generator=draws)
    return made.masked_fill(torch.arange(shape[-1]) >= ends, PADDING)
