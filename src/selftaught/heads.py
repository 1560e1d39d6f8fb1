"""Modules added for pre-training and thrown away after it."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mlp(*widths: int, last_norm: bool = False, last_bias: bool = True) -> nn.Sequential:
    """Linear layers between the given widths, with batch norm and ReLU after every one but the last.

    `last_norm` puts a batch norm without learnt scale after the last layer, too.
    """
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths[:-1]):
        layers += [nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU(inplace=True)]
    layers.append(nn.Linear(widths[-2], widths[-1], bias=last_bias and not last_norm))
    if last_norm:
        layers.append(nn.BatchNorm1d(widths[-1], affine=False))
    return nn.Sequential(*layers)


class Prototypes(nn.Module):
    """Directions that features are compared with (SwAV, section 3): cosine scores, one column a prototype."""

    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, dim))
        nn.init.normal_(self.weight)
        self.normalise()

    def forward(self, z: Tensor) -> Tensor:
        """Scores (B, count) of features z (B, dim), which are normalised here."""
        return F.normalize(z, dim=1) @ self.weight.T

    @torch.no_grad()
    def normalise(self) -> None:
        """Put every prototype back on the unit sphere."""
        self.weight.copy_(F.normalize(self.weight, dim=1))
