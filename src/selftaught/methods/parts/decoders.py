"""Light decoders that turn features back into samples during pre-training; thrown away after it."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder
from selftaught.methods.parts.heads import mlp
from selftaught.system.errors import UsageError
from selftaught.system.starts import sines, xavier


class TokenDecoder(nn.Module):
    """Predicts the raw numbers behind every token from the encodings of the tokens that were kept.

    MAE (2111.06377, section 3): a narrow transformer over kept encodings and holes, with fixed sine positions.
    """

    def __init__(
        self,
        dim: int,
        patch_dim: int,
        width: int,
        depth: int,
        heads: int,
        init: Literal["torch", "xavier"] = "torch",
    ) -> None:
        """`init` is how weights are drawn: as torch does, or Xavier's, as the paper's authors do."""
        super().__init__()
        self.embed = nn.Linear(dim, width)
        self.hole = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = _blocks(width, depth, heads)
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, patch_dim)
        if init == "xavier":
            xavier(self)

    def forward(self, patches: Tensor, prefix: Tensor, keep: Tensor, grid: Sequence[int]) -> Tensor:
        """Predictions (B, N, patch_dim) from patches (B, K, dim) at `keep` (B, K) and prefix tokens (B, P, dim)."""
        shown, prefix = self.embed(patches), self.embed(prefix)
        length = math.prod(grid)
        holes = self.hole.to(shown.dtype).expand(len(shown), length, -1)
        full = holes.scatter(1, keep[..., None].expand_as(shown), shown)
        # After the holes are in, so that a hole knows where it is.
        full = full + sines(grid, full.shape[2], full)
        decoded = self.norm(self.blocks(torch.cat([prefix, full], dim=1)))
        return self.predict(decoded[:, prefix.shape[1] :])


class TokenPredictor(nn.Module):
    """Predicts features at asked places from the tokens of a context, one narrow transformer pass for each block.

    I-JEPA (2301.08243, section 3 and appendix A.1).
    """

    def __init__(self, dim: int, width: int, depth: int, heads: int, answers: int = 1) -> None:
        """`answers` is how many features are predicted of each place, one after the other."""
        super().__init__()
        self.embed = nn.Linear(dim, width)
        self.asked = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = _blocks(width, depth, heads)
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, answers * dim)

    def forward(self, patches: Tensor, prefix: Tensor, keep: Tensor, asked: Tensor, grid: Sequence[int]) -> Tensor:
        """Predictions (B, M, L, answers * dim) at places `asked` (B, M, L) from patches (B, K, dim) at `keep`."""
        count, length = asked.shape[1:]
        positions = sines(grid, self.embed.out_features, patches)
        seen = torch.cat([self.embed(prefix), self.embed(patches) + positions[keep]], dim=1)
        questions = (self.asked.to(seen.dtype) + positions[asked]).flatten(0, 1)
        # Every block is asked about by itself: answers to one may not look at the questions of another.
        stream = torch.cat([seen.repeat_interleave(count, dim=0), questions], dim=1)
        return self.predict(self.norm(self.blocks(stream)))[:, -length:].unflatten(0, (-1, count))


class CrossDecoder(nn.Module):
    """Predicts the raw numbers behind asked tokens, each by itself, from what an encoder made of others in its layers.

    CrossMAE (2401.14391, figure 4): blocks in which questions look at encodings, and never at each other. Each block
    looks at a weighted sum of the encoder's layers, which is learnt; here it begins as the last layer alone.
    """

    def __init__(self, dim: int, patch_dim: int, width: int, depth: int, heads: int, layers: int) -> None:
        """`layers` is how many of the encoder's are seen."""
        super().__init__()
        self.question = nn.Parameter(torch.randn(width) * 0.02)
        self.mix = nn.Parameter(F.one_hot(torch.full((depth,), layers - 1), layers).float())
        self.blocks = nn.ModuleList(_CrossBlock(dim, width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, patch_dim)

    def forward(self, layers: Sequence[Tensor], asked: Tensor, grid: Sequence[int]) -> Tensor:
        """Predictions (B, M, patch_dim) at places `asked` (B, M), from layers that are (B, T, dim) each."""
        made = torch.stack(tuple(layers))
        positions = sines(grid, len(self.question), made)
        stream = self.question.to(made.dtype) + positions[asked]
        for block, weights in zip(self.blocks, self.mix):
            stream = block(stream, torch.einsum("l,lbtd->btd", weights.to(made.dtype), made))
        return self.predict(self.norm(stream))


class _CrossBlock(nn.Module):
    """A block of a transformer whose questions look at what was seen instead of at each other."""

    def __init__(self, dim: int, width: int, heads: int) -> None:
        super().__init__()
        refuse_odd_heads(width, heads)
        self.heads = heads
        self.norm, self.norm_seen, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(dim), nn.LayerNorm(width)
        self.query, self.key_value, self.out = (
            nn.Linear(width, width),
            nn.Linear(dim, 2 * width),
            nn.Linear(width, width),
        )
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """Questions x (B, M, width), answered a little further by what was seen (B, T, dim)."""
        key, value = self.key_value(self.norm_seen(seen)).chunk(2, dim=2)
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (self.query(self.norm(x)), key, value)
        )
        x = x + self.out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm_mlp(x))


