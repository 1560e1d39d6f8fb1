"""A method that metadata guide: small heads tell something of each sample from its features, as terms of the loss.

What is to be told is learnt by head and encoder (numbers by regression, as FINO has it, 2606.05107). What is to be
suppressed the head learns, and the encoder learns to keep from it: between the two the gradient is reversed (Ganin et
al., 1505.07818).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selftaught.contracts.method import Method
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

PREFIX = "guidance."  # of the names of what is learnt here
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


def guided(method: Method, asked: Sequence[Asked]) -> Method:
    """The method, in place, with heads that tell what is asked.

    Behind its own views it takes a light one and what is so of each sample (B, len(asked)): classes or numbers of
    deviation one, NaN where nothing is known. Names and state of its own stay as they are.
    """
    own: Any = type(method)
    method.guidance = _Guidance(method.encoder.dim, asked)
    method.views = (*method.views, VIEW)
    method.__class__ = type(own.__name__, (_Guided, own), {})
    return method


class _Guidance(nn.Module):
    """The heads, and how strongly they are reversed by now."""

    def __init__(self, dim: int, asked: Sequence[Asked]) -> None:
        super().__init__()
        self.asked = tuple(asked)
        self.heads = nn.ModuleList(mlp(dim, WIDTH, max(1, one.classes), norm=False) for one in asked)
        self.strength = nn.Buffer(torch.zeros(()))
        self.measures: dict[str, Tensor] = {}

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
            loss, self.measures[one.measure] = of_known_classes(said, classes), share_right(said, classes)
        else:
            told = said[:, 0].to(so.dtype)
            loss, self.measures[one.measure] = of_known_numbers(told, so), share_explained(told, so)
        # Beyond chance there is nothing left to hide: an encoder that went on would mislead the head without end.
        strength *= still_told(loss, one.chance)
        return loss if hides else one.weight * loss


class _Guided:
    """Ahead of the class of a method, in the order of inheritance."""

    def forward(self: Any, *views: Tensor) -> dict[str, Tensor]:
        *own, light, so = views
        terms: dict[str, Tensor] = super().forward(*own)  # type: ignore[misc]
        return terms | self.guidance.terms(self.encoder(light), so)

    def after_step(self: Any, progress: float) -> None:
        super().after_step(progress)  # type: ignore[misc]
        self.guidance.strength.fill_(saturating(progress))

    def chance(self: Any, batch: int) -> float | None:
        own = super().chance(batch)  # type: ignore[misc]
        heads = sum(one.chance * (1.0 if one.purpose == "suppress" else one.weight) for one in self.guidance.asked)
        return None if own is None else own + heads

    @property
    def measures(self: Any) -> dict[str, Tensor]:
        return {**super().measures, **self.guidance.measures}  # type: ignore[misc]

    def picture(self: Any, *views: Tensor) -> dict[str, Tensor]:
        shown: dict[str, Tensor] = super().picture(*views[:-2])  # type: ignore[misc]
        return shown
