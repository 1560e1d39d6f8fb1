"""MaskFeat (Wei et al., 2022): say the edge directions of what was hidden. https://arxiv.org/abs/2112.09133"""

import math
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.prediction import weighted_error
from selftaught.methods.parts.damage import extremes
from selftaught.methods.parts.decoders import map_shape
from selftaught.methods.parts.hog import histograms, strokes
from selftaught.methods.parts.holes import Hole, cells_of
from selftaught.methods.parts.masks import MASKS, refuse_single


class MaskFeat(Method):
    """Blocks are hidden; a linear head predicts their histograms of oriented gradients (HOG), channel by channel."""

    question = "Which edges ran through the blocks that were hidden?"
    paper = "https://arxiv.org/abs/2112.09133"
    views = ("light",)
    # The paper: 2e-4 per 256 in batches of 2,048. A ResNet learns next to nothing of 50,000 samples of CIFAR-10
    # (41.9 % linear, untrained 41.7), and 45.1 of 200,000 (docs/results/learns.md).
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=0.05)
    needs_images = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        mask_ratio: bounds.ShareAboveZero = 0.4,
        mask_patch_size: bounds.Pixels | None = None,
        blocks: Literal["cut", "grown"] = "cut",  # grown in the authors' code
        cell: bounds.Pixels | None = None,
        bins: Annotated[int, bounds.whole(1, 360)] = 9,
    ) -> None:
        """`cell` is the side of a histogram's cell in pixels; default: half a token's or map cell's, at least 4 (the
        paper's 8 for tokens of 16). `mask_patch_size` is the side of the smallest hidden part; default: a fourteenth
        of the image's. `blocks` is how hidden ones are drawn: the last one cut where the share is reached, or, as in
        BEiT's code, whole ones only, which leaves larger parts in one piece."""
        super().__init__(encoder, data)
        self.blocks, self.mask_ratio, self.bins, self.data = MASKS[blocks], mask_ratio, bins, data
        self.cells = cells_of("maskfeat", encoder, data, mask_patch_size, 1 / 14)
        self.hole = Hole(encoder, data)
        wide, rows, columns = map_shape(encoder, data.shape)
        height, width = data.shape[1:]
        self.cell = cell or max(4, round(min(height / rows, width / columns) / 2))
        self.grid = (height // self.cell, width // self.cell)
        refuse_single(
            "maskfeat", data, math.prod(self.grid), "histograms", "use a smaller --method.cell, or larger samples"
        )
        self.channels = data.shape[0]
        self.head = nn.Conv2d(wide, self._each((rows, columns)) * self.channels * bins, 1)

    def _each(self, cells: tuple[int, int]) -> int:
        """Histograms a cell of the map answers for: a square number, at least as many as fall into it."""
        return max(-(-side // count) for side, count in zip(self.grid, cells)) ** 2

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        target, predicted, hidden = self._predict(views[0])
        return {"hog": weighted_error(predicted, target, hidden.to(predicted.dtype))}

    def _predict(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Targets and predictions (B, C x bins, *grid), and which cells were hidden (B, 1, *grid)."""
        hidden = self.blocks(len(x), self.cells, self.mask_ratio, x.device)
        answers = self.head(self.hole(self.encoder, x, hidden))
        each = round((answers.shape[1] / (self.channels * self.bins)) ** 0.5)
        predicted = F.pixel_shuffle(answers, each)
        if predicted.shape[2:] != self.grid:
            predicted = F.interpolate(predicted, self.grid, mode="bilinear", align_corners=False)
        target = histograms(x, self.cell, self.bins)
        pixels = self.hole.pixels(hidden).to(x.dtype)
        covered = F.avg_pool2d(pixels[..., : self.grid[0] * self.cell, : self.grid[1] * self.cell], self.cell)
        return target, predicted, _asked(covered)

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        target, predicted, hidden = self._predict(x)
        answer = torch.where(hidden, predicted.to(target.dtype), target)
        full = F.interpolate(hidden.to(x.dtype), x.shape[2:]).bool()
        edges = {"edges": self._as_image(target, x), "answer": self._as_image(answer, x)}
        return {"input": x, "shown": x.masked_fill(full, 0.0), **edges}

    def _as_image(self, edges: Tensor, x: Tensor) -> Tensor:
        low, high = extremes(self.data, x)
        return low + strokes(edges, self.bins, (x.shape[2], x.shape[3])).to(x.dtype) * (high - low)


def _asked(covered: Tensor) -> Tensor:
    """Which histograms (B, 1, h, w) are asked for, by the share of each one's pixels that was hidden.

    Those of most of whose pixels that is true, since cells and hidden parts need not line up, and of each sample the
    one of which most was hidden, if any was: of small parts that may be less than a half.
    """
    shares = covered.flatten(1)
    most = shares.max(dim=1, keepdim=True)
    return (shares > 0.5).scatter(1, most.indices, most.values > 0).view_as(covered)
