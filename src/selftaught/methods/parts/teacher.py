"""A slow copy of a network, whose outputs serve as targets."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Literal, Self, cast

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from selftaught.contracts.encoder import Encoder, TokenEncoder
from selftaught.methods.objectives.clusters import sinkhorn
from selftaught.methods.objectives.distillation import moved_centre, sharpened
from selftaught.methods.objectives.prediction import normalised_tokens
from selftaught.methods.parts.mirrors import Mirror
from selftaught.methods.parts.schedules import linear
from selftaught.system.precision import precise
from selftaught.system.profiling import part


class Teacher(nn.Module):
    """A gradient-free copy of some modules, applied in turn, that follows them by moving average."""

    def __init__(self, *students: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(deepcopy(student) for student in students).requires_grad_(False)
        for layer in self.layers.modules():  # a target is no place for chance: only students drop anything
            if isinstance(layer, nn.modules.dropout._DropoutNd | StochasticDepth):
                layer.p = 0.0
            elif isinstance(layer, DropPath):
                layer.drop_prob = 0.0
            # What drops by a function keeps its probability: our texts, torch's attention, models of transformers.
            for name, value in vars(layer).items():
                if "dropout" in name and isinstance(value, float):
                    setattr(layer, name, 0.0)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """What the copies make of x, without a graph."""
        with part("teacher"):
            for layer in self.layers:
                x = layer(x)
        return x

    @torch.no_grad()
    def follow(self, *students: nn.Module, momentum: float) -> None:
        """Move each weight to `momentum * own + (1 - momentum) * student`.

        Statistics that the copies keep themselves (BatchNorm's) are their own: they see the teacher's activations.
        """
        own: list[Tensor] = [p for layer in self.layers for p in layer.parameters()]
        theirs: list[Tensor] = [p.detach() for student in students for p in student.parameters()]
        # A momentum m remembers about 1 / (1 - m) steps: 0.99 a hundred, 0.999 a thousand. 50,000 samples in batches of
        # 256 are 195 steps, so most methods here have a lower one than their papers.
        torch._foreach_lerp_(own, theirs, 1 - momentum)


def normalised_layers(
    slow: nn.Module, x: Tensor, layers: Sequence[int], norm: Literal["layer", "instance"]
) -> list[Tensor]:
    """Some layers of a slow network's patches (B, N, dim), each normalised: else one's large numbers would be all."""
    tokens = cast(TokenEncoder, slow)
    made = tokens.tokens(x, layers=layers).layers
    return [normalised_tokens(precise(layer[:, -tokens.length(x.shape[2:]) :]), norm) for layer in made]


class Frozen(nn.Module):
    """A network that others have taught and that stays as it is, in eval mode: no part of what is learnt or saved."""

    def __init__(self, network: Encoder) -> None:
        super().__init__()
        self._held = [network.eval().requires_grad_(False)]  # in a list: torch knows no modules there

    @property
    def network(self) -> Encoder:
        """The network itself."""
        return self._held[0]

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        self.network._apply(fn, recurse)  # to another device, or another layout in memory
        return super()._apply(fn, recurse)

    @torch.no_grad()
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Its feature (B, dim) and map of x."""
        with part("teacher"):
            return self.network.feature_and_map(x)


class Warming(nn.Module):
    """A temperature that is a part of the state, and rises during a warm-up."""

    def __init__(self, start: float, end: float, warmup: float) -> None:
        """It goes from `start` to `end` during the first `warmup` of training."""
        super().__init__()
        self.schedule = (start, end, warmup)
        self.temperature = nn.Buffer(torch.tensor(start if warmup else end))
        self._mirror = Mirror()

    def now(self) -> float:
        """The temperature."""
        return self._mirror.read(self.temperature)

    def follow(self, progress: float) -> None:
        """After an optimiser step: move to the temperature of `progress`."""
        start, end, warmup = self.schedule
        self._mirror.write(self.temperature, linear(start, end, progress / warmup) if warmup else end)


class Evening(Warming):
    """What evens a teacher's answers out over a batch: Sinkhorn's steps, at a temperature that rises.

    DINOv2 (2304.07193) has it in place of the centre, after SwAV.
    """

    def __init__(self, iterations: int, start: float, end: float, warmup: float) -> None:
        super().__init__(start, end, warmup)
        self.iterations = iterations

    def forward(self, scores: Tensor) -> Tensor:
        """Answers (M, K) of scores (M, K), of which all processes together use every word alike."""
        return sinkhorn(scores, self.now(), self.iterations)


class Centring(Warming):
    """What keeps a teacher's answers from becoming all alike or all even: a centre taken off, and a temperature.

    The centre is a running mean of its scores; the temperature rises during a warm-up. DINO (2104.14294, section 3.1).
    """

    def __init__(self, dim: int, momentum: float, start: float, end: float, warmup: float) -> None:
        """The temperature goes from `start` to `end` during the first `warmup` of training."""
        super().__init__(start, end, warmup)
        self.momentum = momentum
        self.centre = nn.Buffer(torch.zeros(dim))
        self._newest: Tensor | None = None

    def forward(self, scores: Tensor, asked: Tensor | None = None) -> Tensor:
        """Answers (..., K) of scores (..., K), which all move the centre at the next `follow`.

        `asked`: places (M,) of some among all, for the answers (M, K) of those alone.
        """
        # Kept until the step was taken: the centre of an answer knows earlier batches only (algorithm 1).
        self._newest = scores.detach().flatten(0, -2)
        return sharpened(scores if asked is None else scores.flatten(0, -2)[asked], self.centre, self.now())

    def follow(self, progress: float) -> None:
        """After an optimiser step: move the centre, and the temperature to that of `progress`."""
        if self._newest is not None:
            self.centre.copy_(moved_centre(self.centre, self._newest, self.momentum))
        super().follow(progress)
