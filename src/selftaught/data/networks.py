"""Networks of timm's and torchvision's as encoders: vision transformers shown all of an image or only some of its
patches, and those that pool a map of features."""

from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from timm.models.beit import Beit
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder, Tokens
from selftaught.data.encoders import Transformer, picked
from selftaught.data.filters import GRID, PatchFilters, quarters
from selftaught.system.errors import UsageError
from selftaught.system.precision import precise

STAGES = 2  # how many of the last ones a feature by quarters keeps apart


class TimmTokens(Transformer):
    """A plain vision transformer (Dosovitskiy et al., 2021). https://arxiv.org/abs/2010.11929"""

    def __init__(self, net: VisionTransformer | Beit) -> None:
        super().__init__()
        self.net, self.dim = net, net.num_features
        self.patch = net.patch_embed.patch_size[0]
        self.patch_dim = net.patch_embed.proj.in_channels * self.patch**2
        self.depth = len(net.blocks)

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[2:]) == tuple(self.net.patch_embed.img_size):
            return self.net(x)
        return self.feature(self.tokens(x))  # whose positions keep float64

    def grid(self, size: Sequence[int]) -> tuple[int, ...]:
        for side in size:
            if side % self.patch:
                raise ValueError(f"{size[0]} x {size[1]} is not a multiple of the patch of {self.patch}")
        return tuple(side // self.patch for side in size)

    def patchify(self, x: Tensor) -> Tensor:
        return F.unfold(x, self.patch, stride=self.patch).mT

    def unpatchify(self, patches: Tensor, size: Sequence[int]) -> Tensor:
        return F.fold(patches.mT, tuple(size), self.patch, stride=self.patch)

    def feature(self, tokens: Tokens) -> Tensor:
        return self.net.fc_norm(self.net.pool(torch.cat([tokens.prefix, tokens.patches], dim=1)))

    def freeze_patches(self) -> None:
        self.net.patch_embed.requires_grad_(False)

    def embedded(self, x: Tensor, keep: Tensor | None) -> Tensor:
        embed = self.net.patch_embed
        if keep is None:
            embedded = embed(x)
            return embedded.flatten(1, 2) if embedded.ndim == 4 else embedded
        weight = embed.proj.weight.flatten(1)  # patches that are not kept are not even embedded
        return embed.norm(F.linear(picked(self.patchify(x), keep), weight, embed.proj.bias))

    def stream(self, x: Tensor, embedded: Tensor, keep: Tensor | None) -> Tensor:
        net = self.net
        prefix = self._prefix(x.shape[0])
        if net.pos_embed is not None:
            own = 0 if net.no_embed_class else net.num_prefix_tokens
            of_prefix, of_patches = net.pos_embed[:, :own], self._positions(net.pos_embed[:, own:], x.shape[2:])
            prefix = prefix + of_prefix if own else prefix
            embedded = embedded + picked(of_patches.expand(x.shape[0], -1, -1), keep)
        return net.norm_pre(net.pos_drop(torch.cat([prefix, embedded], dim=1)))

    def _prefix(self, batch: int) -> Tensor:
        net = self.net
        tokens: list[Tensor] = [token for token in (net.cls_token, net.reg_token) if token is not None]
        joined = torch.cat(tokens, dim=1) if tokens else net.patch_embed.proj.weight.new_zeros(1, 0, self.dim)
        return joined.expand(batch, -1, -1)

    def _positions(self, known: Tensor, size: Sequence[int]) -> Tensor:
        """Position embeddings (1, N, dim) for images of `size` (H, W)."""
        grid, old = self.grid(size), tuple(self.net.patch_embed.grid_size)
        if grid == old:
            return known
        # As timm resamples them, but for its rounding to float32, which float64 training must not have.
        maps = precise(known).mT.unflatten(2, old)
        fitted = F.interpolate(maps, size=grid, mode="bicubic", antialias=True).flatten(2).mT
        return fitted.to(known.dtype)


class TimmRelative(TimmTokens):
    """A BEiT of timm's with one learnt bias for every way from place to place, which all its blocks share, and no other
    positions, as the transformers of SimMIM (2111.09886) have it."""

    net: Beit

    def grid(self, size: Sequence[int]) -> tuple[int, ...]:
        if tuple(size) != tuple(self.net.patch_embed.img_size):
            known = " x ".join(map(str, self.net.patch_embed.img_size))
            raise UsageError(
                f"an encoder with relative positions knows the ways in {known} px alone, not in other sizes"
            )
        return super().grid(size)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def feature(self, tokens: Tokens) -> Tensor:
        pooled = tokens.patches.mean(dim=1) if self.net.global_pool == "avg" else tokens.prefix[:, 0]
        return self.net.fc_norm(pooled)

    def embedded(self, x: Tensor, keep: Tensor | None) -> Tensor:
        self.grid(x.shape[2:])  # before timm refuses another size in words of its own
        return super().embedded(x, keep)

    def stream(self, x: Tensor, embedded: Tensor, keep: Tensor | None) -> Tensor:
        return self.net.pos_drop(torch.cat([self.net.cls_token.expand(x.shape[0], -1, -1), embedded], dim=1))

    def attention(self, stream: Tensor, prefix: int, keep: Tensor | None, attend: Tensor | None) -> dict[str, Tensor]:
        assert self.net.rel_pos_bias is not None
        bias = self.net.rel_pos_bias()[None]  # 1 x heads x (1 + N) x (1 + N)
        if keep is not None:
            places = F.pad(keep + 1, (1, 0))
            bias = bias[0][:, places[:, :, None], places[:, None, :]].movedim(0, 1)
        barred = super().attention(stream, prefix, keep, attend)
        return {"shared_rel_pos_bias": bias + barred["attn_mask"] if barred else bias}


class TimmPooled(Encoder):
    """Any timm model that makes a map of features and pools it.

    Where it is given filters of patches, what these answer is the end of a feature.
    """

    def __init__(self, net: nn.Module, filters: PatchFilters | None = None) -> None:
        super().__init__()
        self.net = net
        if filters is not None:
            self.net.patch_filters = filters  # a part of it, so that they leave with its weights
        # What leaves a network may be wider than the last map in it.
        self._pooled_to(getattr(net, "head_hidden_size", None) or net.num_features)  # type: ignore[arg-type]
        self._channels_last = getattr(net, "output_fmt", "NCHW") == "NHWC"

    def _pooled_to(self, width: int) -> None:
        self.dim = width + (self.filters.dim if self.filters else 0)

    @property
    def filters(self) -> PatchFilters | None:
        return getattr(self.net, "patch_filters", None)

    def leave_out(self) -> None:
        if self.filters and not self.left_out:
            self.left_out = self.filters.dim
            self.dim -= self.left_out

    @property
    def starts(self) -> bool:
        return self.filters is not None and not self.filters.made

    def start(self, everything: Tensor, seed: int) -> None:
        if self.filters:
            self.filters.start(everything, seed)

    def begin_as(self, other: Self) -> None:
        if self.filters and other.filters:
            self.filters.load_state_dict(other.filters.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        return self._with_answers(self.learnt(x), x)

    def map(self, x: Tensor) -> Tensor:
        return self._as_map(self.net.forward_features(x))

    def feature_and_map(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pooled, features = self._pooled_and_map(x)
        return self._with_answers(pooled, x), self._as_map(features)

    def learnt(self, x: Tensor) -> Tensor:
        return self.net(x)

    def _pooled_and_map(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.net.forward_features(x)
        return self.net.forward_head(features), features

    def _with_answers(self, pooled: Tensor, x: Tensor) -> Tensor:
        if not self.filters or self.left_out:
            return pooled
        return torch.cat([pooled, self.filters(x).to(pooled.dtype)], dim=1)

    def _as_map(self, features: Tensor) -> Tensor:
        if features.ndim == 3:  # tokens of a network that is no plain vision transformer
            return features.mean(dim=1)[:, :, None, None]
        if features.ndim == 2:
            return features[:, :, None, None]
        return features.movedim(3, 1) if self._channels_last else features


class TimmGrid(TimmPooled):
    """A timm network whose feature is its last two stages, each averaged over the quarters of the image.

    Places and finer details stay apart, which a linear layer on a small network's features makes use of.
    """

    FEATURES = (
        f"torch.cat([torch.nn.functional.adaptive_avg_pool2d(stage, {GRID}).flatten(1) for stage in "
        f"net.forward_intermediates(x, indices={STAGES}, intermediates_only=True)], dim=1)"
    )

    def __init__(self, net: nn.Module, filters: PatchFilters | None = None) -> None:
        super().__init__(net, filters)
        self._pooled_to(GRID**2 * sum(stage["num_chs"] for stage in net.feature_info[-STAGES:]))  # type: ignore[index]

    def learnt(self, x: Tensor) -> Tensor:
        return self._quarters(self.net.forward_intermediates(x, indices=STAGES, intermediates_only=True))

    def _pooled_and_map(self, x: Tensor) -> tuple[Tensor, Tensor]:
        last, stages = self.net.forward_intermediates(x, indices=STAGES)
        return self._quarters(stages), last

    @staticmethod
    def _quarters(stages: Sequence[Tensor]) -> Tensor:
        return torch.cat([quarters(stage) for stage in stages], dim=1)


class TorchvisionPooled(Encoder):
    """A torchvision classifier without its last linear layer."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.dim = net, _without_head(net)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def map(self, x: Tensor) -> Tensor:
        if hasattr(self.net, "features"):
            return self.net.features(x)
        if hasattr(self.net, "layer4"):
            for name, stage in self.net.named_children():
                x = stage(x)
                if name == "layer4":
                    return x
        return self.net(x)[:, :, None, None]


def _without_head(net: nn.Module) -> int:
    """Take the last linear layer off, in place; its input's width."""
    path, head = list(net.named_modules())[-1]
    if not isinstance(head, nn.Linear):
        raise UsageError(f"torchvision's {type(net).__name__} ends in no linear layer; try resnet18 or convnext_tiny")
    net.set_submodule(path, nn.Identity())
    return head.in_features
