"""CrossMAE (Fu et al., 2024): ask for some of what was hidden, each by itself. https://arxiv.org/abs/2401.14391"""

import torch
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.prediction import error_of_nothing, normalised_patches, weighted_error
from selftaught.methods.parts.decoders import CrossDecoder
from selftaught.methods.parts.masks import random_mask, refuse_lone_tokens, some_of
from selftaught.methods.parts.pictures import filled_patches


class CrossMAE(Method):
    """As in MAE the encoder sees a quarter of the patches, but each hidden one is predicted by itself.

    The decoder's questions look at encodings, of all layers, and never at each other, so only some need to be asked.
    """

    question = "What was in this hidden patch, and in that one, each asked by itself?"
    paper = "https://arxiv.org/abs/2401.14391"
    views = ("light",)
    # MAE's, for the same reasons.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=0.05, betas=(0.9, 0.95))
    needs_tokens = True
    needs_values = True
    experimental = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        mask_ratio: bounds.ShareAboveZero = 0.75,
        prediction_ratio: bounds.Share = 0.25,
        norm_pix_loss: bool = True,
        decoder_width: bounds.Width = 128,  # the paper: 512, 12 blocks, 16 heads
        decoder_depth: bounds.Blocks = 2,
        decoder_heads: bounds.Heads = 4,
    ) -> None:
        """`prediction_ratio` is the share of all patches that is asked for, all hidden ones at most."""
        super().__init__(encoder, data)
        refuse_lone_tokens("crossmae", self.tokens, data)
        self.mask_ratio, self.prediction_ratio = mask_ratio, prediction_ratio
        self.norm_pix_loss = norm_pix_loss and self.tokens.varied
        shape = (decoder_width, decoder_depth, decoder_heads)
        self.decoder = CrossDecoder(encoder.dim, self.tokens.patch_dim, *shape, layers=self.tokens.depth)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        keep, hidden = self._masked(x)
        asked = some_of(hidden, keep, self.prediction_ratio)
        target = self._target(x).gather(1, asked[..., None].expand(-1, -1, self.tokens.patch_dim))
        predicted = self._predicted(x, keep, asked)
        return {"reconstruction": weighted_error(predicted, target, torch.ones_like(predicted[..., :1]))}

    def _masked(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return random_mask(len(x), self.tokens.length(x.shape[2:]), self.mask_ratio, x.device)

    def _predicted(self, x: Tensor, keep: Tensor, asked: Tensor) -> Tensor:
        """Predictions (B, M, patch_dim) at the places asked for."""
        made = self.tokens.tokens(x, keep=keep, layers=range(self.tokens.depth - 1))
        last = torch.cat([made.prefix, made.patches], dim=1)  # as the encoder normalises it, which is to learn, too
        return self.decoder((*made.layers, last), asked, self.tokens.grid(x.shape[2:]))

    def _target(self, x: Tensor) -> Tensor:
        patches = self.tokens.patchify(x)
        return normalised_patches(patches) if self.norm_pix_loss else patches

    def chance(self, batch: int) -> float | None:
        return error_of_nothing(self.tokens.patch_dim) if self.norm_pix_loss else None

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        keep, hidden = self._masked(views[0])
        everywhere = torch.arange(hidden.shape[1], device=hidden.device).expand_as(hidden)
        predicted = self._predicted(views[0], keep, everywhere)
        return filled_patches(self.tokens, views[0], hidden, predicted, self.norm_pix_loss)
