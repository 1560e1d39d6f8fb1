"""ELECTRA (Clark et al., 2020): which words were replaced? https://arxiv.org/abs/2003.10555"""

import torch
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.prediction import binary_cross_entropy, cross_entropy
from selftaught.methods.parts.words import (
    WordTransformer,
    are_words,
    at,
    drawn_by,
    hidden_words,
    some_words,
    with_words,
)


class ELECTRA(Method):
    """A small network fills holes with words that might stand there; the encoder says of each word whether it does.

    So it is asked about all words, not the hidden ones alone. The small one learns as `mlm` does, and no gradient
    goes from one to the other (section 3.1). Theirs share an embedding; here each has its own.
    """

    question = "Which words were replaced?"
    paper = "https://arxiv.org/abs/2003.10555"
    views = ("light",)
    preset = Training(optimizer="adamw", lr=4e-3, weight_decay=0.01, betas=(0.9, 0.98), clip=1.0, batch_size=64)
    needs_tokens = True
    needs_words = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        mask_ratio: bounds.Inside = 0.15,
        weight: bounds.Weight = 50.0,  # the paper's
        generator_width: bounds.Width = 64,
        generator_depth: bounds.Blocks = 1,
        generator_heads: bounds.Heads = 2,
    ) -> None:
        """weight: of the encoder's loss beside the small network's, which is far larger."""
        super().__init__(encoder, data)
        self.mask_ratio, self.weight = mask_ratio, weight
        shape = (generator_width, generator_depth, generator_heads)
        self.generator = WordTransformer(data.words, data.shape[-1], *shape)
        self.head = nn.Sequential(nn.Linear(encoder.dim, encoder.dim), nn.GELU(), nn.Linear(encoder.dim, 1))

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        places, counts = some_words(x, self.mask_ratio)
        scores = self._guessed(x, places, counts)
        filled = with_words(x, places, drawn_by(scores.detach()), counts)
        other, there = (filled != x)[:, 0], are_words(x)
        told = binary_cross_entropy(self._told(filled).flatten(), other.flatten(), there.flatten())
        words = cross_entropy(scores.flatten(0, 1), at(x, places).flatten(), counts.flatten())
        return {"words": words, "replaced": self.weight * told}

    def _guessed(self, x: Tensor, places: Tensor, counts: Tensor) -> Tensor:
        """The small network's scores (B, K, words) of what was at places that are hidden from it."""
        tokens = self.generator(hidden_words(x, places, counts))
        return self.generator.head(tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[2])))

    def _told(self, filled: Tensor) -> Tensor:
        """How sure the encoder is of each word (B, N) that it is another than it was."""
        return self.head(self.tokens.tokens(filled).patches)[..., 0]

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        """What is taken for replaced is a hole in the answer."""
        x = views[0]
        places, counts = some_words(x, self.mask_ratio)
        filled = with_words(x, places, drawn_by(self._guessed(x, places, counts)), counts)
        everywhere = torch.arange(x.shape[2], device=x.device).expand(len(x), -1)
        answer = hidden_words(filled, everywhere, (self._told(filled) > 0) & are_words(x))
        return {"input": x, "shown": filled, "answer": answer}
