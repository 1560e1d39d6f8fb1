"""TiCo (Zhu et al., 2022): agree, and keep away from what all have in common. https://arxiv.org/abs/2206.10698"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, Training, bounds, precise
from selftaught.methods.objectives.redundancy import second_moment, tico_terms
from selftaught.methods.parts.heads import mlp
from selftaught.methods.parts.schedules import cosine
from selftaught.methods.parts.teacher import Teacher


class TiCo(Method):
    """A view must point where the teacher's other view points, and not along directions that many samples share: those
    are known from a running second moment of the features."""

    question = "What tells both my views from what all samples have in common?"
    paper = "https://arxiv.org/abs/2206.10698"
    views = ("strong", "strong_other")
    # The paper: LARS, 0.2 per 256 in batches of 4,096; heads 4096 wide. For rho ports differ: lightly has 20.
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=1e-4)

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        beta: bounds.Momentum = 0.9,
        rho: bounds.Weight = 8.0,
        momentum: bounds.Momentum = 0.99,
        width: bounds.Width = 1024,
        dim: bounds.Width = 256,
    ) -> None:
        """`beta` is how slowly the second moment moves; `rho` weighs the contrast with it (equation 6)."""
        super().__init__(encoder, data)
        self.beta, self.rho, self.momentum = beta, rho, momentum
        self.projector = mlp(encoder.dim, width, dim)
        self.teacher = Teacher(encoder, self.projector)
        self.moment = nn.Buffer(torch.zeros(dim, dim))
        self._newest: Tensor | None = None

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        a, b = views
        z = F.normalize(precise(self.projector(self.encoder(a))), dim=1)
        target = F.normalize(precise(self.teacher(b)), dim=1)
        # With this batch in it, but a constant for the gradient. Kept aside until the step was taken: a batch that is
        # left out leaves no trace.
        self._newest = self.beta * self.moment + (1 - self.beta) * second_moment(z.detach())
        agreement, contrast = tico_terms(z, target, self._newest)
        return {"agreement": agreement, "contrast": self.rho * contrast}

    def after_step(self, progress: float) -> None:
        if self._newest is not None:
            self.moment.copy_(self._newest)
        self.teacher.follow(self.encoder, self.projector, momentum=cosine(self.momentum, 1.0, progress))
