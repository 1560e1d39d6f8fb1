"""Distillation without labels: what does a network that knows more make of this? https://arxiv.org/abs/2101.04731"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, Training, UsageError, bounds, precise
from selftaught.methods.objectives.distillation import cosine_distance, distilled
from selftaught.methods.objectives.similarity import products
from selftaught.methods.parts.decoders import map_shape
from selftaught.methods.parts.heads import mlp
from selftaught.methods.parts.memory import Queue
from selftaught.methods.parts.teacher import Frozen

STARTED = 256  # samples at a time, of those that the queue is filled with


class Distill(Method):
    """A student of any architecture says what a frozen teacher says of the same view (Beyer et al., 2021, 2106.05237).

    Of a sample its feature, and what stands at each place of its map (as FitNets' hints, 1412.6550), each through a
    projection to the teacher's width; and which of many earlier samples it is like (SEED, 2101.04731, section 3.2).
    """

    question = "What does a network that knows more make of this view, and which samples does it find alike?"
    paper = "https://arxiv.org/abs/2101.04731"
    views = ("light",)
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=0.05)
    needs_teacher = True
    whole_views = True  # whose map lies over the teacher's
    needs_images = True  # networks that others have taught are known of images alone

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        teacher: Encoder,
        /,
        *,
        feature: bounds.Weight = 1.0,
        map: bounds.Weight = 1.0,
        relations: bounds.Weight = 1.0,
        queue: bounds.Many = 8192,  # SEED: 65,536, of more samples
        temperature: bounds.Temperature = 0.2,
        teacher_temperature: bounds.Temperature = 0.05,  # SEED: 0.01, of teachers whose similarities lie closer
        width: bounds.Width = 1024,
    ) -> None:
        """`feature`, `map` and `relations` weigh the three terms, of which 0 leaves one out.

        `queue` holds the teacher's features of earlier samples, a quarter of the data at most.
        """
        super().__init__(encoder, data)
        weights = {"feature": feature, "map": map, "relations": relations}
        self.weights = {name: weight for name, weight in weights.items() if weight}
        if not self.weights:
            raise UsageError("distill has nothing to learn: give --method.feature, map or relations a weight above 0")
        self.temperature, self.teacher_temperature = temperature, teacher_temperature
        self.teacher = Frozen(teacher)
        self.projector = mlp(encoder.dim, width, teacher.dim)
        own, theirs = (map_shape(network, data.shape)[0] for network in (encoder, teacher))
        self.map_projector = nn.Conv1d(own, theirs, 1)
        # What answers for no term rests: several processes wait for the gradients of all that learns.
        self.projector.requires_grad_(self._asks("feature", "relations"))
        self.map_projector.requires_grad_(self._asks("map"))
        self.queue = Queue(max(1, min(queue, data.count // 4)), teacher.dim, filled=True)
        self._newest: Tensor | None = None

    def _asks(self, *terms: str) -> bool:
        """Whether any of these is not left out."""
        return not self.weights.keys().isdisjoint(terms)

    def start(self, everything: Tensor) -> None:
        """Fill the queue, which would else hold nothing that is like anything."""
        for some in everything.split(STARTED):
            self.queue.push(F.normalize(precise(self.teacher(some)[0]), dim=1))

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        (x,) = views
        feature, places = self.encoder.feature_and_map(x)
        wanted, wanted_places = self.teacher(x)
        self._newest = F.normalize(precise(wanted), dim=1)
        terms = {}
        if self._asks("feature", "relations"):
            said = self.projector(feature)
            terms = {"feature": cosine_distance(said, wanted), "relations": self._of_relations(said)}
        if self._asks("map"):
            terms["map"] = self._of_places(places, wanted_places)
        return {name: weight * terms[name] for name, weight in self.weights.items()}

    def _of_places(self, own: Tensor, theirs: Tensor) -> Tensor:
        """How far apart the two are at each place, of the coarser of both maps."""
        grid = tuple(map(min, own.shape[2:], theirs.shape[2:]))
        own, theirs = (F.adaptive_avg_pool2d(places, (grid[0], grid[1])).flatten(2) for places in (own, theirs))
        said, wanted = (places.transpose(1, 2).flatten(0, 1) for places in (self.map_projector(own), theirs))
        return cosine_distance(said, wanted)

    def _of_relations(self, said: Tensor) -> Tensor:
        """Cross-entropy of whom the student finds alike, among the queue and itself, with whom the teacher does."""
        wanted = self._newest
        assert wanted is not None
        theirs, own = (self._alike(z, wanted) for z in (wanted, F.normalize(precise(said), dim=1)))
        return distilled(F.softmax(theirs / self.teacher_temperature, dim=1), own, self.temperature).mean()

    def _alike(self, z: Tensor, wanted: Tensor) -> Tensor:
        """Cosines (B, K + 1) of unit vectors with the queue, and with what the teacher makes of the same sample."""
        return torch.cat([products(z, self.queue.features), (z * wanted).sum(dim=1, keepdim=True)], dim=1)

    def after_step(self, progress: float) -> None:
        if self._newest is not None:
            self.queue.push(self._newest)
