"""PIRL (Misra and van der Maaten, 2020): my shuffled tiles are still me. https://arxiv.org/abs/1912.01991"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, Training, bounds, precise, randomness
from selftaught.methods.objectives.contrastive import told_apart
from selftaught.methods.objectives.similarity import cosines
from selftaught.methods.parts.memory import Bank
from selftaught.methods.parts.tiles import Tiles, joined, ordered


class PIRL(Method):
    """The image, and the nine tiles of it in any order, are both like the image's slot in a bank, and unlike others.

    Negatives are drawn once a step for the whole batch. Sums are those of equations 3 and 4; the authors' code has a
    constant in their place, estimated once. Every tile is normalised by itself, channel by channel, as in `jigsaw`;
    unlike there it shows all its channels, as the paper's tiles do.
    """

    question = "Am I the same, whole and in shuffled tiles?"
    paper = "https://arxiv.org/abs/1912.01991"
    views = ("strong", "light", "index")
    # A sample costs ten inputs, its nine tiles and itself: half the usual batch. The paper: SGD, 0.03 per 256.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4, batch_size=128)
    needs_images = True
    whole_views = True  # of which tiles are cut

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        temperature: bounds.Temperature = 0.07,
        negatives: bounds.Many = 32000,
        tile_weight: bounds.Share = 0.5,  # both terms alike, the paper's
        momentum: bounds.Momentum = 0.5,
        gap: bounds.Gap = 0.15,
        drop_colors: bool = False,  # colours do not say where a tile was, which is not asked here
        dim: bounds.Width = 128,
    ) -> None:
        """`tile_weight` is lambda of equation 5; `negatives` is bounded by a quarter of the data."""
        super().__init__(encoder, data)
        self.temperature, self.tile_weight, self.momentum = temperature, tile_weight, momentum
        self.negatives = max(1, min(negatives, data.count // 4))
        self.tiles = Tiles(encoder, data, gap, drop_colors)
        self.projector = nn.Linear(encoder.dim, dim)
        self.tile_projector = nn.Linear(encoder.dim, dim)
        self.join = nn.Linear(9 * dim, dim)
        self.bank = Bank(data.count, dim)
        self._newest: tuple[Tensor, Tensor] | None = None

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x, y, index = views
        whole = F.normalize(precise(self.projector(self.encoder(x))), dim=1)
        tiles = self.encoder(self._shuffled(y).flatten(0, 1))
        shuffled = F.normalize(precise(self.join(self.tile_projector(tiles).view(len(y), -1))), dim=1)
        slots = self.bank.features
        drawn = self.bank.drawn(self.negatives)
        own, others = slots[index], slots[drawn]
        # Only wholes go into the bank: tiles are to become like them, not they like tiles.
        self._newest = (index, whole.detach())

        def term(z: Tensor) -> Tensor:
            mine = index[:, None] == drawn  # a sample is no negative of its own
            unlike = cosines(z, others).masked_fill(mine, -torch.inf)
            return told_apart((z * own).sum(dim=1), unlike, self.temperature)

        return {"tiles": self.tile_weight * term(shuffled), "image": (1 - self.tile_weight) * term(whole)}

    def _shuffled(self, x: Tensor) -> Tensor:
        """Tiles (B, 9, C, s, s) of every image in an order of its own."""
        tiles = self.tiles(x)
        order = randomness.uniform((len(x), 9), "order", x.device).argsort(dim=1)
        return ordered(tiles, order)

    def after_step(self, progress: float) -> None:
        # After the step, so that the loss compares with the slots as they were.
        if self._newest:
            self.bank.push(*self._newest, self.momentum)

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        x, y, _ = views
        return {"whole": x, "tiles": joined(self._shuffled(y), x.shape[2:])}
