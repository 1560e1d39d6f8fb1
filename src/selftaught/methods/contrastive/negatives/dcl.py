"""Decoupled contrastive learning (Yeh et al., 2022): SimCLR that never rests on easy pairs. https://arxiv.org/abs/2110.06848"""

import math

import torch
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.contrastive import dcl
from selftaught.methods.parts.heads import mlp


class DCL(Method):
    """SimCLR with the positive left out of its own denominator, so that small batches teach as well as large ones."""

    question = "Who of all the others is most like me, and how much more is my other view?"
    paper = "https://arxiv.org/abs/2110.06848"
    views = ("strong", "strong")
    # The paper: SimCLR's LARS at 0.3, but in batches of 256, which its loss is made for.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4)

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        temperature: bounds.Temperature = 0.1,
        weighted: bool = False,
        sigma: bounds.Positive = 0.5,  # the paper's, of equation 6
        width: bounds.Width = 512,
        dim: bounds.Width = 128,
    ) -> None:
        """`weighted` weighs pairs by how far apart they are, with a kernel of width `sigma` (equation 6)."""
        super().__init__(encoder, data)
        self.temperature, self.sigma = temperature, sigma if weighted else None
        self.projector = mlp(encoder.dim, width, dim)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        a, b = self.projector(self.encoder(torch.cat(views))).chunk(2)
        return {"dcl": dcl(a, b, self.temperature, self.sigma)}

    def chance(self, batch: int) -> float:
        return math.log(2 * batch - 2)  # one less than SimCLR's: the positive is no candidate either
