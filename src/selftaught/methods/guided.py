"""A method that metadata guide: small heads tell something of each sample from its features, as terms of the loss.

What is to be told is learnt by head and encoder (numbers by regression, as FINO has it, 2606.05107). What is to be
suppressed the head learns, and the encoder learns to keep from it: between the two the gradient is reversed (Ganin et
al., 1505.07818).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder
from selftaught.contracts.method import Data, Method
from selftaught.methods.objectives.guidance import (
    of_known_classes,
    of_known_numbers,
    reversed_gradient,
    share_explained,
    share_right,
    still_told,
)
from selftaught.methods.parts.heads import mlp
from selftaught.methods.parts.schedules import saturating
from selftaught.methods.together import Together

WIDTH = 256  # of a head's one hidden layer
VIEW = "light"  # what heads are shown: a view that keeps colours, as what is measured in use does


@dataclass(frozen=True)
class Asked:
    """What a head is to tell of a sample: its class among so many, or a number where `classes` is 0."""

    column: str
    purpose: Literal["suppress", "predict"]
    classes: int
    weight: float
    chance: float  # the loss of who knows nothing but how frequent each class is

    @property
    def term(self) -> str:
        """What its loss is called."""
        return f"{self.purpose} {self.column}"

    @property
    def measure(self) -> str:
        """What it is judged by is called."""
        return f"{self.term} {'accuracy' if self.classes else 'R2'}"


def guided(method: Method, asked: Sequence[Asked], data: Data) -> Together:
    """The method with heads beside it that tell what is asked.

    Behind its own views it takes a light one and what is so of each sample (B, len(asked)): classes or numbers of
    deviation one, NaN where nothing is known.
    """
    return Together(method, Heads(method.encoder, data, asked=asked), data, weight=1.0, prefix="")


def unguided(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of the weights of a guided method those of the method itself, by the names that it has without heads."""
    return {name.removeprefix("main."): tensor for name, tensor in weights.items() if not name.startswith("helper.")}


class Heads(Method):
    """The heads, and how strongly they are reversed by now."""

    question = "What do you give away of what is known about me?"
    paper = "https://arxiv.org/abs/1505.07818"
    views = (VIEW,)

    def __init__(self, encoder: Encoder, data: Data, /, *, asked: Sequence[Asked]) -> None:
        super().__init__(encoder, data)
        self.asked = tuple(asked)
        self.heads = nn.ModuleList(mlp(encoder.dim, WIDTH, max(1, one.classes), norm=False) for one in asked)
        self.strength = nn.Buffer(torch.zeros(()))
        self._measures: dict[str, Tensor] = {}

    def forward(self, light: Tensor, so: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return self.terms(self.encoder(light), so)

    def terms(self, features: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """The loss of each head on features (B, dim), of which `truth` (B, len(asked)) is so."""
        # One length for all: or the encoder could gain by longer features, and the heads by nothing.
        z = F.layer_norm(features, features.shape[1:])
        each = zip(self.asked, self.heads, truth.unbind(1))
        return {one.term: self._term(one, head, so, z) for one, head, so in each}

    def _term(self, one: Asked, head: nn.Module, so: Tensor, z: Tensor) -> Tensor:
        hides, strength = one.purpose == "suppress", one.weight * self.strength
        said = head(reversed_gradient(z, strength) if hides else z)
        if one.classes:
            classes = so.nan_to_num(-1.0).long()
            loss, self._measures[one.measure] = of_known_classes(said, classes), share_right(said, classes)
        else:
            told = said[:, 0].to(so.dtype)
            loss, self._measures[one.measure] = of_known_numbers(told, so), share_explained(told, so)
        # Beyond chance there is nothing left to hide: an encoder that went on would mislead the head without end.
        strength *= still_told(loss, one.chance)
        return loss if hides else one.weight * loss

    def after_step(self, progress: float) -> None:
        self.strength.fill_(saturating(progress))

    def chance(self, batch: int) -> float | None:
        return sum(one.chance * (1.0 if one.purpose == "suppress" else one.weight) for one in self.asked)

    @property
    def measures(self) -> dict[str, Tensor]:
        return self._measures

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        return {}
