"""AET (Zhang et al., 2019): how was the image transformed? https://arxiv.org/abs/1901.04596"""

import torch
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds, devices, randomness
from selftaught.methods.objectives.prediction import weighted_error
from selftaught.methods.parts.damage import warped
from selftaught.methods.parts.heads import mlp

CORNERS = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))  # x and y, in half sides from the middle


class Transformation(Method):
    """Two views are encoded, one of them transformed; from both features the projective transformation is predicted.

    It is described by where the four corners go, which is as many numbers as the paper's matrix has, all of one size.
    """

    question = "How was the image turned, scaled and tilted?"
    paper = "https://arxiv.org/abs/1901.04596"
    views: tuple[str, ...] = ("light", "light")
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4, batch_size=128)
    needs_images = True
    needs_turns = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        scale: bounds.Ratios = (0.8, 1.2),
        shift: bounds.Share = 0.125,  # with `scale` the paper's
        # CIFAR-10, untrained 41.7 %: 40.3 and 39.7 after 50,000 and 150,000 samples with the paper's pair, 43.6 after
        # 50,000 with two views (docs/results/learns.md). On a vision transformer 50,000 bring the loss to 0.83 (0.76 on
        # a ResNet), 39.1 % linear (untrained 36.4), and neighbours that are worse than untrained ones (23.1, 27.2).
        apart: bool = True,
        colors: bounds.Share = 0.0,
        width: bounds.Width = 512,
    ) -> None:
        """Corners are scaled by a factor within `scale`, turned by quarter turns and moved by up to `shift` of a side
        (section 4.1). The paper encodes an image and the same transformed, as is done without `apart`; small images
        can then be laid over each other, and features get worse than untrained ones. So the one that is transformed is
        another view: a deviation. `colors` is our extension: brightness and contrast change by up to this share as
        well, and are asked for."""
        super().__init__(encoder, data)
        self.scale, self.shift, self.colors = scale, shift, colors
        self.views = ("light", "light") if apart else ("light",)
        low, high = scale
        # The variance of a corner's coordinate: of its scale, with turns about the middle, and of its shift.
        self.deviation = ((low**2 + low * high + high**2 + (2 * shift) ** 2) / 3) ** 0.5
        self.predict = mlp(2 * encoder.dim, width, 10 if colors else 8)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        _, target, predicted = self._ask(*views)
        return {"transformation": weighted_error(predicted, target, torch.ones_like(target))}

    def _ask(self, *views: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Transformed views, what was done to them and what is said of it (B, 8 or 10), both of unit variance."""
        x, other = views[0], views[-1]
        draws = randomness.uniform((len(x), 12), "transformation", x.device)
        corners = self._corners(draws[:, :10])
        made, target = warped(other, corners), corners.flatten(1) / self.deviation
        if self.colors:
            share = 2 * draws[:, 10:] - 1
            contrast, brightness = (self.colors * share).unsqueeze(2).unsqueeze(3).split(1, dim=1)
            made = made * (1 + contrast) + brightness
            # A uniform number between -1 and 1 has variance 1/3; all targets are to weigh alike.
            target = torch.cat([target, share * 3**0.5], dim=1)
        features = self.encoder(torch.cat([x, made])).chunk(2)
        return made, target, self.predict(torch.cat(features, dim=1))

    def _corners(self, draws: Tensor) -> Tensor:
        """Where the corners are looked up (B, 4, 2)."""
        turn = randomness.indices(draws[:, 0], 4)
        # A quarter turn takes every corner to the place of the next.
        order = (torch.arange(4, device=draws.device) + turn[:, None]) % 4
        turned = devices.constant(CORNERS, draws)[order]
        low, high = self.scale
        scaled = turned * (low + draws[:, 1, None, None] * (high - low))
        return scaled + 2 * self.shift * (2 * draws[:, 2:].view(-1, 4, 2) - 1)

    def chance(self, batch: int) -> float:
        return 1.0  # the variance of the targets

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        made, _, predicted = self._ask(*views)
        return {"input": x, "shown": made, "answer": warped(x, (predicted[:, :8] * self.deviation).view(-1, 4, 2))}
