"""Fine-tuning: a linear layer on the encoder, and all of it trained on the labels."""

from copy import deepcopy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from .. import randomness
from ..encoder import Encoder, TokenEncoder
from ..method import Training
from ..modality import Samples
from ..optimizers import build_optimizer
from ..training.fit import fit
from ..training.interruption import Stop
from .features import plain_batches

PRESET = Training(optimizer="adamw", lr=1e-3, scaling="none", weight_decay=0.05, warmup=0.1)
BATCH, EPOCHS, FEWEST, MOST = 64, 30, 100, 2000  # steps lie between the fewest and the most


class Classifier(nn.Module):
    """An encoder and a linear layer, trained together; it keeps a method's contract with the loop."""

    def __init__(self, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.dim, classes)

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The loss of views x (B, ...) with classes y (B,)."""
        return {"cross_entropy": F.cross_entropy(self.scores(x).float(), y)}

    def scores(self, x: Tensor) -> Tensor:
        """Unnormalised log-probabilities (B, classes)."""
        return self.head(self.encoder(x))

    def before_step(self, progress: float) -> None:
        """Nothing to do."""

    def after_step(self, progress: float) -> None:
        """Nothing to do."""


def finetune(
    encoder: Encoder,
    samples: Samples,
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    classes: int,
    seed: int,
    stop: Stop,
) -> Classifier:
    """A classifier from a copy of `encoder`, trained on `rows` of `samples` with labels (N,) of all of them."""
    torch.manual_seed(seed)
    model = Classifier(deepcopy(encoder), classes)
    fabric = Fabric(accelerator="auto", devices=1)
    model.to(fabric.device)
    batch = min(BATCH, len(rows))
    per_epoch = len(rows) // batch
    steps = min(MOST, max(FEWEST, EPOCHS * per_epoch))
    patch = encoder.patch if isinstance(encoder, TokenEncoder) else 1
    views = samples.views(("light",), patch=patch)
    targets = torch.from_numpy(labels)

    def batches(step: int) -> tuple[Tensor, ...]:
        epoch, place = divmod(step, per_epoch)
        order = randomness.permutation(seed, epoch, len(rows))
        chosen = rows[order[place * batch : (place + 1) * batch]]
        raw = (part.to(fabric.device) for part in samples.batch(chosen))
        with randomness.at(seed, step, slice(0, batch)):
            (x,) = views(torch.from_numpy(chosen), *raw)
        return x, targets[chosen].to(fabric.device)

    def watch(step: int, terms: dict[str, Any]) -> None:
        stop.poll()

    forward = fabric.setup_module(model)
    optimizer = build_optimizer(model, PRESET, batch)
    fit(
        fabric, model, optimizer, batches, steps=steps, training=PRESET, seed=seed, watch=watch, forward=forward
    )  # fmt: skip
    return model.eval()


@torch.no_grad()
def predict(model: Classifier, samples: Samples) -> NDArray[np.int64]:
    """The class of every sample (N,), from its plain view."""
    device = next(model.parameters()).device
    return torch.cat([model.scores(x.to(device)).argmax(dim=1).cpu() for x in plain_batches(samples)]).numpy()
