"""MoCo v2 (Chen et al., 2020): find my key in a queue of earlier ones. https://arxiv.org/abs/2003.04297"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from selftaught import Data, Encoder, Method, Training, UsageError, bounds, distributed, precise, randomness
from selftaught.methods.objectives.contrastive import info_nce_with_queue
from selftaught.methods.parts.crops import cuts
from selftaught.methods.parts.heads import mlp
from selftaught.methods.parts.memory import Queue
from selftaught.methods.parts.teacher import Teacher


class MoCo(Method):
    """The query of one view finds the key that a slow encoder gives the other, beside a queue of earlier keys.

    Batch norm would tell which keys are of this batch, so its statistics are taken of small groups: consecutive
    samples for queries, shuffled ones for keys (1911.05722, section 3.3). The groups are of the global batch, whatever
    the number of processes.
    """

    question = "Which of these keys, of my other view and of many earlier samples, is mine?"
    paper = "https://arxiv.org/abs/2003.04297"
    views = ("strong", "strong")
    # The paper: SGD, 0.03 per 256 samples, for 800 epochs of ImageNet.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4)

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        temperature: bounds.Temperature = 0.2,
        queue: bounds.Many = 65536,
        momentum: bounds.Momentum = 0.99,  # 0.999 in the paper, whose memory of 1,000 steps is longer than a short run
        group: bounds.Group = 64,  # 32 in the paper: what one of its GPUs held
        width: bounds.Width = 512,
        dim: bounds.Width = 128,
    ) -> None:
        """`queue` is bounded by a quarter of the data; `group` is how many samples share batch-norm statistics."""
        super().__init__(encoder, data)
        self.temperature, self.momentum, self.group = temperature, momentum, group
        # No batch norm in the head, as in the paper: here it would see all groups at once.
        self.projector = mlp(encoder.dim, width, dim, norm=False)
        self.teacher = Teacher(encoder, self.projector)
        # A quarter of an epoch, so that a sample rarely meets its own key of the epoch before. Full of random keys from
        # the start, so that the number of negatives, and the loss at chance, is the same at every step.
        self.queue = Queue(max(1, min(queue, data.count // 4)), dim, filled=True)
        self.grouped = any(isinstance(module, _BatchNorm) for module in encoder.modules())
        self._newest: Tensor | None = None

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        a, b = views
        queries = self.projector(self._in_groups(self.encoder, a))
        self._newest = F.normalize(precise(self._keys(b)), dim=1)
        return {"info_nce": info_nce_with_queue(queries, self._newest, self.queue.features, self.temperature)}

    def _in_groups(self, network: nn.Module, x: Tensor) -> Tensor:
        if not self.grouped:
            return network(x)
        # The global batch is divided, not this process's rows, so that the groups do not depend on how many there are.
        world = distributed.world_size()
        total = len(x) * world
        groups = max(1, min(round(total / self.group), total // 2))  # statistics are of two samples at least
        if groups < world and world % groups == 0:  # a group is of several processes
            with distributed.among(world // groups):
                return network(x)
        if groups % world:
            fits = len(x) if len(x) > 1 else world  # a group a process, or one of all: statistics are of 2 at least
            raise UsageError(
                f"moco's batch of {total} makes {groups} groups of --method.group {self.group}, which {world} "
                f"processes cannot share; use --method.group {fits}"
            )
        # Alone: statistics of a group are its own, where batch norm would sum them over processes.
        with distributed.alone():
            return torch.cat([network(x[rows]) for rows in cuts(len(x), groups // world)])

    @torch.no_grad()
    def _keys(self, x: Tensor) -> Tensor:
        """Keys (B, dim), made in groups of the shuffled global batch."""
        if not self.grouped:
            return self.teacher(x)
        # Drawn alike by all processes, of which each encodes another part of the one shuffled batch.
        order = randomness.whole((len(x) * distributed.world_size(),), "shuffle").argsort()
        keys = self._in_groups(self.teacher, distributed.shuffled(x, order))
        return distributed.shuffled(keys, order.argsort())

    def after_step(self, progress: float) -> None:
        self.teacher.follow(self.encoder, self.projector, momentum=self.momentum)
        # After the loss: among the negatives a batch's own keys would be right and wrong answers at once. And after the
        # step, which may be left out: a batch that is not finite leaves no trace in the queue.
        if self._newest is not None:
            self.queue.push(self._newest)

    def chance(self, batch: int) -> float:
        return math.log(1 + len(self.queue.features))
