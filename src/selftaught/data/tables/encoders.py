"""Encoders of rows, by name: an MLP, a transformer with a token a column, or the user's own module."""

from collections.abc import Sequence
from functools import partial

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder, Origin, Tokens
from selftaught.data.encoders import Own, Transformer, build, picked
from selftaught.data.tables.preparation import Preparation
from selftaught.system import bounds, components
from selftaught.system.errors import UsageError

ENCODERS = ("mlp", "ft_transformer")


def create(
    name: str,
    preparation: Preparation,
    module: nn.Module | None = None,
    /,
    *,
    depth: bounds.Blocks | None = None,
    width: bounds.Width | None = None,
    heads: bounds.Heads = 8,
) -> Encoder:
    """Build an encoder; the keyword-only parameters are its options."""
    if name == "mlp":
        encoder: Encoder = MLP(preparation, depth or 4, width or 256)
    elif name == "ft_transformer":
        encoder = FTTransformer(preparation, depth or 3, width or 64, heads)
    elif name == "own":
        return Own(module, preparation.shape, "rows")
    else:
        raise UsageError(f"no encoder of rows named {name!r}; {components.hint(name, ENCODERS)}")
    encoder.origin = Origin("selftaught", name)
    return encoder


build_encoder = partial(build, create)


class MLP(Encoder):
    """Linear layers with batch norm and ReLU on all cells of a row. SCARF (2106.15147, section 4)."""

    def __init__(self, preparation: Preparation, depth: int, width: int) -> None:
        super().__init__()
        channels, columns = preparation.shape
        layers: list[nn.Module] = []
        for number in range(depth):
            layers += [nn.Linear(width if number else channels * columns, width), nn.BatchNorm1d(width), nn.ReLU()]
        self.net, self.dim = nn.Sequential(*layers), width

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.flatten(1))

    def map(self, x: Tensor) -> Tensor:
        return self(x)[..., None]


class FTTransformer(Transformer):
    """A transformer with a token a column (Gorishniy et al., 2021). https://arxiv.org/abs/2106.11959"""

    def __init__(self, preparation: Preparation, depth: int, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise UsageError(f"encoder option 'width' cannot be {width}: it is a multiple of the {heads} heads")
        self.net = Columns(preparation, depth, width, heads)
        self.dim, self.depth, self.patch, self.patch_dim, self.uniform = width, depth, 1, preparation.channels, False

    def grid(self, size: Sequence[int]) -> tuple[int, ...]:
        return tuple(size)

    def patchify(self, x: Tensor) -> Tensor:
        return x.mT

    def unpatchify(self, patches: Tensor, size: Sequence[int]) -> Tensor:
        return patches.mT

    def feature(self, tokens: Tokens) -> Tensor:
        return tokens.prefix[:, 0]

    def freeze_patches(self) -> None:
        self.net.weight.requires_grad_(False)

    def embedded(self, x: Tensor, keep: Tensor | None) -> Tensor:
        return picked(torch.einsum("bkf,fkd->bfd", x, self.net.weight), keep)

    def stream(self, x: Tensor, embedded: Tensor, keep: Tensor | None) -> Tensor:
        batch = x.shape[0]  # not len(x), which an export would take for a constant
        # Which column it is stays known when its value is hidden.
        cells = embedded + picked(self.net.column.expand(batch, -1, -1), keep)
        return torch.cat([self.net.cls_token.expand(batch, -1, -1), cells], dim=1)


class Columns(nn.Module):
    """The weights of an FT-Transformer."""

    def __init__(self, preparation: Preparation, depth: int, width: int, heads: int) -> None:
        super().__init__()
        channels, columns = preparation.shape
        self.weight = nn.Parameter(torch.empty(columns, channels, width).uniform_(-1, 1) / width**0.5)
        self.column = nn.Parameter(torch.empty(columns, width).uniform_(-1, 1) / width**0.5)
        self.cls_token = nn.Parameter(torch.empty(1, 1, width).uniform_(-1, 1) / width**0.5)
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio=2, qkv_bias=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
