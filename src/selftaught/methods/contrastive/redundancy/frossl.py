"""FroSSL (Skean et al., 2024): agree, with the smallest Frobenius norm a covariance can have. https://arxiv.org/abs/2310.02903"""

from typing import Annotated, Literal

import torch.nn.functional as F
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds, precise
from selftaught.methods.objectives.redundancy import log_frobenius, standardised
from selftaught.methods.parts.crops import through
from selftaught.methods.parts.heads import mlp

LEAST = 1e-6  # deviation of a feature, by which it is divided


class FroSSL(Method):
    """Every view must be where the mean of all views is, while the covariance of each view's features has a Frobenius
    norm that is small for its trace: no direction then has more than another, and nothing had to be decomposed."""

    question = "Do all my views agree, with no direction that says more than another?"
    paper = "https://arxiv.org/abs/2310.02903"
    views: tuple[str, ...] = ("strong", "strong")
    # The authors: LARS, 0.3 per 256 in batches of 256.
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=1e-4)
    experimental = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        strong_views: Annotated[int, bounds.whole(2, 64)] = 2,
        # The authors' for two views of 1,024 features in batches of 256: 2 D / N, as their features have norm sqrt(D)
        # over the batch where ours have deviation one.
        lambd: bounds.Weight = 8.0,
        normalise: Literal["features", "samples"] = "features",
        width: bounds.Width = 1024,
        dim: bounds.Width = 512,
    ) -> None:
        """`lambd` weighs the squared distance from the mean view; `normalise` gives each of the features mean 0 and
        deviation 1 over the batch, as the authors do for two views, or all of a sample's together the length sqrt(D),
        as they do for more."""
        super().__init__(encoder, data)
        self.views = ("strong",) * strong_views
        self.lambd, self.normalise = lambd, normalise
        self.projector = mlp(encoder.dim, width, width, dim)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        z = precise(through(lambda x: self.projector(self.encoder(x)), views))
        z = self._normalised(z)
        return {
            "invariance": self.lambd * (z - z.mean(dim=0)).square().mean(),
            "frobenius": log_frobenius(z).mean(),
        }

    def _normalised(self, z: Tensor) -> Tensor:
        if self.normalise == "samples":
            return z.shape[2] ** 0.5 * F.normalize(z, dim=2)
        return standardised(z, LEAST**2)
