"""Colorization (Zhang et al., 2016): which colours had it, before it was grey? https://arxiv.org/abs/1603.08511"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.prediction import weighted_cross_entropy
from selftaught.methods.parts.colour import ColourSpace, best_constant
from selftaught.methods.parts.decoders import MapDecoder


class Colorization(Method):
    """From an image's lightness, a decoder says the colour of each place as a choice among bins of a and b.

    Rare colours weigh more, or all would be said to be grey-brown (section 2.2).
    """

    question = "Which colours did this grey image have?"
    paper = "https://arxiv.org/abs/1603.08511"
    views = ("light",)
    # The paper: 3e-5 in batches of 40, for 450,000 steps.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4, batch_size=128)
    needs_images = True
    needs_color = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        rebalance: bounds.Share = 0.5,  # the paper's, as is the temperature
        temperature: bounds.Temperature = 0.38,
        reduction: bounds.Pixels | None = None,
        colours: Literal["sampled", "all"] = "sampled",
        decoder_width: bounds.Width = 128,
    ) -> None:
        """`rebalance` is the share of a uniform distribution mixed into that of the data's colours before it is
        inverted (lambda of equation 4); `temperature` sharpens the colours of pictures; `reduction` is how many times
        coarser than the image the colours are (default: 4 as in the paper, 2 up to 64 px); `colours` are bins:
        260, found by sampling, or all 261 that a colour can fall into (the authors' 313 have some that none can)."""
        super().__init__(encoder, data)
        self.rebalance, self.temperature = rebalance, temperature
        self.space = ColourSpace(data, reduction, colours)
        bins = len(self.space.bins)
        self.rarity = nn.Buffer(torch.ones(bins))
        self.floor = nn.Buffer(torch.tensor(math.log(bins)))
        self.decoder = MapDecoder(encoder, data.shape, bins, decoder_width, self.space.size)

    def start(self, everything: Tensor) -> None:
        """Measure how rare each colour is, and what always giving the best single answer costs."""
        share = torch.cat([self._colours(part).mean(dim=(2, 3)) for part in everything.split(64)]).mean(dim=0)
        # Smoothed by a Gaussian of 5, the paper's, so that a colour that is missing by chance is not the rarest.
        near = torch.exp(-torch.cdist(self.space.bins, self.space.bins).square() / (2 * 5.0**2))
        smooth = (near / near.sum(dim=0)) @ share
        weight = 1 / ((1 - self.rebalance) * smooth / smooth.sum() + self.rebalance / len(smooth))
        # 1 on average over the colours as they are; the paper averages over the smoothed ones.
        self.rarity.copy_(weight / (weight * share).sum())
        self.floor.copy_(best_constant([self._weighed(part) for part in everything.split(64)]))

    def _weighed(self, x: Tensor) -> Tensor:
        target = self._colours(x)
        return (target * self._weights(target)[:, None]).mean(dim=(2, 3))

    def _weights(self, target: Tensor) -> Tensor:
        """The rarity of each place's likeliest bin (B, h, w). Equation 3."""
        return self.rarity[target.argmax(dim=1)]

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        target = self._colours(x)
        predicted = self.decoder(self.encoder.map(self._grey(x)))
        return {"cross_entropy": weighted_cross_entropy(predicted, target, self._weights(target))}

    def _colours(self, x: Tensor) -> Tensor:
        """Targets (B, Q, h, w): soft bins of the colours at reduced size."""
        return self.space.binned(self.space.lab(x)[:, 1:], self.space.bins)

    def _grey(self, x: Tensor) -> Tensor:
        """The image without its colours, as an encoder of colour images can see it."""
        light = self.space.lab(x)
        light[:, 1:] = 0
        return self.space.image(light).to(x.dtype)

    def chance(self, batch: int) -> float:
        return float(self.floor)

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        grey = self._grey(x)
        scores = self.decoder(self.encoder.map(grey))
        ab = self.space.answered(scores, self.space.bins, x.shape[2:], self.temperature)
        coloured = self.space.image(torch.cat([self.space.lab(x)[:, :1], ab], dim=1))
        return {"input": x, "shown": grey, "answer": coloured}
