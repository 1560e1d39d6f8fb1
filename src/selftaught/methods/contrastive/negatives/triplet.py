"""Triplet loss (Schroff et al., 2015): which is nearer, my other view or a look-alike? https://arxiv.org/abs/1503.03832"""

from typing import Annotated

import torch
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.contrastive import semi_hard_triplet
from selftaught.methods.parts.heads import mlp


class Triplet(Method):
    """Each view must be nearer to its other view than to a semi-hard negative of the batch, by a margin.

    A sample takes the place of the paper's identity, and its views that of photographs of one person.
    """

    question = "Which is nearer: my other view, or the sample that looks most like me?"
    paper = "https://arxiv.org/abs/1503.03832"
    views = ("strong", "strong")
    # The paper: Adagrad and batches of 1,800 faces with labels, and this margin; views and optimiser are SimCLR's.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4)

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        margin: Annotated[float, bounds.number(0, 4)] = 0.2,
        width: bounds.Width = 512,
        dim: bounds.Width = 128,
    ) -> None:
        super().__init__(encoder, data)
        self.margin = margin
        self.projector = mlp(encoder.dim, width, dim)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        a, b = self.projector(self.encoder(torch.cat(views))).chunk(2)
        return {"triplet": semi_hard_triplet(a, b, self.margin)}

    def chance(self, batch: int) -> float:
        return self.margin  # all samples in one place
