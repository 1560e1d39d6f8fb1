"""SimCLR (Chen et al., 2020): recognise another view of the same sample among many. https://arxiv.org/abs/2002.05709"""

import math

import torch
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.contrastive import nt_xent
from selftaught.methods.parts.heads import mlp


class SimCLR(Method):
    """Two strong views of a sample attract; all other views in the batch repel.

    Both views go through the encoder together, so BatchNorm sees them as one batch.
    """

    question = "Which of all these views is my other view?"
    paper = "https://arxiv.org/abs/2002.05709"
    views = ("strong", "strong")
    # The paper: LARS, 0.3 per 256 samples in batches of 4,096, and a projector of 2048 after 2048 features.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4)

    # 0.1 in the paper on ImageNet, 0.5 on CIFAR-10, for which an author later named 0.2.
    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        temperature: bounds.Temperature = 0.2,
        width: bounds.Width = 512,
        dim: bounds.Width = 128,
    ) -> None:
        super().__init__(encoder, data)
        self.temperature = temperature
        self.projector = mlp(encoder.dim, width, dim)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        a, b = self.projector(self.encoder(torch.cat(views))).chunk(2)
        return {"nt_xent": nt_xent(a, b, self.temperature)}

    def chance(self, batch: int) -> float:
        return math.log(2 * batch - 1)  # all views are alike; one's own is no candidate
