"""Language models (GPT, 2018; as prefixes, Raffel et al., 2020): which word comes next?

https://arxiv.org/abs/1910.10683
"""

import math

import torch
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, randomness
from selftaught.methods.objectives.prediction import cross_entropy
from selftaught.methods.parts.words import answered, are_words, word_head


class NextWord(Method):
    """Each word says the next one, having seen only what came before.

    A drawn prefix sees itself both ways, so that the network can be used both ways afterwards; only words after it are
    asked for (1910.10683, section 3.2.1), as `aim` does of patches.
    """

    question = "Which word comes next?"
    paper = "https://arxiv.org/abs/1910.10683"
    views = ("light",)
    preset = Training(optimizer="adamw", lr=4e-3, weight_decay=0.01, betas=(0.9, 0.98), clip=1.0, batch_size=64)
    needs_tokens = True
    needs_words = True

    def __init__(self, encoder: Encoder, data: Data, /, *, prefix: bool = True) -> None:
        """prefix: whether a part of each text is seen both ways; else every word is asked for (GPT)."""
        super().__init__(encoder, data)
        self.words, self.prefix = data.words, prefix
        self.head = word_head(encoder.dim, data.words)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        scores, asked = self._predict(x)
        return {"next_word": cross_entropy(scores.flatten(0, 1), x[:, 0, 1:].flatten(), asked.flatten())}

    def _predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B, N - 1, words) of what stands at places 1 to N - 1, and which of these are asked for (B, N - 1)."""
        there = are_words(x)
        place = torch.arange(x.shape[2], device=x.device)
        attend = (place[:, None] >= place).expand(len(x), 1, -1, -1)
        asked = there[:, 1:]
        if self.prefix:
            # At least where a text begins, and a word is left to ask for.
            share = randomness.uniform((len(x),), "prefix", x.device)
            prefix = 1 + (share * there.sum(dim=1)).floor()[:, None]
            attend, asked = attend | (place < prefix)[:, None, None, :], asked & (place[1:] >= prefix)
        # The token of a word answers for the next one, so answers and words are one place apart.
        return self.head(self.tokens.tokens(x, attend=attend).patches[:, :-1]), asked

    def chance(self, batch: int) -> float:
        return math.log(self.words)

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        scores, asked = self._predict(x)
        places = torch.arange(1, x.shape[2], device=x.device).expand(len(x), -1)
        shown = answered(x, places, x, scores, asked)
        return {name: shown[name] for name in ("input", "answer")}
