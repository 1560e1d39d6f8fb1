"""Features that need no step of training: how much the parts of a sample are like patches of the data itself."""

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selftaught.system import randomness
from selftaught.system.precision import in_full_precision

DRAWN, NUMBERS = 100_000, 20_000_000  # patches whose covariance is measured, and numbers in them, at most
STEADY, EPSILON = 0.003, 0.1  # added to variances: of a patch, as inputs are scaled, and of a whitened direction
THRESHOLD = 0.25  # what an answer must exceed, in deviations of one filter's
GRID = 2  # cells along each side of a sample, which are its quarters
CHUNK = 64  # filters that are asked at once
ANSWERS = 1 << 19  # at all places, that a CPU keeps at once: of more, each pass over them waits for memory


class PatchFilters(nn.Module):
    """How much each quarter of x looks like each filter, and how much unlike it: (B, C, H, W) to (B, 8 filters).

    A filter is a patch of the data, normalised, whitened, and made one long; it is compared with patches that are
    normalised and whitened likewise, and what is less than a threshold is nothing (Coates and Ng, 2011, The importance
    of encoding versus training with sparse coding and vector quantization, section 3, where patches as they come do
    about as well as those that were learnt). Whitening is linear, so each is a convolution, divided by the deviation of
    a patch. Filters are no parameters: nothing trains them. Until `start` they are zero. With `mirror` an answer is the
    mean of those to x and to its mirror image, and so the same for both.
    """

    kernel: Tensor
    offset: Tensor

    def __init__(self, channels: int, filters: int, side: int, stride: int, mirror: bool = False) -> None:
        super().__init__()
        self.side, self.stride, self.mirror, self.dim = side, stride, mirror, 2 * GRID**2 * filters
        self.kernel = nn.Buffer(torch.zeros(filters, channels, side, side))
        self.offset = nn.Buffer(torch.zeros(filters))

    @property
    def made(self) -> bool:
        """Whether they are of data, as those are that came with weights."""
        return bool(self.kernel.any())

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or torch.compiler.is_compiling():  # a traced batch has no length yet
            return self._of(x)
        places = prod((length - self.side) // self.stride + 1 for length in x.shape[2:])
        return torch.cat([self._of(part) for part in x.split(max(1, ANSWERS // (CHUNK * places)))])

    def _of(self, x: Tensor) -> Tensor:
        told = self._answers(x)
        return (told + self._answers(x.flip(3))) / 2 if self.mirror else told

    def _answers(self, x: Tensor) -> Tensor:
        deviation = _deviation(x, self.side, self.stride)
        alike: list[Tensor] = []
        unlike: list[Tensor] = []
        for first in range(0, len(self.kernel), CHUNK):
            kernel, offset = self.kernel[first : first + CHUNK], self.offset[first : first + CHUNK, None, None]
            answers = F.conv2d(x, kernel.to(x.dtype), stride=self.stride) / deviation
            for told, over in ((alike, answers - (offset + THRESHOLD)), (unlike, (offset - THRESHOLD) - answers)):
                told.append(quarters(F.relu(over, inplace=True)))
        return torch.cat([*alike, *unlike], dim=1)

    def in_python(self) -> tuple[str, ...]:
        """Lines that give a network `net` its filters, to be loaded, and define their `answers` to x."""
        shapes = {name: tuple(value.shape) for name, value in self.named_buffers()}
        pooled = f"torch.nn.functional.adaptive_avg_pool2d((sign * z - {THRESHOLD}).clamp(min=0), {GRID})"
        once = "answers_once" if self.mirror else "answers"
        both = ("def answers(x):", f"    return ({once}(x) + {once}(x.flip(-1))) / 2", "") if self.mirror else ()
        return (
            "net.patch_filters = torch.nn.Module()",
            f"for name, shape in {shapes}.items():",
            "    net.patch_filters.register_buffer(name, torch.zeros(shape))",
            "",
            f"def {once}(x):",
            f"    means, squares = (torch.nn.functional.avg_pool2d(of.mean(dim=1, keepdim=True), {self.side}, "
            f"{self.stride}) for of in (x, x * x))",
            f"    deviation = ((squares - means**2).clamp(min=0) + {STEADY}).sqrt()",
            f"    alike = torch.nn.functional.conv2d(x, net.patch_filters.kernel, stride={self.stride})",
            "    z = alike / deviation - net.patch_filters.offset[:, None, None]",
            f"    return torch.cat([{pooled}.flatten(1) for sign in (1, -1)], dim=1)",
            "",
            *both,
        )

    @torch.no_grad()
    def start(self, everything: Tensor, seed: int) -> None:
        """Take filters from a sample of the data (N, C, H, W), prepared as inputs are."""
        rng, count = randomness.generator(seed, "patches"), len(self.offset)
        drawn = min(DRAWN, max(4 * count, NUMBERS // self.kernel[0].numel()))
        room = [length - self.side + 1 for length in everything.shape[2:]]
        which, *at = (torch.from_numpy(rng.integers(0, end, drawn)) for end in (len(everything), *room))
        rows, columns = (start[:, None] + torch.arange(self.side) for start in at)
        # Indices that stand apart come first: (N, side, side, C).
        found = everything.cpu()[which[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        raw = found.movedim(3, 1).flatten(1).double()
        spread = raw.var(dim=1, correction=0)
        patches = _without_mean(raw) / (spread[:, None] + STEADY).sqrt()
        mean = patches.mean(dim=0)
        values, vectors = torch.linalg.eigh(torch.cov(patches.mT))
        whitening = vectors * (values.clamp(min=0) + EPSILON).rsqrt() @ vectors.mT
        # Of the half that show most: a patch of one colour is a direction of its noise.
        chosen = spread.argsort(descending=True)[: drawn // 2]
        chosen = chosen[torch.from_numpy(rng.permutation(len(chosen))[:count])]
        kernel = F.normalize((patches[chosen] - mean) @ whitening, dim=1) @ whitening
        self.kernel.copy_(_without_mean(kernel).view_as(self.kernel))  # so that those of x need not lose theirs
        self.offset.copy_(kernel @ mean)


def quarters(x: Tensor) -> Tensor:
    """The mean of each quarter of a map (B, C, H, W): (B, 4 C)."""
    return F.adaptive_avg_pool2d(x, GRID).flatten(1)


def _without_mean(rows: Tensor) -> Tensor:
    return rows - rows.mean(dim=1, keepdim=True)


@in_full_precision
def _deviation(x: Tensor, side: int, stride: int) -> Tensor:
    """Of all numbers of each patch of x (B, C, H, W): (B, 1, h, w)."""
    means, squares = (F.avg_pool2d(of.mean(dim=1, keepdim=True), side, stride) for of in (x, x.square()))
    return ((squares - means.square()).clamp(min=0) + STEADY).sqrt()
