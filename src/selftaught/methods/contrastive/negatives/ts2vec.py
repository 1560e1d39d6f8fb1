"""TS2Vec (Yue et al., 2022): which moment is this, seen in another context? https://arxiv.org/abs/2106.10466"""

from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, UsageError, bounds, randomness
from selftaught.methods.objectives.hierarchy import hierarchical_contrast
from selftaught.methods.parts.holes import Hole

SHORTEST = 2  # moments that two crops have in common, at least


class Crops(NamedTuple):
    """Two stretches of a series, in moments: from `first` to `right`, and from `left` to `last`."""

    first: int
    left: int
    right: int
    last: int


class Ts2Vec(Method):
    """Two crops of a series overlap, each with moments hidden: what both say of a moment must agree, whatever its
    context, and differ from what they say of other moments and of other series, at every scale of time.

    Deviations: moments are hidden in the input of a convolution (a learnt value stands there) where the authors hide
    them behind its first layer; the overlap has `longest` moments at most, since its products grow with the square;
    weights are the last ones and no mean over steps; and a series is its mean over time, and not the greatest, unless
    judging chooses otherwise. A moment of a transformer is one of its patches.
    """

    question = "Which moment is this, seen in another context?"
    paper = "https://arxiv.org/abs/2106.10466"
    views = ("plain",)
    # The paper: AdamW at this rate, in batches of 8, for 200 to 600 steps.
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=0.01, scaling="none", batch_size=32)
    needs_time = True
    whole_views = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        mask_ratio: bounds.Share = 0.5,
        weight: bounds.Share = 0.5,
        longest: Annotated[int, bounds.whole(2, 4096, "moments")] = 256,
    ) -> None:
        """mask_ratio: the probability of each moment to be hidden; weight: of telling series apart, beside moments."""
        super().__init__(encoder, data)
        self.mask_ratio, self.weight, self.longest = mask_ratio, weight, longest
        self.hole = Hole(encoder, data)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        (x,) = views
        crops = self._crops(x)
        shift = self._shift(x, crops)
        a = self._seen(x, shift + crops.first, crops.right - crops.first, "hidden before")
        b = self._seen(x, shift + crops.left, crops.last - crops.left, "hidden after")
        common = crops.right - crops.left
        series, moments = hierarchical_contrast(a[..., -common:], b[..., :common])
        return {"series": self.weight * series, "moments": (1 - self.weight) * moments}

    def _crops(self, x: Tensor) -> Crops:
        """The same for all series of a batch, or moments of theirs could not be compared."""
        count = x.shape[2] // self.encoder.patch
        least = min(SHORTEST, count)
        share, place, before, after = randomness.whole((4,), "crops").tolist()
        common = least + int(share * (min(count, self.longest) - least + 1))
        left = int(place * (count - common + 1))
        right = left + common
        return Crops(int(before * (left + 1)), left, right, right + int(after * (count - right + 1)))

    def _shift(self, x: Tensor, crops: Crops) -> Tensor:
        """How many moments later than `crops` says those of each series lie (B,)."""
        room = x.shape[2] // self.encoder.patch - (crops.last - crops.first)
        return randomness.indices(randomness.uniform((len(x),), "shift", x.device), room + 1) - crops.first

    def _seen(self, x: Tensor, start: Tensor, count: int, purpose: str) -> Tensor:
        """What the encoder makes (B, D, count) of so many moments from `start` (B,) on, some of which are hidden."""
        hidden = randomness.uniform((len(x), count), purpose, x.device) < self.mask_ratio
        made = self.hole(self.encoder, self._cut(x, start, count), hidden)
        if made.shape[2:] != (count,):
            raise UsageError("ts2vec compares moments, and the map of this network has no feature for each")
        return made

    def _cut(self, x: Tensor, start: Tensor, count: int) -> Tensor:
        patch = self.encoder.patch
        places = (start * patch)[:, None, None] + torch.arange(count * patch, device=x.device)
        return x.gather(2, places.expand(-1, x.shape[1], -1))

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        (x,) = views
        crops = self._crops(x)
        shift, ends = self._shift(x, crops), {"first crop": crops[::2], "second crop": crops[1::2]}
        moment = torch.arange(x.shape[2], device=x.device) // self.encoder.patch - shift[:, None]
        return {"series": x} | {
            name: x * ((moment >= start) & (moment < end))[:, None] for name, (start, end) in ends.items()
        }
