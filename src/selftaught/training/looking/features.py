"""What an encoder makes of samples, without any label."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from contextvars import ContextVar, copy_context
from copy import deepcopy
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder, batch_norms
from selftaught.contracts.samples import Samples
from selftaught.system import distributed, randomness
from selftaught.system.context import holding
from selftaught.system.interruption import poll

Array = NDArray[Any]
Rows = NDArray[np.int64]
Progress = Callable[[int, int], None]
Item = TypeVar("Item")
Made = TypeVar("Made")
BATCH = 250
AHEAD = 2  # batches that each of several devices has to do or has done, while the first is waited for

_devices: ContextVar[Sequence[torch.device]] = ContextVar("devices", default=())


def over(devices: Sequence[torch.device]) -> AbstractContextManager[None]:
    """Let networks that lie on the first of these devices have a copy on each of the others, inside, to share work."""
    return holding(_devices, devices)


def view_batches(samples: Samples, patch: int = 1) -> Iterator[Tensor]:
    """The plain view of all samples in order, a batch at a time."""
    return in_order([_maker(samples, "plain", 0, patch)], _batches(samples.count))


def _batches(count: int) -> Iterator[Rows]:
    return (np.arange(start, min(start + BATCH, count)) for start in range(0, count, BATCH))


def _maker(samples: Samples, view: str, draw: int, patch: int) -> Callable[[Rows], Tensor]:
    """What makes a view of a batch."""
    views = samples.views((view,), patch=patch, channels_last=True)  # as convolutions are fastest

    def make(rows: Rows) -> Tensor:
        with randomness.at(draw, int(rows[0]), slice(0, len(rows))):
            return views(torch.from_numpy(rows), *samples.batch(rows))[0]

    return make


def of_batches(
    encoder: Encoder, samples: Samples, make: Callable[[Encoder, Tensor], Made], view: str = "plain", draw: int = 0
) -> Iterator[Made]:
    """What is made of one view of all samples, a batch at a time, in order, without gradients.

    Two `draw`s of a view that is drawn are two views.

    `make` is given the encoder in eval mode, or a copy on another device, and a batch as that takes it. Whichever
    device a batch comes to, it is the same batch, and where devices are alike so is what is made of it, bit for bit.
    """
    copies = [encoder.eval(), *(deepcopy(encoder).to(device) for device in _devices.get()[1:])]

    def by(own: Encoder) -> Callable[[Rows], Made]:
        seen = _maker(samples, view, draw, own.patch)

        @torch.no_grad()
        def made(rows: Rows) -> Made:
            return make(own, as_inputs(own, seen(rows)))

        return made

    return in_order([by(own) for own in copies], _batches(samples.count))


def in_order(workers: Sequence[Callable[[Item], Made]], items: Iterable[Item]) -> Iterator[Made]:
    """What workers make of items, in the order of these; several take turns, each in a thread of its own."""
    if len(workers) == 1:
        for item in items:
            poll()
            yield workers[0](item)
        return
    coming: deque[Future[Made]] = deque()
    with ExitStack() as stack:
        pools = [stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="features")) for _ in workers]
        for number, item in enumerate(items):
            poll()
            if len(coming) == AHEAD * len(workers):
                yield coming.popleft().result()
            turn = number % len(workers)
            coming.append(pools[turn].submit(copy_context().run, workers[turn], item))
        for left in coming:
            yield left.result()


def features(
    encoder: Encoder,
    samples: Samples,
    progress: Progress = lambda done, total: None,
    view: str = "plain",
    draw: int = 0,
) -> Array:
    """What the encoder makes of one view of each sample, in eval mode: (N, dim) float32."""
    parts: list[Tensor] = []
    for made in of_batches(encoder, samples, lambda own, x: own(x).float().cpu(), view, draw):
        parts.append(made)
        progress(min(len(parts) * BATCH, samples.count), samples.count)
    return torch.cat(parts).numpy()


def as_inputs(module: nn.Module, x: Tensor) -> Tensor:
    """Samples where a network's weights are, and as precise as they are; whole numbers, which words are, stay so."""
    weight = next(module.parameters(), None)
    if weight is None:
        return x
    return x.to(weight.device, weight.dtype if x.is_floating_point() else x.dtype)


def norms_of(module: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The layers whose statistics can be measured: all batch norms, but those of encoders that keep theirs."""
    kept = {norm for part in module.modules() if getattr(part, "keeps_statistics", False) for norm in batch_norms(part)}
    return [norm for norm in batch_norms(module) if norm not in kept]


def estimate_norms(encoder: Encoder, samples: Samples) -> Encoder:
    """The encoder, in eval mode, with its BatchNorm statistics measured on `samples`, each seen once."""
    if norms := norms_of(encoder):
        momenta, seen = [norm.momentum for norm in norms], 0
        for norm in norms:
            norm.reset_running_stats()
        encoder.train()
        with torch.no_grad(), distributed.alone():
            for x in view_batches(samples):
                if len(x) > 1:
                    seen += len(x)
                    for norm in norms:
                        norm.momentum = len(x) / seen  # so that all samples count alike
                    encoder.learnt(as_inputs(encoder, x))
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
    return encoder.eval()
