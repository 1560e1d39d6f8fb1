"""VICReg (Bardes et al., 2022): agree across views, keep every feature alive and its own. https://arxiv.org/abs/2105.04906"""

from typing import Annotated

from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.redundancy import covariance, invariance, variance
from selftaught.methods.parts.crops import through
from selftaught.methods.parts.heads import mlp


class VICReg(Method):
    """Invariance between two views, with variance and covariance terms in place of negatives."""

    question = "Do both views agree, with every feature used and none repeated?"
    paper = "https://arxiv.org/abs/2105.04906"
    views = ("strong", "strong_other")
    # The paper: LARS, 0.2 per 256 in batches of 2,048; an expander 8192 wide.
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=1e-4)

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        sim_coeff: bounds.Weight = 25.0,  # all three are the paper's
        std_coeff: bounds.Weight = 25.0,
        cov_coeff: bounds.Weight = 1.0,
        width: Annotated[int, bounds.whole(2, 32_768)] = 1024,
        views_apart: bool = False,  # True in the authors' code
    ) -> None:
        """`views_apart` gives each view batch norm's statistics of its own."""
        super().__init__(encoder, data)
        self.sim_coeff, self.std_coeff, self.cov_coeff = sim_coeff, std_coeff, cov_coeff
        self.views_apart = views_apart
        self.expander = mlp(encoder.dim, width, width, width)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        a, b = through(lambda x: self.expander(self.encoder(x)), views, self.views_apart)
        return {
            "invariance": self.sim_coeff * invariance(a, b),
            # Half the sum, as in the authors' code; equation 6 has the whole. Covariances are summed in both.
            "variance": self.std_coeff * (variance(a) + variance(b)) / 2,
            "covariance": self.cov_coeff * (covariance(a) + covariance(b)),
        }
