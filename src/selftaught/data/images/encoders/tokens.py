"""timm's vision transformers as token encoders: shown all of an image, or only some of its patches."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from selftaught.contracts.encoder import TokenEncoder, Tokens
from selftaught.data.encoders import through_blocks
from selftaught.system.precision import precise


class TimmTokens(TokenEncoder):
    """A plain vision transformer (Dosovitskiy et al., 2021). https://arxiv.org/abs/2010.11929"""

    def __init__(self, net: VisionTransformer) -> None:
        super().__init__()
        self.net, self.dim = net, net.num_features
        self.patch = net.patch_embed.patch_size[0]
        self.patch_dim = net.patch_embed.proj.in_channels * self.patch**2
        self.depth, self.uniform = len(net.blocks), self.patch_dim > 1  # a single value has no deviation

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[2:]) == tuple(self.net.patch_embed.img_size):
            return self.net(x)
        return self.feature(self.tokens(x))  # whose positions keep float64

    def map(self, x: Tensor) -> Tensor:
        return self.tokens(x).patches.mT.unflatten(2, self.grid(x.shape[2:]))

    def grid(self, size: Sequence[int]) -> tuple[int, ...]:
        for side in size:
            if side % self.patch:
                raise ValueError(f"{size[0]} x {size[1]} is not a multiple of the patch of {self.patch}")
        return tuple(side // self.patch for side in size)

    def length(self, size: Sequence[int]) -> int:
        height, width = self.grid(size)
        return height * width

    def patchify(self, x: Tensor) -> Tensor:
        return F.unfold(x, self.patch, stride=self.patch).mT

    def unpatchify(self, patches: Tensor, size: Sequence[int]) -> Tensor:
        return F.fold(patches.mT, tuple(size), self.patch, stride=self.patch)

    def feature(self, tokens: Tokens) -> Tensor:
        return self.net.fc_norm(self.net.pool(torch.cat([tokens.prefix, tokens.patches], dim=1)))

    def freeze_patches(self) -> None:
        self.net.patch_embed.requires_grad_(False)

    def tokens(
        self,
        x: Tensor,
        keep: Tensor | None = None,
        hidden: Tensor | None = None,
        hole: Tensor | None = None,
        attend: Tensor | None = None,
        layers: Sequence[int] = (),
    ) -> Tokens:
        net = self.net
        patches = self._embedded(x, keep)
        if hidden is not None and hole is not None:
            patches = torch.where(hidden[..., None], hole.to(patches.dtype), patches)
        prefix, positions = self._prefix(len(x)), self._positions(self.grid(x.shape[2:]))
        if positions is not None:
            own = 0 if net.no_embed_class else net.num_prefix_tokens
            prefix = prefix + positions[:, :own] if own else prefix
            of_patches = positions[:, own:].expand(len(x), -1, -1)
            patches = patches + (of_patches if keep is None else _picked(of_patches, keep))
        stream = net.norm_pre(net.pos_drop(torch.cat([prefix, patches], dim=1)))
        return through_blocks(net, stream, net.num_prefix_tokens, attend, layers)

    def _embedded(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Patch embeddings (B, N or K, dim); patches that are not kept are not even embedded."""
        embed = self.net.patch_embed
        if keep is None:
            embedded = embed(x)
            return embedded.flatten(1, 2) if embedded.ndim == 4 else embedded
        weight = embed.proj.weight.flatten(1)
        return embed.norm(F.linear(_picked(self.patchify(x), keep), weight, embed.proj.bias))

    def _prefix(self, batch: int) -> Tensor:
        net = self.net
        tokens: list[Tensor] = [token for token in (net.cls_token, net.reg_token) if token is not None]
        joined = torch.cat(tokens, dim=1) if tokens else net.patch_embed.proj.weight.new_zeros(1, 0, self.dim)
        return joined.expand(batch, -1, -1)

    def _positions(self, grid: Sequence[int]) -> Tensor | None:
        net = self.net
        if net.pos_embed is None:
            return None
        own, old = 0 if net.no_embed_class else net.num_prefix_tokens, tuple(net.patch_embed.grid_size)
        if tuple(grid) == old:
            return net.pos_embed
        # As timm resamples them, but for its rounding to float32, which float64 training must not have.
        prefix, patches = net.pos_embed[:, :own], precise(net.pos_embed[:, own:])
        known = patches.mT.unflatten(2, old)
        fitted = F.interpolate(known, size=tuple(grid), mode="bicubic", antialias=True).flatten(2).mT
        return torch.cat([prefix, fitted.to(prefix.dtype)], dim=1)


def _picked(x: Tensor, keep: Tensor) -> Tensor:
    """Rows `keep` (B, K) of x (B, N, D)."""
    return x.gather(1, keep[..., None].expand(-1, -1, x.shape[2]))
