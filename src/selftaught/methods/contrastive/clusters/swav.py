"""SwAV (Caron et al., 2020): which prototype does my other view belong to? https://arxiv.org/abs/2006.09882"""

import math
from typing import Annotated, Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, Training, bounds, distributed, precise
from selftaught.methods.objectives.clusters import sinkhorn, swapped_prediction
from selftaught.methods.parts.crops import through
from selftaught.methods.parts.heads import Prototypes, mlp, prototypes_for
from selftaught.methods.parts.memory import Queue
from selftaught.methods.parts.mirrors import Mirror


class SwAV(Method):
    """Every view predicts the prototypes that Sinkhorn assigned to a global view of the same sample.

    Assignments are computed on the two global views, together with a queue of earlier features once it is full and
    training is far enough; local views only predict.
    """

    question = "Which prototype does my other view belong to?"
    paper = "https://arxiv.org/abs/2006.09882"
    views: tuple[str, ...] = ("global", "global", "local", "local")
    # The paper: LARS, 0.3 per 256 in batches of 4,096, six local views.
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=1e-4)

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        prototypes: bounds.Many = 3000,
        local_crops: bounds.Crops = 2,
        queue: Annotated[int, bounds.whole(0, bounds.MANY)] = 3840,
        # After 50,000 samples of CIFAR-10 it makes no difference: 43.8 % with the queue and without it
        # (docs/results/learns.md). In batches of 4,096 the paper has none.
        queue_start: bounds.Share = 0.5,
        freeze_prototypes: bounds.Share = 0.02,  # 1 of the paper's 800 epochs is 0.00125
        temperature: bounds.Temperature = 0.1,
        epsilon: bounds.Temperature = 0.05,  # the paper's, as are the three iterations
        sinkhorn_iterations: Annotated[int, bounds.whole(0, 1000)] = 3,
        width: bounds.Width = 512,
        dim: bounds.Width = 128,
    ) -> None:
        """Prototypes and queue are bounded by what fits the data: a thirtieth and an eighth of its count.

        In short runs features change fast, so the queue starts later than in the paper and holds fresher ones.
        """
        super().__init__(encoder, data)
        self.views = ("global", "global", *["local"] * local_crops)
        self.queue_start, self.freeze_prototypes = queue_start, freeze_prototypes
        self.temperature, self.epsilon, self.sinkhorn_iterations = temperature, epsilon, sinkhorn_iterations
        self.projector = mlp(encoder.dim, width, dim)
        self.prototypes = Prototypes(dim, prototypes_for(data, prototypes))
        self.queues = nn.ModuleList(Queue(min(queue, max(1, data.count // 8)), dim) for _ in range(2 if queue else 0))
        self._newest: Tensor | None = None  # features of the last batch's global views, for the queues
        self.seen = nn.Buffer(torch.zeros((), dtype=torch.float64))  # progress; part of the state, for resume
        self._progress = Mirror()

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        try:
            fn(self.seen)
        except TypeError:  # MPS has no float64
            self.seen = nn.Buffer(self.seen.float())
        return super()._apply(fn, recurse)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        embedded = through(lambda x: self.projector(self.encoder(x)), views)
        scores = self.prototypes(embedded)
        self._newest = F.normalize(precise(embedded[:2].detach()), dim=2)
        losses = []
        for i in range(2):
            # An assignment is a target: no gradient makes it easier to predict.
            assignment = self._assign(i, scores[i].detach())
            losses += [swapped_prediction(assignment, scores[j], self.temperature) for j in range(len(views)) if j != i]
        return {"swapped": torch.stack(losses).mean()}

    def _assign(self, i: int, scores: Tensor) -> Tensor:
        """Assignments of the i-th global view's batch, made with the queue where that has begun."""
        batch = len(scores)
        queue = self.queues[i] if len(self.queues) and self._progress.read(self.seen) >= self.queue_start else None
        if isinstance(queue, Queue) and queue.full:
            share = queue.features[distributed.rank() :: distributed.world_size()]  # each process holds all of it
            earlier = self.prototypes(share).detach()
            scores = torch.cat([scores, earlier])
        # The queue only helps to even out; nobody predicts the assignments of its features.
        return sinkhorn(scores, self.epsilon, self.sinkhorn_iterations)[:batch]

    def before_step(self, progress: float) -> None:
        if progress < self.freeze_prototypes:
            # None, not zero: with a zero gradient AdamW would still decay the weights.
            self.prototypes.weight.grad = None

    def after_step(self, progress: float) -> None:
        # The step has moved them off the sphere.
        self.prototypes.normalise()
        # After the loss: a batch that stood in the queue as well would count twice in its own assignment.
        for queue, z in zip(self.queues, () if self._newest is None else self._newest):
            assert isinstance(queue, Queue)
            queue.push(z)
        self._progress.write(self.seen, progress)

    def chance(self, batch: int) -> float:
        return math.log(len(self.prototypes.weight))
