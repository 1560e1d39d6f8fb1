"""DeepCluster-v2 (Caron et al., 2018 and 2020): which cluster of last epoch's features was I in? https://arxiv.org/abs/2006.09882"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, Training, bounds, distributed, precise, randomness
from selftaught.methods.objectives.clusters import nearest_by_all, nearest_centre, spherical_k_means
from selftaught.methods.objectives.prediction import cross_entropy
from selftaught.methods.objectives.similarity import cosines
from selftaught.methods.parts.crops import evenly, through
from selftaught.methods.parts.heads import mlp, prototypes_for
from selftaught.methods.parts.memory import NUMBER, Bank
from selftaught.methods.parts.mirrors import Mirror


class DeepCluster(Method):
    """Whenever every sample has been seen, k-means runs over the features kept of it, once for each head; until the
    next time, all views predict the cluster of their sample.

    Heads are clustered on the first and the second global view's features in turn. Before a sample's first epoch is
    over it has no cluster yet, and the nearest centre of its first view stands in.
    """

    question = "Which cluster was I in when all samples were last sorted?"
    paper = "https://arxiv.org/abs/2006.09882"
    views: tuple[str, ...] = ("global", "global", "local", "local", "index")
    # The paper: LARS, 0.3 per 256 in batches of 4,096. It takes epochs: after 5 of 10,000 images of CIFAR-10 linear is
    # 40.1 %, below the untrained 41.7, and after 15 44.7 (docs/results/learns.md).
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=1e-4)

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        prototypes: bounds.Many = 3000,
        heads: bounds.Heads = 3,
        local_crops: bounds.Crops = 2,
        temperature: bounds.Temperature = 0.1,
        iterations: bounds.Rounds = 10,  # of k-means, each time
        width: bounds.Width = 512,
        dim: bounds.Width = 128,
    ) -> None:
        """`prototypes` are the clusters of each head, bounded by a thirtieth of the data."""
        super().__init__(encoder, data)
        self.views = ("global", "global", *["local"] * local_crops, "index")
        self.temperature, self.iterations, self.count = temperature, iterations, data.count
        clusters = prototypes_for(data, prototypes)
        self.projector = mlp(encoder.dim, width, dim)
        # Without a random start: a row of zeros says that its sample was not seen yet.
        beside = dim + heads * torch.int64.itemsize // NUMBER  # the other bank, and a cluster of each head
        self.banks = nn.ModuleList(Bank(data.count, dim, filled=False, beside=beside) for _ in range(2))
        self.centres = nn.Buffer(F.normalize(torch.randn(heads, clusters, dim), dim=2))
        self.assigned = nn.Buffer(torch.full((heads, data.count), -1))
        self.seen = nn.Buffer(torch.zeros((), dtype=torch.int64))  # samples since the last clustering
        self._seen = Mirror()
        self.rounds = nn.Buffer(torch.zeros((), dtype=torch.int64))
        self._newest: tuple[Tensor, Tensor] | None = None

    def start(self, everything: Tensor) -> None:
        """First centres, of untrained features, for the first epoch."""
        with torch.no_grad():
            z = torch.cat([self.projector(self.encoder(x)) for x in evenly(everything)])
        for head in range(len(self.centres)):
            self._cluster(F.normalize(precise(z), dim=1), head)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        *crops, index = views
        z = F.normalize(precise(through(lambda x: self.projector(self.encoder(x)), crops)), dim=2)
        self._newest = (index, z[:2].detach())
        losses = []
        for centres, assigned in zip(self.centres, self.assigned):
            known = assigned[index]
            # A deviation: the authors' code fills its banks by a pass before training, here the first epoch does.
            target = torch.where(known < 0, nearest_centre(z[0].detach(), centres), known)
            scores = cosines(z, centres) / self.temperature
            losses.append(cross_entropy(scores.flatten(0, 1), target.repeat(len(crops))))
        return {"clusters": torch.stack(losses).mean()}

    def after_step(self, progress: float) -> None:
        if self._newest is None:
            return
        index, z = self._newest
        for bank, view in zip(self.banks, z):
            # Momentum 0: the newest feature alone, as clusters are to be of the network as it is (appendix D.2).
            bank.push(index, view, 0.0)  # type: ignore[operator]
        batch = len(index) * distributed.world_size()
        seen = int(self._seen.read(self.seen)) + batch
        self._seen.write(self.seen, 0 if seen + batch > self.count else seen)
        if seen + batch > self.count:  # no whole batch is left of this epoch
            for head in range(len(self.centres)):
                bank = self.banks[head % len(self.banks)]
                self.assigned[head] = self._cluster(bank.features, head)  # type: ignore[arg-type]
            self.rounds.add_(1)

    def _cluster(self, x: Tensor, head: int) -> Tensor:
        """Move a head's centres to the clusters of x (N, dim); the cluster of each row (N,)."""
        rng = randomness.generator(0, "k-means", int(self.rounds), head)
        known = x.any(dim=1)  # rows of zeros: samples that were never seen yet
        rows = x[known]
        starts = rows[torch.from_numpy(rng.permutation(len(rows))[: self.centres.shape[1]]).to(x.device)]
        if len(starts) < self.centres.shape[1]:  # fewer rows than clusters: the others stay where they are
            starts = torch.cat([starts, self.centres[head, len(starts) :].to(x.dtype)])
        centres = spherical_k_means(rows, starts, self.iterations)
        self.centres[head] = centres
        return nearest_by_all(x, centres).masked_fill(~known, -1)

    def chance(self, batch: int) -> float:
        return math.log(self.centres.shape[1])
