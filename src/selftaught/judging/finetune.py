"""Fine-tuning: a linear layer on the encoder, and all of it trained on the labels."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder, TokenEncoder
from selftaught.contracts.method import Training
from selftaught.contracts.modality import Samples
from selftaught.judging.layers import layer_scales
from selftaught.judging.splits import Rows
from selftaught.system import components, randomness
from selftaught.system.errors import UsageError
from selftaught.system.interruption import Stop, poll
from selftaught.system.saying import say
from selftaught.training.devices import fabric_of, fault_of
from selftaught.training.fit import fit
from selftaught.training.looking.features import as_inputs, plain_batches
from selftaught.training.optimizers import build_optimizer

EPOCHS, FEWEST, MOST = 30, 100, 2000  # where the user says nothing, steps lie between the fewest and the most
LOOKS = 20  # at held-out samples, in a whole training
ENOUGH = 500  # labels from which some are spared to choose when to stop
SPARED = 0.1  # share of them
PRECISIONS = ("32-true", "bf16-mixed")


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How to fine-tune; every field is an option, such as --finetune.layer_decay 0.75."""

    epochs: float | None = None  # passes over the labels; default: 30, in 100 to 2,000 steps
    batch_size: int = 64
    lr: float = 1e-3  # of the head, at its peak
    weight_decay: float = 0.05
    layer_decay: float | None = None  # a layer's learning rate as a share of the next one's; see `decay`
    frozen: float = 0.1  # share of the training in which only the head learns
    held_out: float | None = None  # share of the labels that choose when to stop; default: 0.1 from 500 labels on
    precision: str = "32-true"  # or bf16-mixed, which is faster where the machine has instructions for it
    patience: int = 5  # looks at them, of 20 in a training, without a better one before it ends
    light: dict[str, Any] = field(default_factory=dict)  # augmentation, such as --finetune.light.flip 0

    @classmethod
    def parse(cls, chosen: Mapping[str, Any]) -> Self:
        """Options as the user gave them; what cannot be is a usage error."""
        made = cls(**components.checked("finetune", cls, chosen))
        for name, fine, told in (
            ("epochs", made.epochs is None or made.epochs > 0, "a positive number"),
            ("batch_size", made.batch_size > 1, "two or more"),
            ("lr", made.lr > 0, "a positive number"),
            ("weight_decay", made.weight_decay >= 0, "0 or more"),
            ("layer_decay", made.layer_decay is None or 0 < made.layer_decay <= 1, "a share, above 0"),
            ("frozen", 0 <= made.frozen < 1, "a share below 1"),
            ("held_out", made.held_out is None or 0 <= made.held_out <= 0.5, "a share up to 0.5"),
            ("precision", made.precision in PRECISIONS, " or ".join(PRECISIONS)),
            ("patience", made.patience > 0, "1 or more"),
        ):
            if not fine:
                raise UsageError(f"finetune option {name!r} cannot be {getattr(made, name)!r}: it is {told}")
        return made

    def decay(self, encoder: Encoder) -> float:
        """Of layers: that of BEiT and MAE for transformers, none for other networks, as SimCLR fine-tunes them."""
        if self.layer_decay is not None:
            return self.layer_decay
        return 0.75 if isinstance(getattr(encoder, "inner", encoder), TokenEncoder) else 1.0

    def spared(self, labels: int) -> float:
        """The share of so many labels that choose when to stop."""
        return self.held_out if self.held_out is not None else SPARED if labels >= ENOUGH else 0.0

    def steps(self, per_epoch: int) -> int:
        """Optimiser steps at most, with so many in a pass over the labels."""
        if self.epochs is not None:
            return max(1, round(self.epochs * per_epoch))
        return min(MOST, max(FEWEST, EPOCHS * per_epoch))

    def tell_few(self, labels: int) -> None:
        """Say where so many labels get fewer passes than usual: a network from scratch suffers most from that."""
        per_epoch = labels // min(self.batch_size, labels)
        passes = self.steps(per_epoch) / per_epoch
        if self.epochs is None and passes < EPOCHS:
            say(
                f"fine-tuning: {MOST:,} steps are {passes:.1f} passes over {labels:,} labels, which is little from "
                f"scratch; --finetune.epochs {EPOCHS} has more"
            )


class Classifier(nn.Module):
    """An encoder and a linear layer, trained together; it keeps a method's contract with the loop."""

    steps: int  # of training, up to the weights that were kept

    def __init__(self, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.dim, classes)
        self.frozen = False  # whether only the head learns

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The loss of views x (B, ...) with classes y (B,)."""
        return {"cross_entropy": F.cross_entropy(self.scores(x).float(), y)}

    def scores(self, x: Tensor) -> Tensor:
        """Unnormalised log-probabilities (B, classes)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.encoder(x)
        return self.head(features)

    def train(self, mode: bool = True) -> Self:
        """A frozen encoder keeps its running statistics, too."""
        super().train(mode)
        self.encoder.train(mode and not self.frozen)
        return self

    def before_step(self, progress: float) -> None:
        """Nothing to do."""

    def after_step(self, progress: float) -> None:
        """Nothing to do."""


