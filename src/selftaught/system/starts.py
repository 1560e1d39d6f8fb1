"""How transformers may start, whoever builds one: positions that are known and never learnt, and Xavier's weights."""

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sine_positions(grid: Sequence[int], width: int) -> Tensor:
    """Fixed sine and cosine positions (N, width) of a grid: a quarter of the width each for both of both axes."""
    frequencies = 10_000 ** -(torch.arange(width // 4) / (width // 4))
    axes = torch.meshgrid(*(torch.arange(side, dtype=torch.float32) for side in grid), indexing="ij")
    angles = [axis.flatten()[:, None] * frequencies for axis in axes]
    waves = torch.cat([wave for angle in angles for wave in (angle.sin(), angle.cos())], dim=1)
    return F.pad(waves, (0, width - waves.shape[1]))


def sines(grid: Sequence[int], width: int, like: Tensor) -> Tensor:
    """The same beside `like` and of its type, made once for each device; not to be changed."""
    return _sines(tuple(grid), width, like.dtype, like.device)


@lru_cache(32)
def _sines(grid: tuple[int, ...], width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.device("cpu"):
        return sine_positions(grid, width).to(device, dtype)


@torch.no_grad()
def xavier(network: nn.Module, each: bool = False) -> None:
    """Draw the weights of all linear layers uniformly within sqrt(6 / (inputs + outputs)), and put biases to zero.

    `each`: of query, key and value, which timm keeps in one layer, each is a layer of its own (MoCo v3), not the three
    together (MAE).
    """
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear):
            parts = layer.weight.chunk(3) if each and name.endswith("qkv") else (layer.weight,)
            for part in parts:
                nn.init.xavier_uniform_(part)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
