"""Alignment and uniformity (Wang and Isola, 2020): near to my view, evenly far from all. https://arxiv.org/abs/2005.10242"""

from typing import Annotated

import torch
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.contrastive import alignment_loss, uniformity_loss
from selftaught.methods.parts.heads import mlp


class AlignUniform(Method):
    """What contrastive losses do in the limit of many negatives, minimised as such: views meet, samples spread out."""

    question = "Where on the sphere am I near to my other view and far from everybody?"
    paper = "https://arxiv.org/abs/2005.10242"
    views = ("strong", "strong")
    # The paper: SGD in batches of 128 on ImageNet-100, with MoCo's queue.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4)

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        align_weight: bounds.Weight = 0.98,
        align_alpha: Annotated[float, bounds.number(0.1, 16)] = 2.0,
        uniform_weight: bounds.Weight = 0.96,
        uniform_t: Annotated[float, bounds.number(0.01, 100)] = 2.0,
        width: bounds.Width = 512,
        dim: bounds.Width = 128,
    ) -> None:
        """Weights and powers as the paper found best on STL-10 without a contrastive term (table 1)."""
        super().__init__(encoder, data)
        self.align, self.uniform = (align_weight, align_alpha), (uniform_weight, uniform_t)
        # A deviation: the paper's encoder ends in one linear layer; the hidden one is SimCLR's.
        self.projector = mlp(encoder.dim, width, dim)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        a, b = self.projector(self.encoder(torch.cat(views))).chunk(2)
        (align, alpha), (uniform, t) = self.align, self.uniform
        return {
            "alignment": align * alignment_loss(a, b, alpha),
            # Each view among its like: the two views of a sample are to meet, not to spread out.
            "uniformity": uniform * (uniformity_loss(a, t) + uniformity_loss(b, t)) / 2,
        }
