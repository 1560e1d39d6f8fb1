"""MSN (Assran et al., 2022): from a few patches, say which prototype the whole belongs to. https://arxiv.org/abs/2204.07141"""

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds, precise
from selftaught.methods.objectives.clusters import mean_entropy, sinkhorn
from selftaught.methods.objectives.distillation import distilled
from selftaught.methods.parts.crops import through
from selftaught.methods.parts.heads import Prototypes, mlp, prototypes_for
from selftaught.methods.parts.masks import random_mask
from selftaught.methods.parts.pictures import without
from selftaught.methods.parts.schedules import linear
from selftaught.methods.parts.teacher import Teacher


class MSN(Method):
    """An anchor with patches dropped, and small crops, are assigned to prototypes as the teacher assigns the whole
    other view; the mean of all anchors' assignments is kept even, so that every prototype is used."""

    question = "Which prototype does the whole belong to, of which I see only some patches?"
    paper = "https://arxiv.org/abs/2204.07141"
    views: tuple[str, ...] = ("global", "global", "local", "local")
    # The paper: 2.5e-4 per 256 in batches of 1,024.
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=0.04, weight_decay_end=0.4, clip=3.0)
    needs_tokens = True
    needs_images = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        mask_ratio: bounds.Share = 0.3,  # 0.15 in the paper for a network of this kind (ViT-S)
        local_crops: bounds.Crops = 2,
        prototypes: bounds.Many = 1024,  # the paper's
        temperature: bounds.Temperature = 0.1,
        target_temperature: bounds.Temperature = 0.025,
        entropy_weight: bounds.Weight = 1.0,
        # CIFAR-10 after 150,000 samples, two seeds: 40.9 and 41.6 % without these steps and with a momentum along a
        # cosine; 43.6 and 42.4 with them and a line, as in the authors' code (docs/results/learns.md).
        sinkhorn_iterations: Annotated[int, bounds.whole(0, 1000)] = 3,
        momentum: bounds.Momentum = 0.99,  # 0.996 in the paper, for 800 epochs
        width: bounds.Width = 512,
        dim: bounds.Width = 128,
    ) -> None:
        """`local_crops` are the paper's focal views; `entropy_weight` is lambda of equation 1; `sinkhorn_iterations`
        even out the teacher's answers over the batch, which spares the paper a search for lambda (appendix C.1), and 0
        leaves them as they are; prototypes are bounded by a thirtieth of the data."""
        super().__init__(encoder, data)
        self.views = ("global", "global", *["local"] * local_crops)
        self.mask_ratio, self.momentum = mask_ratio, momentum
        self.temperature, self.target_temperature = temperature, target_temperature
        self.entropy_weight, self.sinkhorn_iterations = entropy_weight, sinkhorn_iterations
        self.projector = mlp(encoder.dim, width, width, dim)
        self.prototypes = Prototypes(dim, prototypes_for(data, prototypes))
        self.teacher = Teacher(encoder, self.projector)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        target, anchor, *local = views
        keep, _ = self._mask(anchor)
        seen = self.tokens.feature(self.tokens.tokens(anchor, keep=keep))
        said = self.prototypes(self.projector(seen))[None]
        if local:
            crops = through(lambda x: self.projector(self.encoder(x)), local)
            said = torch.cat([said, self.prototypes(crops.flatten(0, 1)).view(len(local), len(target), -1)])
        with torch.no_grad():
            slow, slow_projector = self.teacher.layers
            # Student and teacher share the prototypes; they have no slow copy.
            scores = self.prototypes(slow_projector(slow(target)))
            logits = F.log_softmax(precise(scores) / self.target_temperature, dim=1)
            # Logarithms of probabilities, with whose exponential Sinkhorn's steps begin: with none it is the softmax.
            answer = sinkhorn(logits, 1.0, self.sinkhorn_iterations)
        losses = torch.stack([distilled(answer, scores, self.temperature).mean() for scores in said])
        evenness = mean_entropy(said.flatten(0, 1), self.temperature)
        return {
            "assignment": losses.mean(),
            # Written as what is missing to log K, so that the sum of both terms is zero at best.
            "unevenness": self.entropy_weight * (math.log(len(self.prototypes.weight)) - evenness),
        }

    def _mask(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (B, K) of the patches that the anchor sees, and which it does not (B, N)."""
        return random_mask(len(x), self.tokens.length(x.shape[2:]), self.mask_ratio, x.device)

    def after_step(self, progress: float) -> None:
        # The step has moved them off the sphere. The authors normalise inside the graph instead.
        self.prototypes.normalise()
        self.teacher.follow(self.encoder, self.projector, momentum=linear(self.momentum, 1.0, progress))

    def chance(self, batch: int) -> float:
        return math.log(len(self.prototypes.weight))

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        target, anchor, *_ = views
        _, hidden = self._mask(anchor)
        return {"target": target, "anchor": without(self.tokens, anchor, hidden)}
