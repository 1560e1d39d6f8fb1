"""Fine-tuning: a linear layer on the encoder, and all of it trained on the labels."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder, TokenEncoder
from selftaught.contracts.method import Training
from selftaught.contracts.samples import Samples
from selftaught.judging.aim import Aim, aim_of
from selftaught.judging.featured import chunks
from selftaught.judging.finite import refuse_infinite
from selftaught.judging.labelled import Labelled
from selftaught.judging.subsets import Rows
from selftaught.system import components
from selftaught.system.errors import DivergedError, UsageError
from selftaught.system.interruption import poll
from selftaught.system.saying import say
from selftaught.training.batches import Batches
from selftaught.training.devices import fault_of
from selftaught.training.engine import Engine
from selftaught.training.fit import fit
from selftaught.training.layers import layer_scales
from selftaught.training.looking.features import as_inputs, view_batches
from selftaught.training.optimizers import build_optimizer

EPOCHS, FEWEST, MOST = 30, 100, 2000  # where the user says nothing, steps lie between the fewest and the most
LOOKS = 20  # at held-out samples, in a whole training
ENOUGH = 500  # labels from which some are spared to choose when to stop
SPARED = 0.1  # share of them
HELD_OUT = 0.2  # of a classifier's: one half chooses when to stop and how sure to be, the other only measures
DECAY = 0.75  # of the layers of a transformer, as of BEiT and MAE
BY_DEFAULT = {  # what options are that nobody names, and that hang on something
    "epochs": f"{EPOCHS}, in {FEWEST:,} to {MOST:,} steps",
    "layer_decay": f"{DECAY} for transformers, else 1",
    "held_out": f"{HELD_OUT} for a classifier; else {SPARED} from {ENOUGH} labels on, below that none",
}

Positive = Annotated[float, Field(gt=0, le=1e6, description="a positive number")]


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How to fine-tune; every field is an option, such as --finetune.layer_decay 0.75."""

    epochs: Positive | None = None  # passes over the labels
    batch_size: Annotated[int, Field(gt=1, le=1 << 24, description="two or more")] = 64
    lr: Positive = 1e-3  # of the head, at its peak
    weight_decay: Annotated[float, Field(ge=0, le=1e4, description="0 or more")] = 0.05
    # A layer's learning rate as a share of the next one's; see `decay`.
    layer_decay: Annotated[float, Field(gt=0, le=1, description="a share, above 0")] | None = None
    # Share of the training in which only the head learns.
    frozen: Annotated[float, Field(ge=0, lt=1, description="a share below 1")] = 0.1
    # Share of the labels that choose when to stop, and in a classifier measure as well.
    held_out: Annotated[float, Field(ge=0, le=0.5, description="a share up to 0.5")] | None = None
    # Of classes, or labels, in the loss: all alike, or the rarer the more.
    weighting: Annotated[Literal["none", "balanced"], Field(description="none or balanced")] = "none"
    # The second is faster where the machine has instructions for it.
    precision: Annotated[Literal["32-true", "bf16-mixed"], Field(description="32-true or bf16-mixed")] = "32-true"
    # Looks at what is held out, of 20 in a training, without a better one before it ends.
    patience: Annotated[int, Field(gt=0, le=1000, description="1 or more")] = 5
    light: dict[str, Any] = field(default_factory=dict)  # augmentation, such as --finetune.light.flip 0

    @property
    def names_patience(self) -> bool:
        """Whether somebody asked for another patience than the usual."""
        return self.patience != type(self).patience

    @classmethod
    def parse(cls, chosen: Mapping[str, Any]) -> Self:
        """Options as the user gave them; what cannot be is a usage error."""
        with components.asked_anew():
            return cls(**components.checked("finetune", cls, chosen))

    def decay(self, encoder: Encoder) -> float:
        """Of layers: for transformers DECAY, none for other networks, as SimCLR fine-tunes them."""
        if self.layer_decay is not None:
            return self.layer_decay
        return DECAY if isinstance(getattr(encoder, "inner", encoder), TokenEncoder) else 1.0

    def spared(self, labels: int) -> float:
        """The share of so many labels that choose when to stop."""
        return self.held_out if self.held_out is not None else SPARED if labels >= ENOUGH else 0.0

    def steps(self, per_epoch: int) -> int:
        """Optimiser steps at most, with so many in a pass over the labels."""
        if self.epochs is not None:
            return max(1, round(self.epochs * per_epoch))
        return min(MOST, max(FEWEST, EPOCHS * per_epoch))

    def per_epoch(self, labels: int) -> int:
        """Steps in a pass over so many labels."""
        return labels // min(self.batch_size, labels)

    def warn_of_few_passes(self, labels: int) -> None:
        """Say where so many labels get fewer passes than usual: a network from scratch suffers most from that."""
        per_epoch = self.per_epoch(labels)
        passes = self.steps(per_epoch) / per_epoch
        if self.epochs is None and passes < EPOCHS:
            say(
                f"fine-tuning: {MOST:,} steps are {passes:.1f} passes over {labels:,} labels, which is little from "
                f"scratch; --finetune.epochs {EPOCHS} has more"
            )


