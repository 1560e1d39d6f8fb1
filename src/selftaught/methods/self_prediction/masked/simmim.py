"""SimMIM (Xie et al., 2022): say the pixels of what was hidden, by one linear layer. https://arxiv.org/abs/2111.09886"""

import math
from typing import Literal

from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.prediction import weighted_error
from selftaught.methods.parts.decoders import MapHead
from selftaught.methods.parts.holes import Hole, cells_of
from selftaught.methods.parts.masks import random_mask
from selftaught.methods.parts.pictures import filled


class SimMIM(Method):
    """Large random cells are hidden from the encoder, which is whole otherwise; a linear head says their pixels."""

    question = "What were the pixels of the cells that were hidden?"
    paper = "https://arxiv.org/abs/2111.09886"
    views = ("light",)
    # The paper: 1e-4 per 512 in batches of 2,048. A small vision transformer needs samples: 36.8 % linear after 50,000
    # of CIFAR-10 (untrained 36.4), 44.5 after 200,000 (docs/results/learns.md). Positions of a
    # vision transformer are learnt ones, where the authors' share a relative bias, as those of the recipe do.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=0.05)
    needs_places = True
    needs_values = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        mask_ratio: bounds.ShareAboveZero = 0.6,
        mask_patch_size: bounds.Pixels | None = None,
        loss: Literal["l1", "l2", "smooth_l1"] = "l1",
    ) -> None:
        """`mask_patch_size` is the side of a hidden cell in pixels; default: a seventh of the image's, as 32 of 224
        in the paper (section 4.1)."""
        super().__init__(encoder, data)
        self.mask_ratio, self.loss = mask_ratio, loss
        self.cells = cells_of("simmim", encoder, data, mask_patch_size, 32 / 224)
        self.hole = Hole(encoder, data)
        self.head = MapHead(encoder, data.shape, data.shape[0])

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        predicted, hidden = self._predict(x)
        return {"reconstruction": weighted_error(predicted, x, hidden.to(x.dtype), self.loss)}

    def _predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions (B, C, H, W) and what was hidden (B, 1, H, W)."""
        _, hidden = random_mask(len(x), math.prod(self.cells), self.mask_ratio, x.device)
        hidden = hidden.view(-1, *self.cells)
        return self.head(self.hole(self.encoder, x, hidden)), self.hole.pixels(hidden)

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        predicted, hidden = self._predict(views[0])
        return filled(views[0], hidden, predicted)
