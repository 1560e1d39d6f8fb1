"""Encoders that pool a map of features: timm's and torchvision's convolutional networks."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder
from selftaught.system.errors import UsageError

GRID, STAGES = 2, 2  # cells along each side, and how many of the last stages, that a feature keeps apart


class TimmPooled(Encoder):
    """Any timm model that makes a map of features and pools it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        # What leaves a network may be wider than the last map in it.
        self.dim = getattr(net, "head_hidden_size", None) or net.num_features  # type: ignore[assignment]
        self._channels_last = getattr(net, "output_fmt", "NCHW") == "NHWC"

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def map(self, x: Tensor) -> Tensor:
        features = self.net.forward_features(x)
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

    def __init__(self, net: nn.Module) -> None:
        super().__init__(net)
        self.dim = GRID**2 * sum(stage["num_chs"] for stage in net.feature_info[-STAGES:])  # type: ignore[index]

    def forward(self, x: Tensor) -> Tensor:
        maps = self.net.forward_intermediates(x, indices=STAGES, intermediates_only=True)
        return torch.cat([F.adaptive_avg_pool2d(stage, GRID).flatten(1) for stage in maps], dim=1)


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
    for name in ("fc", "classifier", "heads", "head"):
        head = getattr(net, name, None)
        if isinstance(head, nn.Linear):
            setattr(net, name, nn.Identity())
            return head.in_features
        if isinstance(head, nn.Sequential) and isinstance(head[-1], nn.Linear):
            width = head[-1].in_features
            head[-1] = nn.Identity()
            return width
    raise UsageError(f"torchvision's {type(net).__name__} ends in no linear layer; try resnet18 or convnext_tiny")
