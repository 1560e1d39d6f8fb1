"""Colorization (Zhang et al., 2016): which colours had it, before it was grey? https://arxiv.org/abs/1603.08511"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, precise
from selftaught.methods.objectives.prediction import weighted_cross_entropy
from selftaught.methods.parts.colour import annealed_mean, best_constant, gamut, lab, rgb, soft_bins
from selftaught.methods.parts.damage import extremes
from selftaught.methods.parts.decoders import MapDecoder


class Colorization(Method):
    """From an image's lightness, a decoder says the colour of each place as a choice among bins of a and b.

    Rare colours weigh more, or all would be said to be grey-brown (section 2.2).
    """

    question = "Which colours did this grey image have?"
    paper = "https://arxiv.org/abs/1603.08511"
    views = ("light",)
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4, batch_size=128)
    needs_images = True
    needs_color = True

    bins: Tensor
    rarity: Tensor
    floor: Tensor
    low: Tensor
    range: Tensor

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        rebalance: float = 0.5,
        temperature: float = 0.38,
        reduction: int | None = None,
        decoder_width: int = 128,
    ) -> None:
        """`rebalance` is the share of a uniform distribution mixed into that of the data's colours before it is
        inverted (lambda of equation 4); `temperature` sharpens the colours of pictures; `reduction` is how many times
        coarser than the image the colours are (default: 4 as in the paper, 2 up to 64 px)."""
        super().__init__(encoder, data)
        self.rebalance, self.temperature = rebalance, temperature
        reduction = reduction or (2 if min(data.shape[1:]) <= 64 else 4)
        self.size = (max(1, data.shape[1] // reduction), max(1, data.shape[2] // reduction))
        low, high = extremes(data, torch.zeros(1))
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("range", high - low, persistent=False)
        self.register_buffer("bins", gamut(), persistent=False)
        self.register_buffer("rarity", torch.ones(len(self.bins)))
        self.register_buffer("floor", torch.tensor(math.log(len(self.bins))))
        self.decoder = MapDecoder(encoder, data.shape, len(self.bins), decoder_width, self.size)

    def start(self, everything: Tensor) -> None:
        """Measure how rare each colour is, and what always giving the best single answer costs."""
        found = torch.stack([self._colours(part).mean(dim=(0, 2, 3)) for part in everything.split(64)]).mean(dim=0)
        near = torch.exp(-torch.cdist(self.bins, self.bins).square() / (2 * 5.0**2))
        smooth = (near / near.sum(dim=0)) @ found
        weight = 1 / ((1 - self.rebalance) * smooth / smooth.sum() + self.rebalance / len(smooth))
        self.rarity.copy_(weight / (weight * found).sum())
        self.floor.copy_(best_constant([self._weighed(part) for part in everything.split(64)]))

    def _weighed(self, x: Tensor) -> Tensor:
        target = self._colours(x)
        return (target * self._weights(target)[:, None]).mean(dim=(0, 2, 3))

    def _weights(self, target: Tensor) -> Tensor:
        """The rarity of each place's likeliest bin (B, h, w). Equation 3."""
        return self.rarity[target.argmax(dim=1)]

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        target = self._colours(x)
        predicted = self.decoder(self.encoder.map(self._grey(x)))
        return {"cross_entropy": weighted_cross_entropy(predicted, target, self._weights(target))}

    def _lab(self, x: Tensor) -> Tensor:
        return lab((precise(x) - self.low) / self.range)

    def _colours(self, x: Tensor) -> Tensor:
        """Targets (B, Q, h, w): soft bins of the colours at reduced size."""
        ab = F.interpolate(self._lab(x)[:, 1:], size=self.size, mode="area")
        flat = soft_bins(ab.movedim(1, 3).flatten(0, 2), self.bins)
        return flat.view(len(x), *self.size, -1).movedim(3, 1)

    def _grey(self, x: Tensor) -> Tensor:
        """The image without its colours, as an encoder of colour images can see it."""
        light = self._lab(x)
        light[:, 1:] = 0
        return (rgb(light) * self.range + self.low).to(x.dtype)

    def chance(self, batch: int) -> float:
        return float(self.floor)

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        grey = self._grey(x)
        ab = annealed_mean(self.decoder(self.encoder.map(grey)), self.bins, self.temperature)
        ab = F.interpolate(ab, size=x.shape[2:], mode="bilinear", align_corners=False)
        coloured = rgb(torch.cat([self._lab(x)[:, :1], ab], dim=1)) * self.range + self.low
        return {"input": x, "shown": grey, "answer": coloured}
