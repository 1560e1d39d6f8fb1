"""A transformer whose tokens are patches of time."""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from selftaught.contracts.encoder import Tokens
from selftaught.data.encoders import Transformer, picked
from selftaught.data.series.preparation import Preparation

SHORTEST, PATCHES = 16, 32  # points of a patch at most, and patches of a series at least, where the user says nothing


def usual_patch(length: int) -> int:
    """Points of a patch for series of so many."""
    return max(1, min(SHORTEST, length // PATCHES))


class PatchTransformer(Transformer):
    """A transformer on patches of time that do not overlap (Nie et al., PatchTST, 2211.14730, section 3.1).

    Channels are mixed in each token, or go through the same weights apart, and a token is the mean of theirs. A last
    patch that is not full ends with zeros.
    """

    along = True

    def __init__(self, preparation: Preparation, patch: int, depth: int, width: int, heads: int, apart: bool) -> None:
        super().__init__()
        self.dim, self.depth, self.patch, self.apart = width, depth, patch, apart
        self.parts = 2 if preparation.masked else 1  # numbers of a channel at a point
        self.series = len(preparation.names)
        self.patch_dim = preparation.channels * patch
        self.uniform = preparation.channels == 1
        taken = self.parts * patch if apart else self.patch_dim
        self.net = Patches(taken, self.length((preparation.length,)), depth, width, heads)

    def grid(self, size: Sequence[int]) -> tuple[int, ...]:
        return (-(-size[0] // self.patch),)

    def patchify(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (0, -x.shape[2] % self.patch))
        return padded.unflatten(2, (-1, self.patch)).transpose(1, 2).flatten(2)

    def unpatchify(self, patches: Tensor, size: Sequence[int]) -> Tensor:
        return patches.unflatten(2, (-1, self.patch)).transpose(1, 2).flatten(2)[..., : size[0]]

    def feature(self, tokens: Tokens) -> Tensor:
        return tokens.patches.mean(dim=1)

    def freeze_patches(self) -> None:
        self.net.embed.requires_grad_(False)

    def embedded(self, x: Tensor, keep: Tensor | None) -> Tensor:
        if self.apart and x.shape[1] != self.parts:
            return self._joined(self.embedded(self._apart(x), self._each(keep)))
        return self.net.embed(picked(self.patchify(x), keep))

    def stream(self, x: Tensor, embedded: Tensor, keep: Tensor | None) -> Tensor:
        places = self.net.places[:, : self.length(x.shape[2:])]  # of a part of a series, counted from its beginning
        return embedded + picked(places.expand(x.shape[0], -1, -1), keep)

    def tokens(
        self,
        x: Tensor,
        keep: Tensor | None = None,
        hidden: Tensor | None = None,
        hole: Tensor | None = None,
        attend: Tensor | None = None,
        layers: Sequence[int] = (),
    ) -> Tokens:
        if not self.apart or x.shape[1] == self.parts:
            return super().tokens(x, keep, hidden, hole, attend, layers)
        attend = self._each(attend) if attend is not None and attend.ndim == 4 else attend
        made = super().tokens(self._apart(x), self._each(keep), self._each(hidden), hole, attend, layers)
        return Tokens(self._joined(made.patches), self._joined(made.prefix), tuple(map(self._joined, made.layers)))

    def _apart(self, x: Tensor) -> Tensor:
        """Series (B * series, parts, points) of one channel, each with what was seen of it."""
        return x.unflatten(1, (self.parts, self.series)).transpose(1, 2).flatten(0, 1)

    def _each(self, given: Tensor | None) -> Tensor | None:
        return None if given is None else given.repeat_interleave(self.series, dim=0)

    def _joined(self, made: Tensor) -> Tensor:
        return made.unflatten(0, (-1, self.series)).mean(dim=1)


class Patches(nn.Module):
    """The weights of a patch transformer."""

    def __init__(self, taken: int, count: int, depth: int, width: int, heads: int) -> None:
        super().__init__()
        self.embed = nn.Linear(taken, width)
        self.places = nn.Parameter(torch.randn(1, count, width) * 0.02)
        self.blocks = cast(Sequence[nn.Module], nn.ModuleList(Block(width, heads, qkv_bias=True) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
