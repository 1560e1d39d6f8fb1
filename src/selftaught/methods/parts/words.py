"""What is asked of words: which are chosen, what stands in their place, and what is said of each."""

import math

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from selftaught.contracts.encoder import HIDDEN, PADDING, WORDS
from selftaught.methods.parts.decoders import refuse_odd_heads
from selftaught.system import randomness


def are_words(x: Tensor) -> Tensor:
    """(B, N) booleans: where texts (B, 1, N) have a word."""
    return x[:, 0] >= WORDS


def some_words(x: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Places (B, K) of a share of the words in texts (B, 1, N), drawn apart for each, and which of these count (B, K).

    A text has one at least; K is as many as the longest text might have, so that no device is asked how many there are.
    """
    there = are_words(x)
    order = randomness.uniform(there.shape, "words", x.device).masked_fill(~there, 2.0).argsort(dim=1)
    places = order[:, : max(1, math.ceil(share * there.shape[1]))]
    count = (share * there.sum(dim=1, keepdim=True)).round().clamp(min=1)
    return places, (torch.arange(places.shape[1], device=x.device) < count) & there.gather(1, places)


def at(x: Tensor, places: Tensor) -> Tensor:
    """The words (B, K) of texts (B, 1, N) at these places (B, K)."""
    return x[:, 0].gather(1, places)


def with_words(x: Tensor, places: Tensor, words: Tensor, counts: Tensor) -> Tensor:
    """Texts (B, 1, N) with these words (B, K) at these places (B, K), where they count (B, K)."""
    return x.scatter(2, places[:, None], torch.where(counts, words, at(x, places))[:, None])


def hidden_words(x: Tensor, places: Tensor, counts: Tensor) -> Tensor:
    """Texts (B, 1, N) with a mark at these places (B, K), where they count (B, K)."""
    return with_words(x, places, torch.full_like(places, HIDDEN), counts)


def in_place_of(words: Tensor, vocabulary: int, hidden: float, random: float) -> Tensor:
    """What stands in place of words (B, K): a mark, another word, or itself. BERT (1810.04805, section 3.1)."""
    draw = randomness.uniform(words.shape, "in place", words.device)
    others = WORDS + randomness.integers(vocabulary - WORDS, words.shape, "other word", words.device)
    marked = torch.where(draw < hidden, HIDDEN, words)
    return torch.where((draw >= hidden) & (draw < hidden + random), others, marked)


def without_words(x: Tensor, share: float) -> Tensor:
    """Texts (B, 1, N) of which such a share of the words is deleted, drawn apart for each; the others move up.

    One stays. TSDAE (2104.06979, section 3).
    """
    there = are_words(x)
    rank = randomness.uniform(there.shape, "deleted", x.device).masked_fill(~there, 2.0).argsort(dim=1).argsort(dim=1)
    kept = (rank < ((1 - share) * there.sum(dim=1, keepdim=True)).round().clamp(min=1)) & there
    kept[:, 0] = True  # where a text begins
    order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)
    return x[:, 0].masked_fill(~kept, PADDING).gather(1, order)[:, None]


def drawn_by(scores: Tensor) -> Tensor:
    """A word for each row of scores (B, K, words), by the probabilities that these are the logarithms of."""
    grown = scores.float().softmax(dim=2).cumsum(dim=2)
    draw = randomness.uniform(scores.shape[:2], "drawn word", scores.device)[..., None] * grown[..., -1:]
    return torch.searchsorted(grown, draw)[..., 0].clamp(min=WORDS, max=scores.shape[2] - 1)


def word_head(dim: int, words: int) -> nn.Sequential:
    """From a token to scores of all words, by a layer between (as in BERT's code)."""
    return nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.LayerNorm(dim), nn.Linear(dim, words))


class WordTransformer(nn.Module):
    """A small transformer of its own, which says something of each place of a text."""

    def __init__(self, words: int, length: int, width: int, depth: int, heads: int, given: int = 0) -> None:
        """given: numbers in a vector that every block is told."""
        super().__init__()
        refuse_odd_heads(width, heads)
        self.embed = nn.Embedding(words, width)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.places = nn.Parameter(torch.randn(1, length, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, qkv_bias=True) for _ in range(depth))
        self.told = nn.ModuleList(nn.Linear(given, width) for _ in range(depth if given else 0))
        self.norm = nn.LayerNorm(width)
        self.head = word_head(width, words)

    def forward(self, x: Tensor, causal: bool = False, given: Tensor | None = None) -> Tensor:
        """Tokens (B, N, width) of texts (B, 1, N): where `causal`, each has seen only what is before it and itself.

        To attend to a single vector, as a decoder does in TSDAE, is to be told it, as it has all the weight.
        """
        stream = self.embed(x[:, 0]) + self.places[:, : x.shape[2]]
        seen = (x[:, 0] != PADDING)[:, None, None, :].expand(-1, 1, x.shape[2], -1)
        if causal:
            seen = seen & torch.ones(x.shape[2], x.shape[2], dtype=torch.bool, device=x.device).tril()
        mask = torch.zeros(seen.shape, dtype=stream.dtype, device=x.device).masked_fill_(~seen, -torch.inf)
        for number, block in enumerate(self.blocks):
            if given is not None:
                stream = stream + self.told[number](given)[:, None]
            stream = block(stream, attn_mask=mask)
        return self.norm(stream)


def answered(x: Tensor, places: Tensor, shown: Tensor, scores: Tensor, counts: Tensor) -> dict[str, Tensor]:
    """For people: texts (B, 1, N), what was shown of them, and with the words that scores (B, K, words) are for."""
    said = scores[..., WORDS:].argmax(dim=2) + WORDS
    return {"input": x, "shown": shown, "answer": with_words(x, places, said, counts)}
