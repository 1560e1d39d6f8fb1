"""Split-brain (Zhang et al., 2017): each half of the channels predicts the other. https://arxiv.org/abs/1611.09842"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, precise
from selftaught.methods.objectives.prediction import weighted_cross_entropy
from selftaught.methods.parts.colour import annealed_mean, best_constant, gamut, lab, rgb, soft_bins
from selftaught.methods.parts.damage import extremes
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
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4, batch_size=128)
    needs_images = True
    needs_color = True

    bins: Tensor
    steps: Tensor
    low: Tensor
    range: Tensor
    floor: Tensor

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        lightness_bins: int = 50,
        reduction: int | None = None,
        decoder_width: int = 128,
    ) -> None:
        """`reduction` is how many times coarser than the image the answers are (default: 4, 2 up to 64 px)."""
        super().__init__(encoder, data)
        reduction = reduction or (2 if min(data.shape[1:]) <= 64 else 4)
        self.size = (max(1, data.shape[1] // reduction), max(1, data.shape[2] // reduction))
        low, high = extremes(data, torch.zeros(1))
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("range", high - low, persistent=False)
        self.register_buffer("bins", gamut(), persistent=False)
        self.register_buffer("steps", torch.linspace(0, 100, lightness_bins)[:, None], persistent=False)
        self.register_buffer("floor", torch.tensor(math.log(len(self.bins)) + math.log(lightness_bins)))
        self.colours = MapDecoder(encoder, data.shape, len(self.bins), decoder_width, self.size)
        self.lightness = MapDecoder(encoder, data.shape, lightness_bins, decoder_width, self.size)

    def start(self, everything: Tensor) -> None:
        """Measure what always giving the best single answer costs."""
        both = [self._targets(self._lab(part)) for part in everything.split(64)]
        self.floor.copy_(
            torch.stack([best_constant([t.mean(dim=(0, 2, 3)) for t in kind]) for kind in zip(*both)]).sum()
        )

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        found = self._lab(views[0])
        grey, coloured = (half.to(views[0].dtype) for half in self._halves(found))
        colours, lightness = self._targets(found)
        maps = self.encoder.map(torch.cat([grey, coloured])).chunk(2)
        even = torch.ones(len(found), *self.size, device=found.device)
        return {
            "colours": weighted_cross_entropy(self.colours(maps[0]), colours, even),
            "lightness": weighted_cross_entropy(self.lightness(maps[1]), lightness, even),
        }

    def _lab(self, x: Tensor) -> Tensor:
        return lab((precise(x) - self.low) / self.range)

    def _halves(self, found: Tensor) -> tuple[Tensor, Tensor]:
        """The image in lightness alone, and in colours alone, as an encoder of colour images sees it."""
        light, ab = found[:, :1], found[:, 1:]
        grey = torch.cat([light, torch.zeros_like(ab)], dim=1)
        coloured = torch.cat([torch.full_like(light, NEUTRAL), ab], dim=1)
        return rgb(grey) * self.range + self.low, rgb(coloured) * self.range + self.low

    def _targets(self, found: Tensor) -> tuple[Tensor, Tensor]:
        """Soft bins of the colours (B, Q, h, w) and of the lightness (B, K, h, w), at reduced size."""
        small = F.interpolate(found, size=self.size, mode="area").movedim(1, 3)
        spacing = 100 / (len(self.steps) - 1)
        colours = soft_bins(small[..., 1:].flatten(0, 2), self.bins)
        lightness = soft_bins(small[..., :1].flatten(0, 2), self.steps, neighbours=2, sigma=spacing / 2)
        return tuple(t.view(len(found), *self.size, -1).movedim(3, 1) for t in (colours, lightness))  # type: ignore[return-value]

    def chance(self, batch: int) -> float:
        return float(self.floor)

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        found = self._lab(x)
        grey, coloured = (half.to(x.dtype) for half in self._halves(found))
        ab = annealed_mean(self.colours(self.encoder.map(grey)), self.bins)
        light = annealed_mean(self.lightness(self.encoder.map(coloured)), self.steps)
        ab, light = (F.interpolate(t, size=x.shape[2:], mode="bilinear", align_corners=False) for t in (ab, light))
        painted, lit = torch.cat([found[:, :1], ab], dim=1), torch.cat([light, found[:, 1:]], dim=1)
        answers = [rgb(answer) * self.range + self.low for answer in (painted, lit)]
        return {
            "input": x,
            "lightness": grey,
            "its colours": answers[0],
            "colours": coloured,
            "their lightness": answers[1],
        }
