"""TSDAE (Wang et al., 2021): what did the text say before most of its words were deleted?

https://arxiv.org/abs/2104.06979
"""

import math

import torch
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.prediction import cross_entropy
from selftaught.methods.parts.words import WordTransformer, answered, are_words, without_words


class TSDAE(Method):
    """The encoder sees what is left of a text; a decoder rebuilds all of it, word by word, from a single feature.

    The decoder knows the words before the one that it says, and of the text nothing but that feature (section 3). Its
    weights are its own, where the authors tie them to the encoder's.
    """

    question = "What did the text say before words were deleted?"
    paper = "https://arxiv.org/abs/2104.06979"
    views = ("light",)
    preset = Training(optimizer="adamw", lr=4e-3, weight_decay=0.01, betas=(0.9, 0.98), clip=1.0, batch_size=64)
    needs_words = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        delete: bounds.Inside = 0.6,
        decoder_width: bounds.Width = 128,
        decoder_depth: bounds.Blocks = 1,
        decoder_heads: bounds.Heads = 2,
    ) -> None:
        """delete: the share of the words."""
        super().__init__(encoder, data)
        self.words, self.delete = data.words, delete
        shape = (decoder_width, decoder_depth, decoder_heads)
        self.decoder = WordTransformer(data.words, data.shape[-1], *shape, given=encoder.dim)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        _, scores = self._predict(x)
        asked = are_words(x)[:, 1:]
        return {"reconstruction": cross_entropy(scores.flatten(0, 1), x[:, 0, 1:].flatten(), asked.flatten())}

    def _predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What is left of texts, and scores (B, N - 1, words) of what stood at places 1 to N - 1."""
        left = without_words(x, self.delete)
        tokens = self.decoder(x, causal=True, given=self.encoder(left))
        return left, self.decoder.head(tokens[:, :-1])

    def chance(self, batch: int) -> float:
        return math.log(self.words)

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        left, scores = self._predict(x)
        places = torch.arange(1, x.shape[2], device=x.device).expand(len(x), -1)
        return answered(x, places, left, scores, are_words(x)[:, 1:])
