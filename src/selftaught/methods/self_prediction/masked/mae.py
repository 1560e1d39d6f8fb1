"""MAE (He et al., 2022): rebuild what was hidden from what was kept. https://arxiv.org/abs/2111.06377"""

from typing import Literal

from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.prediction import error_of_nothing, hidden_error, normalised_patches
from selftaught.methods.parts.decoders import TokenDecoder
from selftaught.methods.parts.masks import random_mask, refuse_lone_tokens
from selftaught.methods.parts.pictures import filled_patches


class MAE(Method):
    """The encoder sees a quarter of the patches; a small decoder predicts the pixels of the rest."""

    question = "What was in the patches that were hidden?"
    paper = "https://arxiv.org/abs/2111.06377"
    views = ("light",)
    # The paper: 1.5e-4 per 256 in batches of 4,096, for 1,600 epochs. Deviations, which its recipe undoes: positions of
    # the encoder are timm's, which are learnt, where the paper's are fixed sines, and no weights are Xavier's.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=0.05, betas=(0.9, 0.95))
    needs_tokens = True
    needs_values = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        mask_ratio: bounds.ShareAboveZero = 0.75,
        norm_pix_loss: bool = True,
        decoder_width: bounds.Width = 128,  # the paper: 512, 8 blocks, 16 heads
        decoder_depth: bounds.Blocks = 2,
        decoder_heads: bounds.Heads = 4,
        decoder_init: Literal["torch", "xavier"] = "torch",
    ) -> None:
        """`decoder_init` is how the decoder's weights are drawn: as torch does, or Xavier's, as the authors do; the
        encoder has an option of its own for that."""
        super().__init__(encoder, data)
        refuse_lone_tokens("mae", self.tokens, data)
        self.mask_ratio = mask_ratio
        # A patch's own mean and deviation say something of pixels, but nothing where numbers are of several kinds.
        self.norm_pix_loss = norm_pix_loss and self.tokens.varied
        shape = (decoder_width, decoder_depth, decoder_heads)
        self.decoder = TokenDecoder(encoder.dim, self.tokens.patch_dim, *shape, decoder_init)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        target, predicted, hidden = self._predict(views[0])
        return {"reconstruction": hidden_error(predicted, target, hidden)}

    def _predict(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Targets and predictions (B, N, patch_dim), and which tokens were hidden (B, N)."""
        encoder = self.tokens
        keep, hidden = random_mask(len(x), encoder.length(x.shape[2:]), self.mask_ratio, x.device)
        # Hidden patches never enter the encoder: three quarters of its work are saved, and no hole is seen in training
        # that would be missing in use (section 3).
        seen = encoder.tokens(x, keep=keep)
        predicted = self.decoder(seen.patches, seen.prefix, keep, encoder.grid(x.shape[2:]))
        target = encoder.patchify(x)
        return normalised_patches(target) if self.norm_pix_loss else target, predicted, hidden

    def chance(self, batch: int) -> float | None:
        return error_of_nothing(self.tokens.patch_dim) if self.norm_pix_loss else None

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        _, predicted, hidden = self._predict(views[0])
        return filled_patches(self.tokens, views[0], hidden, predicted, self.norm_pix_loss)
