"""Inpainting (context encoders; Pathak et al., 2016): what is under the blot? https://arxiv.org/abs/1604.07379"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.prediction import weighted_error
from selftaught.methods.parts.decoders import MapDecoder
from selftaught.methods.parts.masks import block_mask, centre_mask, region_mask
from selftaught.methods.parts.pictures import filled

MASKS = {"center": centre_mask, "block": block_mask, "region": region_mask}


class Inpainting(Method):
    """Part of the image, or of the time of a series, is filled with the mean; a decoder predicts it from the map.

    The reconstruction term only, as the paper's own features were learnt: with its AlexNet the adversarial one, which
    sharpens pictures, did not converge (section 5.2).
    """

    question = "What is under the blot?"
    paper = "https://arxiv.org/abs/1604.07379"
    views = ("light",)
    # A small vision transformer needs samples: 38.7 % linear after 50,000 of CIFAR-10 (untrained 36.4), 44.7 after
    # 150,000 (docs/results/learns.md).
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4)
    needs_places = True
    needs_values = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        # The paper's features come from regions of a quarter of the image.
        mask: Literal["center", "block", "region"] = "block",
        area: bounds.Inside = 0.4,
        overlap: bounds.Share | None = None,
        overlap_weight: bounds.Weight = 10.0,  # the paper's
        decoder_width: bounds.Width = 128,
    ) -> None:
        """`area` is the share that is hidden; `overlap` (a share of the side) is how far around it is predicted
        too, at `overlap_weight`, so that answers fit their surroundings (section 3.2); default: 7 of 128 pixels
        around a mask in the center, none around others, whose long outlines would make the task one of copying."""
        super().__init__(encoder, data)
        self.mask, self.area, self.overlap_weight = MASKS[mask], area, overlap_weight
        around = (7 / 128 if mask == "center" else 0.0) if overlap is None else overlap
        self.overlap = round(around * min(data.shape[1:]))
        self.decoder = MapDecoder(encoder, data.shape, data.shape[0], decoder_width)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        predicted, hidden = self._predict(x)
        return {"reconstruction": weighted_error(predicted, x, self._weights(hidden).to(x.dtype))}

    def _predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions (B, C, ...) and what was hidden (B, 1, ...)."""
        hidden = self.mask(len(x), x.shape[2:], self.area, x.device)
        # Zero is the data's mean in normalised values, which the paper fills the hole with as well.
        return self.decoder(self.encoder.map(x.masked_fill(hidden, 0.0))), hidden

    def _weights(self, hidden: Tensor) -> Tensor:
        weights = hidden.float()
        if self.overlap:
            pool = F.max_pool2d if weights.ndim == 4 else F.max_pool1d
            around = pool(weights, 2 * self.overlap + 1, 1, self.overlap) - weights
            weights = weights + self.overlap_weight * around
        return weights

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        predicted, hidden = self._predict(views[0])
        return filled(views[0], hidden, predicted)
