"""NNCLR (Dwibedi et al., 2021): recognise the other view of your nearest neighbour. https://arxiv.org/abs/2104.14548"""

import math

import torch.nn.functional as F
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds, precise
from selftaught.methods.objectives.clusters import nearest_centre
from selftaught.methods.objectives.contrastive import info_nce
from selftaught.methods.parts.crops import through
from selftaught.methods.parts.heads import mlp
from selftaught.methods.parts.memory import Queue


class NNCLR(Method):
    """A view's nearest neighbour among earlier samples takes its place, and finds the other view's prediction."""

    question = "Which of these samples goes with my nearest neighbour among all I remember?"
    paper = "https://arxiv.org/abs/2104.14548"
    views = ("strong", "strong")
    # The paper: LARS, 0.3 per 256 in batches of 4,096, and 256 numbers from 2048 wide heads.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4)

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        temperature: bounds.Temperature = 0.1,
        queue: bounds.Many = 98304,  # the paper's
        width: bounds.Width = 512,
        dim: bounds.Width = 128,
        predictor_width: bounds.Width = 1024,
        views_apart: bool = False,  # True in the paper's algorithm
    ) -> None:
        """`queue` is bounded by a quarter of the data: what is older has changed too much. `views_apart` gives each
        view batch norm's statistics of its own."""
        super().__init__(encoder, data)
        self.temperature, self.views_apart = temperature, views_apart
        # A deviation: the norm after the last layer has no learnt scale.
        self.projector = mlp(encoder.dim, width, width, dim, last_norm=True)
        self.predictor = mlp(dim, predictor_width, dim)
        self.queue = Queue(max(1, min(queue, data.count // 4)), dim, filled=True)
        self._newest: Tensor | None = None

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        z = through(lambda x: self.projector(self.encoder(x)), views, self.views_apart)
        predicted_a, predicted_b = through(self.predictor, z.unbind(), self.views_apart)
        unit = F.normalize(precise(z.detach()).flatten(0, 1), dim=1)
        # Neighbours come from the queue as it was: with this batch in it, each view would be its own neighbour.
        near_a, near_b = self.queue.features[nearest_centre(unit, self.queue.features)].chunk(2)
        # One view of each sample: both would halve how many samples the queue remembers.
        self._newest = unit.chunk(2)[0]
        loss = info_nce(near_a, predicted_b, self.temperature) + info_nce(near_b, predicted_a, self.temperature)
        return {"info_nce": loss / 2}

    def after_step(self, progress: float) -> None:
        if self._newest is not None:
            self.queue.push(self._newest)

    def chance(self, batch: int) -> float:
        return math.log(batch)  # each term's candidates are the batch's predictions
