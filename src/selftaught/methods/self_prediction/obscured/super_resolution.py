"""Super-resolution (after Ledig et al., 2017): what was there before it was small and blurred? https://arxiv.org/abs/1609.04802"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.prediction import weighted_error
from selftaught.methods.parts.damage import blurred
from selftaught.methods.parts.decoders import MapDecoder


class SuperResolution(Method):
    """The image is blurred and made small, and shown at its old size without its details; a decoder adds them. A
    series is seen at a lower rate.

    The reconstruction term only: the paper's adversarial one is there for pictures that please the eye.
    """

    question = "What did the image hold before it was made small?"
    paper = "https://arxiv.org/abs/1609.04802"
    views = ("light",)
    # The paper: Adam, 1e-4 in batches of 16, for a million steps.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4)
    needs_places = True
    needs_values = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        factor: bounds.Pixels = 4,  # the paper's
        loss: Literal["l2", "l1", "smooth_l1"] = "l2",
        decoder_width: bounds.Width = 128,
    ) -> None:
        """`factor` is how many times smaller each side becomes, after a blur of a quarter of it."""
        super().__init__(encoder, data)
        self.factor, self.loss = factor, loss
        self.decoder = MapDecoder(encoder, data.shape, data.shape[0], decoder_width)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        predicted = self.decoder(self.encoder.map(self._coarse(x)))
        return {"reconstruction": weighted_error(predicted, x, torch.ones_like(x[:, :1]), self.loss)}

    def _coarse(self, x: Tensor) -> Tensor:
        # Blurred before it is made small, or what is finer than a pixel would come back as a coarse pattern.
        soft = blurred(x, torch.full((len(x),), self.factor / 4, device=x.device), self.factor / 4)
        small = F.interpolate(soft, size=[max(1, side // self.factor) for side in x.shape[2:]], mode="area")
        # Shown at its old size, so that the encoder sees images as large as it will in use.
        return F.interpolate(small, size=x.shape[2:], mode="bicubic" if x.ndim == 4 else "linear", align_corners=False)

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        coarse = self._coarse(x)
        return {"input": x, "shown": coarse, "answer": self.decoder(self.encoder.map(coarse))}
