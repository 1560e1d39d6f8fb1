"""Deblurring (after image restoration; Zamir et al., 2021): what was it before the damage? https://arxiv.org/abs/2102.02808"""

from typing import Literal

import torch
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds, devices, randomness
from selftaught.methods.objectives.prediction import weighted_error
from selftaught.methods.parts.damage import blurred, compressed, pixelated
from selftaught.methods.parts.decoders import MapDecoder


class Deblurring(Method):
    """Each image is blurred, pixelated or compressed, as drawn; a decoder predicts the clean image from the map."""

    question = "What was the image before it was blurred?"
    paper = "https://arxiv.org/abs/2102.02808"
    views = ("light",)
    # The paper: Adam, 2e-4 in batches of 16 for 400,000 steps.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4)
    needs_images = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        damage: Literal["any", "blur", "pixelate", "compress"] = "any",
        sigma: bounds.Ratios = (1.0, 3.0),
        squares: bounds.Pixels = 4,
        coarseness: bounds.Ratios = (0.5, 2.0),
        loss: Literal["l2", "l1", "smooth_l1"] = "l2",
        decoder_width: bounds.Width = 128,
    ) -> None:
        """`sigma` is the blur's width in pixels of a 32 px image and grows with the image; `squares` is the side of
        a coarse pixel, likewise; `coarseness` is the compression's step, in deviations of the data."""
        super().__init__(encoder, data)
        # A blur of 3 pixels is much in 32 and little in 224.
        zoom = max(1.0, min(data.shape[1:]) / 32)
        self.damages = ("blur", "pixelate", "compress") if damage == "any" else (damage,)
        self.sigma, self.coarseness, self.loss = (sigma[0] * zoom, sigma[1] * zoom), coarseness, loss
        self.squares = round(squares * zoom)
        self.decoder = MapDecoder(encoder, data.shape, data.shape[0], decoder_width)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        predicted = self.decoder(self.encoder.map(self._damaged(x)))
        return {"reconstruction": weighted_error(predicted, x, torch.ones_like(x[:, :1]), self.loss)}

    def _damaged(self, x: Tensor) -> Tensor:
        draws = randomness.uniform((len(x), 2), "damage")  # on the host, which has to know how many rows there are
        which = randomness.indices(draws[:, 0], len(self.damages))
        # Each damage only on its own rows: all three on all would cost three times as much.
        made = torch.empty_like(x)
        for number, damage in enumerate(self.damages):
            rows = (which == number).nonzero().squeeze(1)
            if len(rows):
                rows, strength = devices.moved(rows, x.device), devices.moved(draws[rows, 1], x.device)
                made[rows] = self._one(damage, x[rows], strength).to(made.dtype)
        return made

    def _one(self, damage: str, x: Tensor, strength: Tensor) -> Tensor:
        if damage == "pixelate":
            return pixelated(x, self.squares)
        if damage == "blur":
            low, high = self.sigma
            return blurred(x, low + strength * (high - low), high)
        low, high = self.coarseness
        return compressed(x, low + strength * (high - low))

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        damaged = self._damaged(x)
        return {"input": x, "shown": damaged, "answer": self.decoder(self.encoder.map(damaged))}
