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

from ..encoder import Encoder
from ..images.encoders import build_encoder
from ..images.preparation import Preparation
from ..images.store import Images
from ..images.views import Views
from ..parts import Part

Array = NDArray[Any]
Progress = Callable[[int, int], None]
BATCH = 250
PIXEL_COMPONENTS = 256  # raw pixels are reduced to at most so many


def plain_batches(images: Images, batch_size: int = BATCH) -> Iterator[Tensor]:
    """Plain views of all images in order, a batch at a time."""
    views = Views(("plain",), images.preparation, channels_last=True)  # as convolutions are fastest
    for start in range(0, images.count, batch_size):
        rows = np.arange(start, min(start + batch_size, images.count))
        yield views(torch.from_numpy(rows), *images.batch(rows))[0]


@torch.no_grad()
def features(encoder: Encoder, images: Images, progress: Progress = lambda done, total: None) -> Array:
    """What the encoder makes of plain views, in eval mode: (N, dim) float32."""
    encoder.eval()
    device = next((p.device for p in encoder.parameters()), torch.device("cpu"))
    found = []
    for x in plain_batches(images):
        found.append(encoder(x.to(device)).float().cpu())
        progress(min(len(found) * BATCH, images.count), images.count)
    return torch.cat(found).numpy()


def untrained(
    part: Part, preparation: Preparation, seed: int, images: Images, module: nn.Module | None = None
) -> Encoder:
    """The same network with fresh weights and BatchNorm statistics estimated on `images`.

    Without that estimate its features would be badly scaled, and beating them would mean little.
    """
    torch.manual_seed(seed)
    if module is not None:
        module = deepcopy(module)
        for layer in module.modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()  # type: ignore[operator]
    encoder = build_encoder(part, preparation, module)
    norms = [layer for layer in encoder.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    if norms:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over all batches
        encoder.train()
        with torch.no_grad():
            for x in plain_batches(images):
                if len(x) > 1:
                    encoder(x)
    return encoder.eval()


def standardised(found: Array, train: int) -> Array:
    """Every feature of found (N, D) with the mean and deviation it has on the first `train` rows taken out."""
    return np.asarray(StandardScaler().fit(found[:train]).transform(found), dtype=np.float32)


class Pixels:
    """Raw pixels as features: standardised, and reduced to at most 256 principal components.

    The components keep their own variances: to standardise them again would blow up the noise of the last ones.
    """

    def __init__(self, images: Images, seed: int) -> None:
        """Fitted on `images` alone."""
        flat = self._flat(images)
        self.scaler = StandardScaler().fit(flat)
        components = min(PIXEL_COMPONENTS, *flat.shape)
        reduces = components < flat.shape[1]
        self.reduction = PCA(components, random_state=seed).fit(self.scaler.transform(flat)) if reduces else None

    def __call__(self, images: Images) -> Array:
        """(N, D) float32."""
        scaled = self.scaler.transform(self._flat(images))
        return np.asarray(self.reduction.transform(scaled) if self.reduction else scaled, dtype=np.float32)

    @staticmethod
    def _flat(images: Images) -> Array:
        return torch.cat([x.flatten(1) for x in plain_batches(images)]).numpy()
