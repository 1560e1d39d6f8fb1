"""MoCo v3 (Chen et al., 2021): find my key among those of the batch. https://arxiv.org/abs/2104.02057"""

import math
from typing import Annotated

from torch import Tensor

from selftaught import Data, Encoder, Method, TokenEncoder, Training, bounds
from selftaught.methods.objectives.contrastive import info_nce
from selftaught.methods.parts.crops import through
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
        projector_layers: Annotated[int, bounds.whole(1, 16)] = 3,  # 2 in the authors' code for a ResNet
        predictor_norm: bool = True,  # False there
        width: bounds.Width = 1024,
        dim: bounds.Width = 256,
        views_apart: bool = False,  # True in the authors' code
    ) -> None:
        """The heads are those of the authors' vision transformers, whatever the encoder: `projector_layers` linear
        layers, and with `predictor_norm` a norm after the predictor; for a ResNet the authors have two and none.
        `views_apart` gives each view batch norm's statistics of its own."""
        super().__init__(encoder, data)
        self.temperature, self.momentum, self.views_apart = temperature, momentum, views_apart
        if freeze_patches and isinstance(encoder, TokenEncoder):
            encoder.freeze_patches()
        self.projector = mlp(encoder.dim, *[width] * (projector_layers - 1), dim, last_norm=True)
        self.predictor = mlp(dim, width, dim, last_norm=predictor_norm)
        self.teacher = Teacher(encoder, self.projector)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        queries = through(lambda x: self.predictor(self.projector(self.encoder(x))), views, self.views_apart)
        (query_a, query_b), (key_a, key_b) = queries, through(self.teacher, views, self.views_apart)
        loss = info_nce(query_a, key_b, self.temperature) + info_nce(query_b, key_a, self.temperature)
        # Algorithm 1: the factor takes the temperature's own share out of the gradient's size.
        return {"info_nce": 2 * self.temperature * loss}

    def after_step(self, progress: float) -> None:
        self.teacher.follow(self.encoder, self.projector, momentum=cosine(self.momentum, 1.0, progress))

    def chance(self, batch: int) -> float:
        return 4 * self.temperature * math.log(batch)
