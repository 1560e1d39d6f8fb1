"""What encoders of texts have in common: a token a word, and features of those that are there."""

from collections.abc import Sequence
from typing import Literal, NoReturn

from torch import Tensor

from selftaught.contracts.encoder import TokenEncoder, Tokens
from selftaught.system.errors import UsageError

Pooling = Literal["mean", "first"]


class Sentences(TokenEncoder):
    """An encoder with a token a word. No feature has any of what is behind the end of a text."""

    along = True
    uniform = False
    patch_dim = 1
    pooling: Pooling

    def forward(self, x: Tensor) -> Tensor:
        return self.feature(self.tokens(x))

    def grid(self, size: Sequence[int]) -> tuple[int, ...]:
        return tuple(size)

    def patchify(self, x: Tensor) -> NoReturn:
        raise UsageError("words have no values behind them, such as this method asks for")

    def unpatchify(self, patches: Tensor, size: Sequence[int]) -> NoReturn:
        self.patchify(patches)

    def feature(self, tokens: Tokens) -> Tensor:
        if self.pooling == "first":
            return tokens.patches[:, 0]
        if tokens.there is None:
            return tokens.patches.mean(dim=1)
        there = tokens.there[..., None].to(tokens.patches.dtype)
        return (tokens.patches * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)

    def map(self, x: Tensor) -> Tensor:
        made = self.tokens(x)
        assert made.there is not None
        return made.patches.masked_fill(~made.there[..., None], 0).mT

    @staticmethod
    def sight(there: Tensor, attend: Tensor | None) -> Tensor:
        """Who may look at whom (B, 1, N, N): at what is there (B, N), of what a method lets them."""
        seen = there[:, None, None, :].expand(-1, 1, there.shape[1], -1)
        return seen if attend is None else seen & attend
