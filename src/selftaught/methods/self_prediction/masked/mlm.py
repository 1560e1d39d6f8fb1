"""BERT (Devlin et al., 2019): which words were hidden? https://arxiv.org/abs/1810.04805"""

import math

from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.prediction import cross_entropy
from selftaught.methods.parts.words import answered, at, in_place_of, some_words, with_words, word_head


class MLM(Method):
    """A share of the words is chosen; in place of most stands a mark, of a few another word, and a few stay.

    So the network cannot know which words it will be asked for, and has something to say of each (section 3.1). The
    paper's second question, whether one sentence follows another, is left out, as RoBERTa (1907.11692, section 4.2)
    found that it does not help; so is the tie between the answers' weights and the embedding.
    """

    question = "Which words were hidden?"
    paper = "https://arxiv.org/abs/1810.04805"
    views = ("light",)
    # The paper: 1e-4 in batches of 256 texts, for 40 passes over 3.3 billion words.
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
        hidden: bounds.Share = 0.8,
        random: bounds.Share = 0.1,
    ) -> None:
        """mask_ratio: of the words that are chosen; hidden, random: shares of these that a mark, or another word,
        stands in place of."""
        super().__init__(encoder, data)
        self.words, self.mask_ratio, self.hidden, self.random = data.words, mask_ratio, hidden, random
        self.head = word_head(encoder.dim, data.words)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        places, counts, _, scores = self._predict(x)
        return {"words": cross_entropy(scores.flatten(0, 1), at(x, places).flatten(), counts.flatten())}

    def _predict(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Places (B, K) and which of them count, the texts as they are shown, and scores (B, K, words)."""
        places, counts = some_words(x, self.mask_ratio)
        shown = with_words(x, places, in_place_of(at(x, places), self.words, self.hidden, self.random), counts)
        tokens = self.tokens.tokens(shown).patches
        return places, counts, shown, self.head(tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[2])))

    def chance(self, batch: int) -> float:
        return math.log(self.words)

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        places, counts, shown, scores = self._predict(views[0])
        return answered(views[0], places, shown, scores, counts)