class Classifier(nn.Module):
    """An encoder and a linear layer, trained together; it keeps a method's contract with the loop."""

    steps: int  # of training, up to the weights that were kept

    def __init__(self, encoder: Encoder, aim: Aim) -> None:
        super().__init__()
        self.encoder, self.aim = encoder, aim
        self.head = nn.Linear(encoder.dim, aim.outputs)
        self.frozen = False  # whether only the head learns

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The loss of views x (B, ...) with the truth y (B, ...)."""
        return {self.aim.called: self.aim.loss(self.scores(x), y)}

    def scores(self, x: Tensor) -> Tensor:
        """Unnormalised log-probabilities, or standardised numbers: (B, outputs)."""
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
    """Of the held-out samples it says nothing any better."""


class _Best:
    """Looks at held-out samples now and then, remembers the best weights, and ends a training that has had them."""

    def __init__(self, model: Classifier, data: Labelled, held: Rows, *, every: int, patience: int) -> None:
        self.model, self.every, self.patience = model, every, patience
        self.held, self.truth = data.train.subset(held), model.aim.truth[torch.from_numpy(held)]
        self.score, self.step, self.since = (-math.inf, 0.0), 0, 0
        self.weights: dict[str, Tensor] = {}

    def look(self, step: int, last: bool) -> None:
        if not len(self.truth) or (not last and step % self.every):
            return
        scores = scores_of(self.model, self.held)
        self.model.train()
        score = self.model.aim.good(scores, self.truth)  # few samples are often equally many right
        self.since = 0 if score > self.score else self.since + 1
        if not self.since:
            self.score, self.step = score, step
            self.weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        if self.since >= self.patience:
            raise _Enough

    def restore(self) -> None:
        """Give the network the best weights, where any were looked at."""
        if self.weights:
            self.model.load_state_dict(self.weights)


def finetune(
    encoder: Encoder,
    data: Labelled,
    learnt: Rows,
    *,
    held: Rows,
    tuning: Tuning,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Classifier:
    """A classifier from a copy of `encoder`, trained on the `learnt` rows of the training samples in `data`.

    The `held` rows, of which there may be none, choose when to stop: by accuracy, by balanced accuracy where classes
    are uneven, by mAP of several labels, by R² of numbers. progress: told how many steps are done, and of how many.
    """
    torch.manual_seed(seed)
    model = Classifier(deepcopy(encoder), aim_of(data, learnt, tuning.weighting == "balanced"))
    engine = Engine(tuning.precision)
    model.to(engine.device).to(memory_format=torch.channels_last)  # as convolutions are fastest
    forward = engine.setup(model)
    batches = _batches(model, data, learnt, tuning, seed, engine.device)
    _refuse_faulty_half(model, batches, tuning.precision)
    steps = tuning.steps(batches.steps_per_epoch)
    alone = min(steps - 1, round(tuning.frozen * steps))  # steps of the head
    best = _Best(model, data, held, every=max(1, steps // LOOKS), patience=tuning.patience)
    preset = Training(lr=tuning.lr, scaling="none", weight_decay=tuning.weight_decay, warmup=0.1)
    how: dict[str, Any] = {"training": preset, "seed": seed, "forward": forward}

    def train(part: nn.Module, first: int, last: int, scales: dict[nn.Parameter, float]) -> None:
        """Steps `first` to `last` of all, as a run of their own: the whole network warms up anew after the head."""

        def watch(step: int, terms: dict[str, Any]) -> None:
            poll()
            progress(first + step, steps)
            if last == steps:
                best.look(first + step, first + step == steps)

        optimizer = build_optimizer(part, preset, batches.batch_size, scales)
        fit(model, optimizer, lambda step: batches(first + step), steps=last - first, watch=watch, **how)

    with suppress(_Enough), _blaming(encoder, data.train.subset(learnt)):
        if alone:  # a new head knows nothing, and its first gradients would only spoil the encoder
            model.frozen = True
            train(model.head, 0, alone, {})
            model.frozen = False
        train(model, alone, steps, layer_scales(model.encoder.net, tuning.decay(encoder)))
    best.restore()
    model.steps = best.step if len(held) else steps
    return model.to(memory_format=torch.contiguous_format).eval()


@contextmanager
def _blaming(encoder: Encoder, samples: Samples) -> Iterator[None]:
    """Turn a training that diverges into a DataError where no rate could have helped: a sample's features say why."""
    try:
        yield
    except DivergedError:
        for _ in chunks(encoder, samples):
            pass
        raise


def _batches(model: Classifier, data: Labelled, rows: Rows, tuning: Tuning, seed: int, device: torch.device) -> Batches:
    """The lightly augmented views and the truth of each step."""
    patch, options = model.encoder.patch, {"light": tuning.light}
    views = data.train.views(("light",), patch=patch, options=options, channels_last=True)
    size, truth = min(tuning.batch_size, len(rows)), model.aim.truth
    return Batches(data.train, views, batch_size=size, seed=seed, device=device, rows=rows, targets=truth)


def _refuse_faulty_half(model: Classifier, batches: Batches, precision: str) -> None:
    """Raise UsageError where half precision would get this network wrong, as it does some on a CPU."""
    halved = precision == "bf16-mixed" and batches.device.type == "cpu"
    if halved and (fault := fault_of(model.eval(), lambda: model.scores(batches(0)[0]))):
        raise UsageError(f"finetune option 'precision' cannot be 'bf16-mixed' here: {fault}")


@torch.no_grad()
def scores_of(model: Any, samples: Samples, progress: Callable[[int], None] = lambda done: None) -> Tensor:
    """The `scores` that a classifier gives the plain view of every sample, in eval mode: (N, outputs).

    Raises DataError where any are not finite.
    """
    model.eval()
    scores, done = list[Tensor](), 0
    for x in view_batches(samples):
        poll()
        scores.append(model.scores(as_inputs(model, x)).float().cpu())
        refuse_infinite(scores[-1], samples, done, "the scores")
        done += len(scores[-1])
        progress(done)
    return torch.cat(scores)
