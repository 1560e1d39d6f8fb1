"""What an encoder makes of samples, without any label."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder, batch_norms
from selftaught.contracts.modality import Samples
from selftaught.system import distributed, randomness
from selftaught.system.interruption import poll

Array = NDArray[Any]
Progress = Callable[[int, int], None]
BATCH = 250


def view_batches(samples: Samples, view: str = "plain", draw: int = 0, patch: int = 1) -> Iterator[Tensor]:
    """One view of all samples in order, a batch at a time; two `draw`s of one that is drawn are two views."""
    views = samples.views((view,), patch=patch, channels_last=True)  # as convolutions are fastest
    for start in range(0, samples.count, BATCH):
        poll()
        rows = np.arange(start, min(start + BATCH, samples.count))
        with randomness.at(draw, start, slice(0, len(rows))):
            x = views(torch.from_numpy(rows), *samples.batch(rows))[0]
        yield x


@torch.no_grad()
def features(
    encoder: Encoder,
    samples: Samples,
    progress: Progress = lambda done, total: None,
    view: str = "plain",
    draw: int = 0,
) -> Array:
    """What the encoder makes of one view of each sample, in eval mode: (N, dim) float32."""
    encoder.eval()
    parts = []
    for x in view_batches(samples, view, draw, encoder.patch):
        parts.append(encoder(as_inputs(encoder, x)).float().cpu())
        progress(min(len(parts) * BATCH, samples.count), samples.count)
    return torch.cat(parts).numpy()


def as_inputs(module: nn.Module, x: Tensor) -> Tensor:
    """Samples where a network's weights are, and as precise as they are."""
    weight = next(module.parameters(), None)
    return x if weight is None else x.to(weight.device, weight.dtype)


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
                    encoder(as_inputs(encoder, x))
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
    return encoder.eval()
