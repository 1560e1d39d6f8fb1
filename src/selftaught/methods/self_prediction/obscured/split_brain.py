"""Split-brain (Zhang et al., 2017): each half of the channels predicts the other. https://arxiv.org/abs/1611.09842"""

import math
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.prediction import weighted_cross_entropy
from selftaught.methods.parts.colour import ColourSpace, best_constant
from selftaught.methods.parts.decoders import MapDecoder

NEUTRAL = 50.0  # lightness of what shows colours alone


class SplitBrain(Method):
    """Shown lightness alone, the network says the colours; shown colours alone, it says the lightness.

    The paper has two half networks, each with one half of the channels; here one encoder sees both halves in turn,
    the other half put to neutral, so that any encoder will do and all of it is there afterwards.
    """

    question = "Which colours go with this lightness, and which lightness with these colours?"
    paper = "https://arxiv.org/abs/1611.09842"
    views = ("light",)
    # The paper: SGD at 0.01 in batches of 256.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4, batch_size=128)
    needs_images = True
    needs_color = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        lightness_bins: Annotated[int, bounds.whole(2, 1000)] = 50,  # 100 in the paper
        reduction: bounds.Pixels | None = None,
        colours: Literal["sampled", "all"] = "sampled",
        decoder_width: bounds.Width = 128,
    ) -> None:
        """`reduction` is how many times coarser than the image the answers are (default: 4, 2 up to 64 px); `colours`
        are 260 bins of colours, or all 261 that one can fall into."""
        super().__init__(encoder, data)
        self.space = ColourSpace(data, reduction, colours)
        bins, size = len(self.space.bins), self.space.size
        self.steps = nn.Buffer(torch.linspace(0, 100, lightness_bins)[:, None], persistent=False)
        self.floor = nn.Buffer(torch.tensor(math.log(bins) + math.log(lightness_bins)))
        self.colours = MapDecoder(encoder, data.shape, bins, decoder_width, size)
        self.lightness = MapDecoder(encoder, data.shape, lightness_bins, decoder_width, size)

    def start(self, everything: Tensor) -> None:
        """Measure what always giving the best single answer costs."""
        both = [self._targets(self.space.lab(part)) for part in everything.split(64)]
        self.floor.copy_(torch.stack([best_constant([t.mean(dim=(2, 3)) for t in kind]) for kind in zip(*both)]).sum())

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        values = self.space.lab(views[0])
        halves = torch.cat(self._halves(values)).to(views[0].dtype)
        colours, lightness = self._targets(values)
        maps = self.encoder.map(halves).chunk(2)
        even = torch.ones(len(values), *self.space.size, device=values.device)
        return {
            "colours": weighted_cross_entropy(self.colours(maps[0]), colours, even),
            "lightness": weighted_cross_entropy(self.lightness(maps[1]), lightness, even),
        }

    def _halves(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The image in lightness alone, and in colours alone, as an encoder of colour images sees it."""
        light, ab = values[:, :1], values[:, 1:]
        grey = torch.cat([light, torch.zeros_like(ab)], dim=1)
        coloured = torch.cat([torch.full_like(light, NEUTRAL), ab], dim=1)
        return self.space.image(grey), self.space.image(coloured)

    def _targets(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Soft bins of the colours (B, Q, h, w) and of the lightness (B, K, h, w), at reduced size."""
        spacing = 100 / (len(self.steps) - 1)
        # Two neighbours: between two steps of a line there is no third.
        lightness = self.space.binned(values[:, :1], self.steps, neighbours=2, sigma=spacing / 2)
        return self.space.binned(values[:, 1:], self.space.bins), lightness

    def chance(self, batch: int) -> float:
        return float(self.floor)

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        values = self.space.lab(x)
        grey, coloured = (half.to(x.dtype) for half in self._halves(values))
        ab = self.space.answered(self.colours(self.encoder.map(grey)), self.space.bins, x.shape[2:])
        light = self.space.answered(self.lightness(self.encoder.map(coloured)), self.steps, x.shape[2:])
        painted = self.space.image(torch.cat([values[:, :1], ab], dim=1))
        lit = self.space.image(torch.cat([light, values[:, 1:]], dim=1))
        return {"input": x, "lightness": grey, "its colours": painted, "colours": coloured, "their lightness": lit}
