"""MMCR (Yerxa et al., 2023): views of a sample in one place, samples in all directions. https://arxiv.org/abs/2303.03307"""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds, distributed, precise
from selftaught.methods.objectives.redundancy import nuclear_norm
from selftaught.methods.parts.heads import mlp


class MMCR(Method):
    """The matrix of the samples' mean views must have as large a nuclear norm as can be, which it has when views of a
    sample agree and samples fill all dimensions."""

    question = "In which direction do all my views point, and nobody else's?"
    paper = "https://arxiv.org/abs/2303.03307"
    views: tuple[str, ...] = ("strong", "strong")
    # The paper: LARS, 0.6 per 256 in batches of 2,048, four views.
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=1e-6)

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        strong_views: Annotated[int, bounds.whole(1, 64)] = 2,
        lambd: bounds.Weight = 0.0,
        hidden_layers: bounds.Layers = 1,
        asymmetric: bool = False,  # True in the authors' code
        width: bounds.Width = 512,
        dim: bounds.Width = 128,
    ) -> None:
        """`lambd` weighs the nuclear norm of each sample's own views, which the mean keeps small already; the projector
        has `hidden_layers` of `width` (the paper: 2); where it is `asymmetric`, every other view is `strong_other`."""
        super().__init__(encoder, data)
        kinds = ("strong", "strong_other" if asymmetric else "strong")
        self.views = tuple(kinds[number % 2] for number in range(strong_views))
        self.lambd = lambd
        self.projector = mlp(encoder.dim, *[width] * hidden_layers, dim)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        z = F.normalize(precise(self.projector(self.encoder(torch.cat(views)))), dim=1).unflatten(0, (len(views), -1))
        # Of all processes: the nuclear norm is one of the whole batch, no mean of parts.
        terms = {"centres": -nuclear_norm(distributed.gather(z.mean(dim=0)))}
        # Left out where it weighs nothing, as it decomposes one matrix for each sample.
        if self.lambd:
            terms["manifolds"] = self.lambd * nuclear_norm(z.transpose(0, 1)).mean()
        return terms
