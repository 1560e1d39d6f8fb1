"""MoCo v3 (Chen et al., 2021): find my key among those of the batch. https://arxiv.org/abs/2104.02057"""

import math

import torch
from torch import Tensor

from selftaught import Data, Encoder, Method, TokenEncoder, Training, bounds
from selftaught.methods.objectives.contrastive import info_nce
from selftaught.methods.parts.heads import mlp
from selftaught.methods.parts.schedules import cosine
from selftaught.methods.parts.teacher import Teacher


class MoCoV3(Method):
    """Each view's prediction finds the key that a slow encoder gives the other view, among those of the batch.

    The patch projection of a vision transformer stays as it was drawn, which keeps training steady (section 4.2).
    """

    question = "Which of the batch's keys did my slow self give my other view?"
    paper = "https://arxiv.org/abs/2104.02057"
    views = ("strong", "strong_other")
    # The paper: AdamW at 1.5e-4 per 256 in batches of 4,096 and weight decay 0.1 for its vision transformers.
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=1e-4)

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        temperature: bounds.Temperature = 0.2,  # the authors' for vision transformers; their ResNets have 1
        momentum: bounds.Momentum = 0.99,
        freeze_patches: bool = True,
        width: bounds.Width = 1024,
        dim: bounds.Width = 256,
    ) -> None:
        super().__init__(encoder, data)
        self.temperature, self.momentum = temperature, momentum
        if freeze_patches and isinstance(encoder, TokenEncoder):
            encoder.freeze_patches()
        # As the authors' vision transformers have them, whatever the encoder: a deviation for a ResNet, whose projector
        # has two layers there and whose predictor ends without a norm.
        self.projector = mlp(encoder.dim, width, width, dim, last_norm=True)
        self.predictor = mlp(dim, width, dim, last_norm=True)
        self.teacher = Teacher(encoder, self.projector)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        # One batch norm batch for both views, where the authors' code passes them one after the other.
        both = torch.cat(views)
        query_a, query_b = self.predictor(self.projector(self.encoder(both))).chunk(2)
        key_a, key_b = self.teacher(both).chunk(2)
        loss = info_nce(query_a, key_b, self.temperature) + info_nce(query_b, key_a, self.temperature)
        # Algorithm 1: the factor takes the temperature's own share out of the gradient's size.
        return {"info_nce": 2 * self.temperature * loss}

    def after_step(self, progress: float) -> None:
        self.teacher.follow(self.encoder, self.projector, momentum=cosine(self.momentum, 1.0, progress))

    def chance(self, batch: int) -> float:
        return 4 * self.temperature * math.log(batch)
