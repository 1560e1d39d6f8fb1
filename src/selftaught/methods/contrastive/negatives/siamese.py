"""Siamese network (Hadsell et al., 2006): are these two views of one sample? https://doi.org/10.1109/CVPR.2006.100"""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds, precise
from selftaught.methods.objectives.contrastive import margin_contrastive
from selftaught.methods.parts.heads import mlp


class Siamese(Method):
    """Two views of a sample are drawn together; views of two samples are pushed apart until a margin lies between.

    Distances are measured on the unit sphere, so that a margin means the same for every encoder: the paper's
    embedding is free, and has two or three dimensions.
    """

    question = "Are these two views of the same sample?"
    paper = "https://doi.org/10.1109/CVPR.2006.100"
    views = ("strong", "strong")
    # Views and optimiser are SimCLR's (2002.05709): the paper, of 2006, has none for photographs.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4)

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        margin: Annotated[float, bounds.number(0, 4)] = 1.2,
        width: bounds.Width = 512,
        dim: bounds.Width = 128,
    ) -> None:
        """`margin` is the distance at which other samples are far enough; no two points are farther apart than 2."""
        super().__init__(encoder, data)
        # Unrelated directions lie about 1.41 apart, so a margin below that leaves alone what is unlike already.
        self.margin = margin
        self.projector = mlp(encoder.dim, width, dim)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        # In float32 or better: distances of near points are small differences of numbers near two.
        a, b = F.normalize(precise(self.projector(self.encoder(torch.cat(views)))), dim=1).chunk(2)
        return {"margin": margin_contrastive(a, b, self.margin)}

    def chance(self, batch: int) -> float:
        return self.margin**2 / 2  # all samples in one place
