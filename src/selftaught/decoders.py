"""Light decoders that turn features back into samples during pre-training; thrown away after it."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from .encoder import Encoder


class TokenDecoder(nn.Module):
    """Predicts the raw numbers behind every token from the encodings of the tokens that were kept.

    MAE (2111.06377, section 3): a narrow transformer over kept encodings and holes, with fixed sine positions.
    """

    def __init__(self, dim: int, patch_dim: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.embed = nn.Linear(dim, width)
        self.hole = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.Sequential(*(Block(width, heads, qkv_bias=True) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, patch_dim)

    def forward(self, patches: Tensor, prefix: Tensor, keep: Tensor, grid: Sequence[int]) -> Tensor:
        """Predictions (B, N, patch_dim) from patches (B, K, dim) at `keep` (B, K) and prefix tokens (B, P, dim)."""
        shown, prefix = self.embed(patches), self.embed(prefix)
        length = math.prod(grid)
        holes = self.hole.to(shown.dtype).expand(len(shown), length, -1)
        full = holes.scatter(1, keep[..., None].expand_as(shown), shown)
        full = full + sine_positions(grid, full.shape[2]).to(full)
        decoded = self.norm(self.blocks(torch.cat([prefix, full], dim=1)))
        return self.predict(decoded[:, prefix.shape[1] :])


def sine_positions(grid: Sequence[int], width: int) -> Tensor:
    """Fixed sine and cosine positions (N, width) of a grid: a quarter of the width each for both of both axes."""
    frequencies = 10_000 ** -(torch.arange(width // 4) / (width // 4))
    axes = torch.meshgrid(*(torch.arange(side, dtype=torch.float32) for side in grid), indexing="ij")
    angles = [axis.flatten()[:, None] * frequencies for axis in axes]
    waves = torch.cat([wave for angle in angles for wave in (angle.sin(), angle.cos())], dim=1)
    return F.pad(waves, (0, width - waves.shape[1]))


class MapDecoder(nn.Module):
    """Predicts an image (B, channels, H, W) from a map of features of any size, one doubling at a time."""

    def __init__(self, encoder: Encoder, shape: Sequence[int], channels: int, width: int) -> None:
        """`shape` is the encoder's input (C, H, W); the prediction has `channels` and its height and width."""
        super().__init__()
        grid = map_size(encoder, shape)
        self.size = (shape[1], shape[2])
        doublings = max(0, math.ceil(math.log2(max(self.size[0] / grid[0], self.size[1] / grid[1]))))
        # A map of one cell knows no places: its first doublings give each place weights of its own.
        first = min(doublings, 2 if min(grid) < 4 else 0)
        layers: list[nn.Module] = [nn.Conv2d(encoder.dim, width * 4**first, 1), nn.PixelShuffle(2**first)]
        layers += [nn.BatchNorm2d(width), nn.GELU()]
        for _ in range(doublings - first):
            narrow = max(width // 2, 16)
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(width, narrow, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(narrow), nn.GELU()]
            width = narrow
        self.layers = nn.Sequential(*layers)
        self.predict = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Prediction (B, channels, H, W) from a map (B, dim, h, w)."""
        found = self.layers(features)
        if found.shape[2:] != self.size:
            found = F.interpolate(found, size=self.size, mode="bilinear", align_corners=False)
        return self.predict(found)


def map_size(encoder: Encoder, shape: Sequence[int]) -> tuple[int, int]:
    """Height and width of the map that an encoder makes of samples of `shape` (C, H, W)."""
    before = encoder.training
    encoder.eval()
    device = next(encoder.parameters()).device
    with torch.no_grad():
        found = encoder.map(torch.zeros(1, *shape, device=device))
    encoder.train(before)
    return found.shape[2], found.shape[3]
