"""Barlow Twins (Zbontar et al., 2021): same feature, same value; other features, other things. https://arxiv.org/abs/2103.03230"""

from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.redundancy import cross_correlation, off_diagonal
from selftaught.methods.parts.crops import through
from selftaught.methods.parts.heads import mlp


class BarlowTwins(Method):
    """The correlation of two views' features, taken over the batch, must be the identity matrix."""

    question = "Does each of my features say the same of both views, and nothing that another says?"
    paper = "https://arxiv.org/abs/2103.03230"
    views = ("strong", "strong_other")
    # The paper: LARS, 0.2 per 256 in batches of 2,048; a projector 8192 wide.
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=1e-4)

    # The paper's lambda (0.0051 in its code); 0.1 is solo-learn's scale on CIFAR, 0.024 the authors' first on ImageNet.
    # Under LARS it acts on norms and biases alone, for which they have since had a rate (training.bias_lr).
    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        lambd: bounds.Weight = 0.005,
        scale_loss: bounds.Weight = 0.1,
        width: bounds.Width = 1024,
        views_apart: bool = False,  # True in the authors' code
    ) -> None:
        """`lambd` weighs what lies beside the diagonal; `scale_loss` weighs the whole, as the authors' first code did;
        `views_apart` gives each view batch norm's statistics of its own."""
        super().__init__(encoder, data)
        self.lambd, self.scale_loss, self.views_apart = lambd, scale_loss, views_apart
        self.projector = mlp(encoder.dim, width, width, width)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        a, b = through(lambda x: self.projector(self.encoder(x)), views, self.views_apart)
        matrix = cross_correlation(a, b)
        return {
            "invariance": self.scale_loss * (matrix.diagonal() - 1).square().sum(),
            "redundancy": self.scale_loss * self.lambd * off_diagonal(matrix),
        }
