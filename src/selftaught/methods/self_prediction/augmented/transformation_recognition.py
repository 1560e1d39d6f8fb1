"""Transformation recognition (Saeed et al., 2019): what was done to this series? https://arxiv.org/abs/1907.11879"""

import math
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.prediction import binary_cross_entropy, cross_entropy
from selftaught.methods.parts.moments import parted, shuffled, turned_back, warped

DONE = ("reversed", "negated", "shuffled", "warped")


class TransformationRecognition(Method):
    """Each series is shown as it is, from its end to its beginning, negated, with its segments shuffled, and at a pace
    that changes; the network says which is which. What rotation asks of images, asked of time.

    The paper has these among its eight; of the others noise, scaling, and turned or swapped channels, which mean
    something for accelerometers, leave other series as they were.
    """

    question = "Was the series reversed, negated, shuffled or warped?"
    paper = "https://arxiv.org/abs/1907.11879"
    views = ("light",)
    # A sample is five inputs: half the usual batch. With two labels a class 70.5 % of GunPoint, 55.6 untrained; 53.6 of
    # JapaneseVowels, 74.3 untrained (docs/results/kinds.md).
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4, batch_size=128)
    needs_time = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        heads: Literal["one", "each"] = "one",
        segments: Annotated[int, bounds.whole(2, 64, "segments")] = 4,
        warp: Annotated[float, bounds.number(0.01, 5)] = 0.5,
    ) -> None:
        """heads: one says which it was; each of them, as in the paper, knows one transformation from nothing done, and
        they are learnt together. segments: how many are shuffled; warp: deviation of the logarithm of the pace."""
        super().__init__(encoder, data)
        self.heads, self.segments, self.warp, self.data = heads, segments, warp, data
        self.classifier = nn.Linear(encoder.dim, len(DONE) + (heads == "one"))

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        shown = self._shown(views[0])
        scores = self.classifier(self.encoder(torch.cat(shown))).unflatten(0, (len(shown), -1))
        if self.heads == "one":
            which = torch.arange(len(shown), device=scores.device).repeat_interleave(scores.shape[1])
            return {"cross_entropy": cross_entropy(scores.flatten(0, 1), which)}
        # Each head is asked of what is as it was, and of what it knows.
        before, after = scores[0], scores[1:].diagonal(dim1=0, dim2=2)
        truth = torch.cat([torch.zeros_like(before), torch.ones_like(after)])
        return {"cross_entropy": binary_cross_entropy(torch.cat([before, after]), truth)}

    def _shown(self, x: Tensor) -> list[Tensor]:
        """Series (B, C, T) as they are, and after each of DONE."""
        values, *seen = parted(x, self.data)
        negated = torch.cat([-values, *seen], dim=1)
        done = turned_back(x, self.data), negated, shuffled(x, self.data, self.segments)
        return [x, *done, warped(x, self.data, self.warp)]

    def chance(self, batch: int) -> float:
        return math.log(len(DONE) + 1) if self.heads == "one" else math.log(2)

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        return dict(zip(("as it is", *DONE), self._shown(views[0])))
