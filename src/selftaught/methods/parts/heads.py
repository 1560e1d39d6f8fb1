"""Modules added for pre-training and thrown away after it."""

import itertools
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selftaught.contracts.method import Data
from selftaught.methods.objectives.similarity import cosines


def mlp(*widths: int, norm: bool = True, last_norm: bool = False) -> nn.Sequential:
    """Linear layers between the given widths, with batch norm and ReLU after every one but the last.

    `norm` False leaves the batch norm out; `last_norm` puts one without learnt scale after the last layer, too.
    """
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths[:-1]):
        # A bias before a batch norm would be taken off again.
        layers += [nn.Linear(a, b, bias=not norm), *([nn.BatchNorm1d(b)] if norm else []), nn.ReLU(inplace=True)]
    layers.append(nn.Linear(widths[-2], widths[-1], bias=not last_norm))
    if last_norm:
        layers.append(nn.BatchNorm1d(widths[-1], affine=False))
    return nn.Sequential(*layers)


def prototypes_for(data: Data, most: int) -> int:
    """As many prototypes as `most` where the data has 30 samples for each, else fewer."""
    # The papers' 3,000 have 427 images each on ImageNet; of 10,000 images they would have three each.
    return max(2, min(most, data.count // 30))


class Prototypes(nn.Module):
    """Directions that features are compared with (SwAV, section 3): cosine scores, one column a prototype."""

    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, dim))
        nn.init.normal_(self.weight)
        self.normalise()

    def forward(self, z: Tensor) -> Tensor:
        """Scores (..., count) of features z (..., dim), which are normalised here."""
        return cosines(z, self.weight)

    @torch.no_grad()
    def normalise(self) -> None:
        """Put every prototype back on the unit sphere."""
        self.weight.copy_(F.normalize(self.weight, dim=1))


def bottleneck_mlp(dim: int, width: int, bottleneck: int, norm: bool = False) -> nn.Sequential:
    """Three linear layers with GELU between them, and batch norm where `norm`; drawn as the authors of DINO do."""
    layers: list[nn.Module] = []
    for a, b in ((dim, width), (width, width)):
        layers += [nn.Linear(a, b), *([nn.BatchNorm1d(b)] if norm else []), nn.GELU()]
    made = nn.Sequential(*layers, nn.Linear(width, bottleneck))
    for layer in made:
        if isinstance(layer, nn.Linear):
            # The authors' start, whatever the encoder.
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
    return made


class DistillationHead(nn.Module):
    """Scores of features against learnt unit directions, as DINO's and iBOT's students and teachers give them.

    DINO (2104.14294, appendix C): three linear layers with GELU, a unit-length bottleneck, and a weight-normalised
    linear layer whose lengths stay one, or are learnt.
    """

    def __init__(
        self,
        dim: int,
        out_dim: int,
        width: int,
        bottleneck: int,
        norm: bool = False,
        last_layer: Literal["normal", "uniform"] = "normal",
        norm_last_layer: bool = True,
    ) -> None:
        """`norm` puts batch norm after the hidden layers; `last_layer` is how the directions are drawn: normal numbers,
        or uniform ones within 1 / sqrt(bottleneck), as any linear layer of torch's; without `norm_last_layer` each
        direction has a length that is learnt."""
        super().__init__()
        self.layers = bottleneck_mlp(dim, width, bottleneck, norm)
        # Uniform is the authors', of deviation 0.036 at a bottleneck of 256, not 1: an optimiser's step turns a long
        # vector less. A deviation that stays the default: DINO's preset gains nothing by it (43.6 % linear after 50,000
        # samples of CIFAR-10, 44.1 with normal ones, one seed each).
        self.directions = nn.Parameter(torch.randn(out_dim, bottleneck))
        if last_layer == "uniform":
            nn.init.uniform_(self.directions, -(bottleneck**-0.5), bottleneck**-0.5)
        self.lengths = None if norm_last_layer else nn.Parameter(torch.ones(out_dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Scores (..., out_dim) of features x (..., dim)."""
        scores = cosines(self.layers(x), F.normalize(self.directions, dim=1))
        return scores if self.lengths is None else scores * self.lengths[:, 0]

    def rest(self) -> None:
        """Keep the last layer as it is in this step."""
        for weight in (self.directions, self.lengths):
            if weight is not None:
                # None, not zero: with a zero gradient AdamW would still decay the weights.
                weight.grad = None


class ResidualMLP(nn.Module):
    """A residual block of a transformer without its attention. AIM (2401.08541, section 3)."""

    def __init__(self, width: int, ratio: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)