def _blocks(width: int, depth: int, heads: int) -> nn.Sequential:
    """Blocks of a transformer. Raises UsageError where the heads cannot share the width."""
    refuse_odd_heads(width, heads)
    return nn.Sequential(*(Block(width, heads, qkv_bias=True) for _ in range(depth)))


def refuse_odd_heads(width: int, heads: int) -> None:
    if width % heads:
        raise UsageError(f"a width of {width} cannot be shared by {heads} heads: it is to be a multiple of them")


class MapDecoder(nn.Module):
    """Predicts a sample (B, channels, ...) from a map of features of any size.

    Of images, one doubling at a time, and of series; a row has no neighbourhoods, so all its cells are predicted from
    all features.
    """

    def __init__(
        self, encoder: Encoder, shape: Sequence[int], channels: int, width: int, size: tuple[int, int] | None = None
    ) -> None:
        """`shape` is the encoder's input (C, H, W) or (C, columns); the prediction has `channels`, and its height
        and width unless another `size` is wanted."""
        super().__init__()
        wide, *grid = map_shape(encoder, shape)
        self.size = size or tuple(shape[1:])
        if len(self.size) == 1 and encoder.along:
            self.layers = _line(wide, width, max(0, math.ceil(math.log2(self.size[0] / grid[0]))))
            self.predict: nn.Module = nn.Conv1d(width, channels, 3, padding=1)
            return
        if len(self.size) == 1:
            cells = channels * self.size[0]
            self.layers = nn.Sequential(nn.Flatten(), *mlp(wide * grid[0], width, cells))
            self.predict = nn.Unflatten(1, (channels, self.size[0]))
            return
        doublings = max(0, math.ceil(math.log2(max(self.size[0] / grid[0], self.size[1] / grid[1]))))
        # A map of one cell knows no places: its first doublings give each place weights of its own.
        first = min(doublings, 2 if min(grid) < 4 else 0)
        layers: list[nn.Module] = [nn.Conv2d(wide, width * 4**first, 1), nn.PixelShuffle(2**first)]
        layers += [nn.BatchNorm2d(width), nn.GELU()]
        for _ in range(doublings - first):
            # Half the channels at four times the places: each doubling costs about as much as the one before.
            narrow = max(width // 2, 16)
            # Upsampled and then convolved: transposed convolutions easily leave a chequered pattern.
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(width, narrow, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(narrow), nn.GELU()]
            width = narrow
        self.layers = nn.Sequential(*layers)
        self.predict = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Prediction (B, channels, ...) from a map (B, channels of the encoder, ...)."""
        made = self.layers(features)
        if made.ndim > 2 and made.shape[2:] != self.size:
            mode = "bilinear" if made.ndim == 4 else "linear"
            made = F.interpolate(made, size=self.size, mode=mode, align_corners=False)
        return self.predict(made)


def _line(wide: int, width: int, doublings: int) -> nn.Sequential:
    """Features (B, wide, n) of moments as (B, width, n * 2**doublings), each of which knows its neighbours."""
    layers: list[nn.Module] = [nn.Conv1d(wide, width, 1), nn.BatchNorm1d(width), nn.GELU()]
    for _ in range(doublings):
        layers += [nn.Upsample(scale_factor=2), nn.Conv1d(width, width, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm1d(width), nn.GELU()]
    return nn.Sequential(*layers)


class MapHead(nn.Module):
    """Predicts a sample from a map by one linear layer: each cell says what the pixels, or moments, under it hold.

    SimMIM (2111.09886, section 3.3).
    """

    def __init__(self, encoder: Encoder, shape: Sequence[int], channels: int) -> None:
        """`shape` is the encoder's input (C, H, W) or (C, points); the prediction has `channels` of the same size."""
        super().__init__()
        wide, *grid = map_shape(encoder, shape)
        self.size = tuple(shape[1:])
        if len(self.size) == 1:  # the last cell of a series may hold fewer moments
            self.cell: tuple[int, ...] = (-(-self.size[0] // grid[0]),)
            self.predict: nn.Module = nn.Conv1d(wide, channels * self.cell[0], 1)
            return
        self.cell = tuple(max(1, round(side / cells)) for side, cells in zip(self.size, grid))
        self.predict = nn.Conv2d(wide, channels * math.prod(self.cell), 1)

    def forward(self, features: Tensor) -> Tensor:
        """Prediction (B, channels, ...) from a map (B, channels of the encoder, ...)."""
        if len(self.size) == 1:
            return self.predict(features).unflatten(1, (-1, self.cell[0])).mT.flatten(2)[..., : self.size[0]]
        height, width = (cells * side for cells, side in zip(features.shape[2:], self.cell))
        made = F.fold(self.predict(features).flatten(2), (height, width), self.cell, stride=self.cell)
        if made.shape[2:] != self.size:
            made = F.interpolate(made, size=self.size, mode="bilinear", align_corners=False)
        return made


def map_shape(encoder: Encoder, shape: Sequence[int]) -> tuple[int, ...]:
    """Shape of the map that an encoder makes of a sample of `shape`: its channels, then its size."""
    # By trying, as networks differ; in eval mode, so that no running statistics learn of zeros.
    before = encoder.training
    encoder.eval()
    device = next(encoder.parameters()).device
    with torch.no_grad():
        shape = encoder.map(torch.zeros(2, *shape, device=device)).shape
    encoder.train(before)
    return tuple(shape[1:])
