"""Relative location (Doersch et al., 2015): on which side of this tile was that one? https://arxiv.org/abs/1505.05192"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds, devices
from selftaught.methods.objectives.prediction import cross_entropy
from selftaught.methods.parts.heads import mlp
from selftaught.methods.parts.tiles import Tiles, joined

CENTRE = 4
AROUND = (0, 1, 2, 3, 5, 6, 7, 8)  # the eight neighbours, row by row


class RelativeLocation(Method):
    """The middle tile and one of its eight neighbours, encoded apart by the same encoder: which neighbour is it?

    Every image asks about all eight, since its nine tiles are encoded only once for that.
    """

    question = "On which side of the middle tile was this other one?"
    paper = "https://arxiv.org/abs/1505.05192"
    views = ("light",)
    # A sample is nine inputs: half the usual batch. The authors' code: SGD at 1e-5.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4, batch_size=128)
    needs_images = True

    # A third of the cell in the paper (half a tile), which has tiles of 96 pixels to take it from.
    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        gap: bounds.Gap = 0.25,
        drop_colors: bool = True,
        dropped: Literal["copies", "noise"] = "copies",
        width: bounds.Width = 512,
    ) -> None:
        """`gap` is the share of a cell that its tile leaves out; `drop_colors` shows one channel of each tile;
        `dropped` is what the others hold then, copies of it or, as in the paper, faint noise."""
        super().__init__(encoder, data)
        # Section 3.1: a gap of half a tile, and up to 7 of its 96 pixels of jitter either way.
        self.tiles = Tiles(encoder, data, gap, drop_colors, jitter=0.3, dropped=dropped)
        self.classifier = mlp(2 * encoder.dim, width, len(AROUND))

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        _, scores = self._ask(views[0])
        # A deviation: the authors' code cuts a larger grid and asks about every pair of neighbours in it.
        where = torch.arange(len(AROUND), device=scores.device).expand(scores.shape[:2])
        return {"cross_entropy": cross_entropy(scores.flatten(0, 1), where.flatten())}

    def _ask(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Tiles (B, 9, C, s, s), and scores (B, 8, 8) of every neighbour."""
        tiles = self.tiles(x)
        features = self.encoder(tiles.flatten(0, 1)).unflatten(0, tiles.shape[:2])
        middle = features[:, CENTRE : CENTRE + 1].expand(-1, len(AROUND), -1)
        pairs = torch.cat([middle, features[:, devices.constant(AROUND, features, torch.long)]], dim=2)
        return tiles, self.classifier(pairs.flatten(0, 1)).unflatten(0, pairs.shape[:2])

    def chance(self, batch: int) -> float:
        return math.log(len(AROUND))

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        tiles, scores = self._ask(x)
        one, around = torch.arange(len(x), device=x.device), torch.tensor(AROUND, device=x.device)
        asked = one % len(AROUND)
        other, said = around[asked], around[scores[one, asked].argmax(dim=1)]
        middle, neighbour = tiles[:, CENTRE], tiles[one, other]
        shown = F.interpolate(torch.cat([middle, neighbour], dim=3), size=x.shape[2:])
        answer = torch.zeros_like(tiles)
        answer[:, CENTRE] = middle
        answer[one, said] = neighbour
        return {"input": x, "middle and other": shown, "answer": joined(answer, x.shape[2:])}