class _Enough(Exception):  # noqa: N818 - nothing went wrong
    """The held-out samples are no longer classified any better."""


class _Best:
    """Looks at held-out samples now and then, remembers the best weights, and ends a training that has had them."""

    def __init__(self, model: Classifier, held: Samples, labels: Tensor, every: int, patience: int) -> None:
        self.model, self.held, self.labels, self.every, self.patience = model, held, labels, every, patience
        self.score, self.step, self.since = (-1.0, 0.0), 0, 0
        self.weights: dict[str, Tensor] = {}

    def look(self, step: int, last: bool) -> None:
        if not last and step % self.every:
            return
        found = scores_of(self.model, self.held)
        self.model.train()
        right = (found.argmax(dim=1) == self.labels).float().mean().item()
        score = (right, -F.cross_entropy(found, self.labels).item())
        self.since = 0 if score > self.score else self.since + 1
        if not self.since:
            self.score, self.step = score, step
            self.weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        if self.since >= self.patience:
            raise _Enough


def finetune(
    encoder: Encoder,
    samples: Samples,
    rows: Rows,
    held: Rows,
    labels: NDArray[np.int64],
    classes: int,
    seed: int,
    stop: Stop,
    tuning: Tuning,
) -> Classifier:
    """A classifier from a copy of `encoder`, trained on `rows` of `samples` with labels (N,) of all of them.

    The `held` rows, which may be none, choose when to stop.
    """
    torch.manual_seed(seed)
    model = Classifier(deepcopy(encoder), classes)
    fabric = fabric_of(tuning.precision)
    model.to(fabric.device).to(memory_format=torch.channels_last)  # as convolutions are fastest
    forward = fabric.setup_module(model)
    batch = min(tuning.batch_size, len(rows))
    steps = tuning.steps(len(rows) // batch)
    alone = min(steps - 1, round(tuning.frozen * steps))  # steps of the head
    preset = Training(lr=tuning.lr, scaling="none", weight_decay=tuning.weight_decay, warmup=0.1)
    batches = _batches(encoder, samples, rows, labels, batch, seed, tuning.light, fabric.device)
    halved = tuning.precision == "bf16-mixed" and fabric.device.type == "cpu"
    if halved and (fault := fault_of(model.eval(), lambda: model.scores(batches(0)[0]))):
        raise UsageError(f"finetune option 'precision' cannot be 'bf16-mixed' here: {fault}")
    every = max(1, steps // LOOKS)
    best = _Best(model, samples.subset(held), torch.from_numpy(labels[held]), every, tuning.patience)

    def watch(step: int, terms: dict[str, Any]) -> None:
        stop.poll()
        if len(held):
            best.look(alone + step, step == steps - alone)

    def train(part: nn.Module, count: int, first: int, scales: dict[nn.Parameter, float], follow: Any) -> None:
        optimizer = build_optimizer(part, preset, batch, scales)
        fit(
            fabric,
            model,
            optimizer,
            lambda step: batches(first + step),
            steps=count,
            training=preset,
            seed=seed,
            watch=follow,
            forward=forward,
        )

    if alone:
        model.frozen = True
        train(model.head, alone, 0, {}, lambda step, terms: stop.poll())
        model.frozen = False
    with suppress(_Enough):
        train(model, steps - alone, alone, layer_scales(model.encoder.net, tuning.decay(encoder)), watch)
    if best.weights:
        model.load_state_dict(best.weights)
    model.steps = best.step if len(held) else steps
    return model.to(memory_format=torch.contiguous_format).eval()


def _batches(
    encoder: Encoder,
    samples: Samples,
    rows: Rows,
    labels: NDArray[np.int64],
    batch: int,
    seed: int,
    light: dict[str, Any],
    device: torch.device,
) -> Callable[[int], tuple[Tensor, Tensor]]:
    """The lightly augmented views and the classes of each step."""
    patch = encoder.patch if isinstance(encoder, TokenEncoder) else 1
    views = samples.views(("light",), patch=patch, options={"light": light}, channels_last=True)
    targets = torch.from_numpy(labels)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        epoch, place = divmod(step, len(rows) // batch)
        order = randomness.permutation(seed, epoch, len(rows))
        chosen = rows[order[place * batch : (place + 1) * batch]]
        raw = (part.to(device) for part in samples.batch(chosen))
        with randomness.at(seed, step, slice(0, batch)):
            (x,) = views(torch.from_numpy(chosen), *raw)
        return x, targets[chosen].to(device)

    return batches


@torch.no_grad()
def scores_of(model: Any, samples: Samples, progress: Callable[[int], None] = lambda done: None) -> Tensor:
    """The `scores` that a classifier gives the plain view of every sample, in eval mode: (N, classes)."""
    model.eval()
    found = []
    for x in plain_batches(samples):
        poll()
        found.append(model.scores(as_inputs(model, x)).float().cpu())
        progress(sum(map(len, found)))
    return torch.cat(found)
