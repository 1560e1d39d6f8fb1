"""Which weights of an encoder learn, where it starts from what others have taught it: all, or few that are cheap."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from selftaught.contracts.encoder import Encoder
from selftaught.run.quantities import ALL
from selftaught.system.errors import UsageError
from selftaught.training.layers import last_layers

SCALE = 2.0  # of what is added: the paper's alpha, in ranks, as it is kept when ranks are tried
NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class LowRank(nn.Module):
    """A weight with a product of two thin matrices added: LoRA (Hu et al., 2021, section 4.1).

    What is added is nothing at first. A kernel of a convolution is a matrix of its outputs and all that they see.
    https://arxiv.org/abs/2106.09685
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        out, seen = weight.shape[0], math.prod(weight.shape[1:])
        rank = min(rank, out, seen)
        self.down = nn.Parameter(torch.empty(rank, seen))
        self.up = nn.Parameter(torch.zeros(out, rank))
        self.scale = SCALE
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight (out, ...) as it is used."""
        return weight + self.scale * (self.up @ self.down).view_as(weight)


def used_weights(encoder: nn.Module) -> Iterator[Tensor]:
    """The weights that learn, each as it is used: one that thin matrices are added to with these."""
    layers: list[Any] = list(encoder.modules())
    seen = {weight for layer in layers if isinstance(layer, LowRank) for weight in layer.parameters()}
    for layer in layers:
        if parametrize.is_parametrized(layer, "weight") and isinstance(layer.parametrizations.weight[0], LowRank):
            yield layer.weight
        for own in layer.parameters(recurse=False):
            if own.requires_grad and own not in seen:
                seen.add(own)
                yield own


def count_weights(encoder: nn.Module) -> tuple[int, int]:
    """How many numbers the weights of an encoder have, without what is added to them, and how many numbers learn."""
    thin = [weight for layer in encoder.modules() if isinstance(layer, LowRank) for weight in layer.parameters()]
    every = list(encoder.parameters())
    whole = sum(weight.numel() for weight in every) - sum(weight.numel() for weight in thin)
    return whole, sum(weight.numel() for weight in every if weight.requires_grad)


def adapt(encoder: Encoder, how: str) -> None:
    """Leave an encoder, in place, only those weights to learn that `how` names.

    Raises UsageError where it has none of them.
    """
    if how == ALL:
        return
    net, (kind, _, number) = encoder.net, how.partition(":")
    learning = {"norms": _of_norms, "last": last_layers, "lora": _of_ranks}[kind](net, int(number or 0))
    for weight in net.parameters():
        weight.requires_grad_(weight.requires_grad and weight in learning)
    if not any(weight.requires_grad for weight in net.parameters()):
        raise UsageError(f"--adapt cannot be {how!r}: {encoder.origin.name} has no weights of that kind")


def _of_norms(net: nn.Module, number: int) -> set[nn.Parameter]:
    return {weight for layer in net.modules() if isinstance(layer, NORMS) for weight in layer.parameters(recurse=False)}


def _of_ranks(net: nn.Module, rank: int) -> set[nn.Parameter]:
    """The thin matrices that are added to each weight of a linear layer or a convolution over all channels."""
    added: set[nn.Parameter] = set()
    for layer in list(net.modules()):
        if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1):
            thin = LowRank(layer.weight, rank)
            parametrize.register_parametrization(layer, "weight", thin)
            added |= set(thin.parameters())
    return added
