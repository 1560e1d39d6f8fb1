"""Features to judge by: the encoder's, those of an untrained one, and raw pixels."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from .. import distributed, modality, randomness
from ..encoder import Encoder, TokenEncoder
from ..modality import Preparation, Samples
from ..parts import Part
from ..progress import say
from ..training.interruption import poll

Array = NDArray[Any]
Progress = Callable[[int, int], None]
BATCH = 250
PIXEL_COMPONENTS = 256  # raw pixels are reduced to at most so many


def plain_batches(samples: Samples, batch_size: int = BATCH) -> Iterator[Tensor]:
    """Plain views of all samples in order, a batch at a time."""
    views = samples.views(("plain",), channels_last=True)  # as convolutions are fastest
    for start in range(0, samples.count, batch_size):
        poll()
        rows = np.arange(start, min(start + batch_size, samples.count))
        yield views(torch.from_numpy(rows), *samples.batch(rows))[0]


@torch.no_grad()
def features(encoder: Encoder, samples: Samples, progress: Progress = lambda done, total: None) -> Array:
    """What the encoder makes of plain views, in eval mode: (N, dim) float32."""
    encoder.eval()
    found = []
    for x in plain_batches(samples):
        found.append(encoder(as_inputs(encoder, x)).float().cpu())
        progress(min(len(found) * BATCH, samples.count), samples.count)
    return torch.cat(found).numpy()


@torch.no_grad()
def view_features(encoder: Encoder, samples: Samples, view: str, position: int) -> Array:
    """What the encoder makes of one drawn view of each sample, in eval mode: (N, dim) float32."""
    encoder.eval()
    patch = encoder.patch if isinstance(encoder, TokenEncoder) else 1
    views, found = samples.views((view,), patch=patch, channels_last=True), []
    for start in range(0, samples.count, BATCH):
        poll()
        rows = np.arange(start, min(start + BATCH, samples.count))
        with randomness.at(position, start, slice(0, len(rows))):
            (x,) = views(torch.from_numpy(rows), *samples.batch(rows))
        found.append(encoder(as_inputs(encoder, x)).float().cpu())
    return torch.cat(found).numpy()


def as_inputs(module: nn.Module, x: Tensor) -> Tensor:
    """Samples where a network's weights are, and as precise as they are."""
    weight = next(module.parameters(), None)
    return x if weight is None else x.to(weight.device, weight.dtype)


def untrained(
    part: Part, preparation: Preparation, seed: int, samples: Samples, module: nn.Module | None = None
) -> Encoder:
    """The same network with fresh weights and BatchNorm statistics estimated on `samples`.

    Without that estimate its features would be badly scaled, and beating them would mean little.
    """
    torch.manual_seed(seed)
    if module is not None:
        module = deepcopy(module)
        reset(module)
    encoder: Encoder = modality.named(preparation.modality).build_encoder(part, preparation, module)
    return estimate_norms(encoder, samples)


def reset(module: nn.Module) -> None:
    """Draw the weights of a network anew, by its layers' own `reset_parameters`; say which have none and so stay."""
    kept = []
    for name, layer in module.named_modules():
        draw = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
        if draw is not None:
            draw()
        else:
            kept += [f"{name}.{own}".lstrip(".") for own, _ in layer.named_parameters(recurse=False)]
    if kept:
        told = ", ".join(kept[:3]) + (f" and {len(kept) - 3} more" if len(kept) > 3 else "")
        say(
            f"warning: the untrained network beside yours keeps the trained {told}: a layer with parameters of its "
            "own needs a method reset_parameters() to draw them anew"
        )


def estimate_norms(encoder: Encoder, samples: Samples) -> Encoder:
    """The encoder, in eval mode, with its BatchNorm statistics measured on `samples`, each seen once."""
    norms = [layer for layer in encoder.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    if norms:
        momenta, seen = [norm.momentum for norm in norms], 0
        for norm in norms:
            norm.reset_running_stats()
        encoder.train()
        with torch.no_grad(), distributed.alone():
            for x in plain_batches(samples):
                if len(x) > 1:
                    seen += len(x)
                    for norm in norms:
                        norm.momentum = len(x) / seen  # a plain average over all samples
                    encoder(as_inputs(encoder, x))
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
    return encoder.eval()


def standardised(found: Array, train: int) -> Array:
    """Every feature of found (N, D) with the mean and deviation it has on the first `train` rows taken out."""
    return np.asarray(StandardScaler().fit(found[:train]).transform(found), dtype=np.float32)


class Pixels:
    """Raw pixels as features: standardised, and reduced to at most 256 principal components.

    The components keep their own variances: to standardise them again would blow up the noise of the last ones.
    """

    def __init__(self, samples: Samples, seed: int) -> None:
        """Fitted on `samples` alone."""
        flat = self._flat(samples)
        poll()
        self.scaler = StandardScaler().fit(flat)
        components = min(PIXEL_COMPONENTS, *flat.shape)
        reduces = components < flat.shape[1]
        self.reduction = PCA(components, random_state=seed).fit(self.scaler.transform(flat)) if reduces else None

    def __call__(self, samples: Samples) -> Array:
        """(N, D) float32."""
        scaled = self.scaler.transform(self._flat(samples))
        return np.asarray(self.reduction.transform(scaled) if self.reduction else scaled, dtype=np.float32)

    @staticmethod
    def _flat(samples: Samples) -> Array:
        return torch.cat([x.flatten(1) for x in plain_batches(samples)]).numpy()
