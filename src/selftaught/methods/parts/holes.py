"""What an encoder sees where something was hidden: a learnt value in place of every hidden part."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder, TokenEncoder
from selftaught.contracts.method import Data
from selftaught.methods.parts.masks import refuse_single, tube


class Hole(nn.Module):
    """The learnt stand-in for hidden parts: an embedding for token encoders, a colour for all others.

    SimMIM (2111.09886, section 3.2) and MaskFeat (2112.09133, section 3) replace embeddings; an encoder that has none
    is shown the learnt colour in the hidden places of its input.
    """

    def __init__(self, encoder: Encoder, data: Data) -> None:
        super().__init__()
        self.size, self.patch = tuple(data.shape[1:]), encoder.patch
        self.grid = encoder.grid(self.size) if isinstance(encoder, TokenEncoder) else None
        # A colour starts as the data's mean, which is zero; an embedding small, as timm's own do.
        self.value = nn.Parameter(torch.randn(encoder.dim) * 0.02 if self.grid else torch.zeros(data.shape[0]))

    def forward(self, encoder: Encoder, x: Tensor, hidden: Tensor) -> Tensor:
        """The map (B, dim, h, w) of x (B, C, H, W) with the cells `hidden` (B, p, q) taken out; of series likewise."""
        if isinstance(encoder, TokenEncoder):
            grid = encoder.grid(x.shape[2:])
            tokens = encoder.tokens(x, hidden=tube(hidden, grid).flatten(1), hole=self.value)
            return tokens.patches.mT.unflatten(2, grid)
        return encoder.map(
            torch.where(self.pixels(hidden, x.shape[2:]), self.value.to(x.dtype).view(-1, *[1] * (x.ndim - 2)), x)
        )

    def pixels(self, hidden: Tensor, size: Sequence[int] = ()) -> Tensor:
        """The cells `hidden` (B, p, q) as pixels (B, 1, H, W): those of the tokens that are hidden, where there are.

        size: (H, W), where that is not the plain view's.
        """
        if not self.grid:
            return tube(hidden, size or self.size)[:, None]
        # A last token may be of fewer pixels than the others.
        whole = tube(tube(hidden, self.grid), [cells * self.patch for cells in self.grid])
        return whole[(slice(None), *(slice(side) for side in self.size))][:, None]


def cells_of(method: str, encoder: Encoder, data: Data, side: int | None, share: float) -> tuple[int, ...]:
    """Hidden cells along each axis: `side` pixels each, or about `share` of the shorter side of the sample.

    A cell is a whole number of a token encoder's patches, so that it hides whole tokens. Raises UsageError where a
    sample is a single one.
    """
    wanted = side or max(2, round(share * min(data.shape[1:])))
    pixels = max(encoder.patch, round(wanted / encoder.patch) * encoder.patch)
    cells = tuple(max(1, round(length / pixels)) for length in data.shape[1:])
    option = "--method.mask_patch_size" if pixels > encoder.patch else "--encoder.patch"
    refuse_single(method, data, math.prod(cells), "cells to hide", f"use a smaller {option}, or larger samples")
    return cells
