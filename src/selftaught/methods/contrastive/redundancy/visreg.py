"""VISReg (Wu et al., 2026): agree, with features of unit scale and, apart from that, Gaussian. https://arxiv.org/abs/2606.02572"""

from typing import Annotated

from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds, precise, randomness
from selftaught.methods.objectives.redundancy import invariance, offset, scale_gap, shape_gap
from selftaught.methods.parts.crops import through
from selftaught.methods.parts.heads import mlp


class VISReg(Method):
    """Every view must be where the mean of the global ones is, while the features of each view are centred, have
    deviation one, and along any direction the quantiles of a normal: three terms, of which the one for the scale pulls
    apart what has collapsed."""

    question = "Where do all my views belong, in a cloud that keeps its size and is round besides?"
    paper = "https://arxiv.org/abs/2606.02572"
    views: tuple[str, ...] = ("global", "global", "local", "local")
    # The authors: 9e-4, four global and six local views.
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=0.05)
    experimental = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        lambd: bounds.Share = 0.6,  # 0.9 on ImageNet
        slices: bounds.Width = 1024,  # 4,096 in the authors' settings
        scale: bounds.Weight = 1.0,  # the paper's, as the two below
        shape: bounds.Weight = 1.0,
        center: bounds.Weight = 1.0,
        global_crops: Annotated[int, bounds.whole(1, 64)] = 2,
        local_crops: bounds.Crops = 2,
        width: bounds.Width = 1024,
        dim: bounds.Width = 64,
    ) -> None:
        """`lambd` is the share of the regulariser, in which `scale`, `shape` and `center` weigh its terms; `slices` are
        the directions that it looks along, drawn anew every step."""
        super().__init__(encoder, data)
        self.views = (*["global"] * global_crops, *["local"] * local_crops)
        self.lambd, self.slices, self.dim, self.global_crops = lambd, slices, dim, global_crops
        self.weights = {"scale": scale, "shape": shape, "center": center}
        self.projector = mlp(encoder.dim, width, width, dim)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        z = precise(through(lambda x: self.projector(self.encoder(x)), views))
        directions = randomness.whole_normal((self.dim, self.slices), "directions", z.device)
        # View by view, as a sample's views are no samples.
        terms = {"scale": scale_gap(z), "shape": shape_gap(z, directions), "center": offset(z)}
        centre = z[: self.global_crops].mean(dim=0).expand_as(z)
        told = {"prediction": (1 - self.lambd) * invariance(z, centre)}
        return told | {name: self.lambd * self.weights[name] * term for name, term in terms.items()}
