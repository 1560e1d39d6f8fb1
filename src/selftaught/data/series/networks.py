"""Convolutions over time, from what was seen of a series to a feature."""

import torch
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder
from selftaught.data.series.preparation import Preparation


class Convolutional(Encoder):
    """A network that gives a map (B, dim, points) of a series; the feature is its mean over what was seen."""

    along = True

    def __init__(self, preparation: Preparation, net: nn.Module, dim: int) -> None:
        super().__init__()
        self.net, self.dim = net, dim
        self.unseen = (
            len(preparation.names) if preparation.masked else None
        )  # where the channels of what was seen begin

    def forward(self, x: Tensor) -> Tensor:
        return self.feature_and_map(x)[0]

    def map(self, x: Tensor) -> Tensor:
        return self.net(x)

    def feature_and_map(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.map(x)
        if self.unseen is None:
            return features.mean(dim=2), features
        seen = (x[:, self.unseen :].amax(dim=1, keepdim=True) > 0.5).to(features.dtype)
        return (features * seen).sum(dim=2) / seen.sum(dim=2).clamp(min=1), features


class Dilated(nn.Module):
    """Convolutions whose reach doubles with each block (Yue et al., TS2Vec, 2106.10466, section 3.3 and appendix C)."""

    def __init__(self, channels: int, depth: int, width: int, dim: int) -> None:
        super().__init__()
        self.embed = nn.Conv1d(channels, width, 1)  # a linear layer at each point
        widths = [width] * depth + [dim]
        self.blocks = nn.Sequential(
            *(
                _DilatedBlock(before, after, 2**number)
                for number, (before, after) in enumerate(zip([width, *widths], widths))
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """A map (B, dim, points)."""
        return self.blocks(self.embed(x))


class _DilatedBlock(nn.Module):
    def __init__(self, before: int, after: int, dilation: int) -> None:
        super().__init__()
        first, second = (nn.Conv1d(inputs, after, 3, padding=dilation, dilation=dilation) for inputs in (before, after))
        self.layers = nn.Sequential(nn.GELU(), first, nn.GELU(), second)
        self.skip = nn.Conv1d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) + self.skip(x)


class ResNet(nn.Module):
    """Three residual blocks of kernels of 8, 5 and 3 points (Wang et al., 1611.06455, section II.C)."""

    KERNELS = (8, 5, 3)

    def __init__(self, channels: int, depth: int, width: int) -> None:
        super().__init__()
        widths = [width] + [2 * width] * (depth - 1)
        self.blocks = nn.Sequential(*(_Residual(*both) for both in zip([channels, *widths], widths)))
        self.dim = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        """A map (B, dim, points)."""
        return self.blocks(x)


class _Residual(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, kernel in enumerate(ResNet.KERNELS):
            around = nn.ConstantPad1d(((kernel - 1) // 2, kernel // 2), 0.0)  # so that each point keeps its place
            convolution = nn.Conv1d(after if number else before, after, kernel, bias=False)
            layers += [around, convolution, nn.BatchNorm1d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])
        self.skip = nn.Sequential(nn.Conv1d(before, after, 1, bias=False), nn.BatchNorm1d(after))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.layers(x) + self.skip(x))


class InceptionTime(nn.Module):
    """Inception modules with a shortcut over every three (Ismail Fawaz et al., 1909.04939, section 3.1)."""

    EVERY = 3  # modules that a shortcut spans

    def __init__(self, channels: int, depth: int, width: int, kernel: int) -> None:
        """width: filters of each of the four branches; kernel: points of the longest, others a half and a quarter."""
        super().__init__()
        self.dim = dim = 4 * width
        wide = [channels] + [dim] * (depth - 1)
        self.blocks = nn.ModuleList(_Inception(before, width, kernel) for before in wide)
        ends = range(self.EVERY - 1, depth, self.EVERY)
        self.shortcuts = nn.ModuleList(
            nn.Sequential(nn.Conv1d(channels if end < self.EVERY else dim, dim, 1, bias=False), nn.BatchNorm1d(dim))
            for end in ends
        )

    def forward(self, x: Tensor) -> Tensor:
        """A map (B, dim, points)."""
        before = x
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number % self.EVERY == self.EVERY - 1:
                before = x = torch.relu(x + self.shortcuts[number // self.EVERY](before))
        return x


class _Inception(nn.Module):
    def __init__(self, before: int, width: int, kernel: int) -> None:
        super().__init__()
        narrow = width if before > 1 else before
        self.narrow = nn.Conv1d(before, narrow, 1, bias=False) if before > 1 else nn.Identity()
        kernels = [max(1, kernel // 2**number) | 1 for number in range(3)]
        self.branches = nn.ModuleList(nn.Conv1d(narrow, width, size, padding=size // 2, bias=False) for size in kernels)
        self.pooled = nn.Sequential(nn.MaxPool1d(3, 1, 1), nn.Conv1d(before, width, 1, bias=False))
        self.norm = nn.BatchNorm1d(4 * width)

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.narrow(x)
        return torch.relu(self.norm(torch.cat([*(branch(narrow) for branch in self.branches), self.pooled(x)], dim=1)))
