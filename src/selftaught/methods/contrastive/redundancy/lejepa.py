"""LeJEPA (Balestriero and LeCun, 2025): agree, with features that are Gaussian in every direction. https://arxiv.org/abs/2511.08544"""

from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds, randomness
from selftaught.methods.objectives.redundancy import invariance, sigreg
from selftaught.methods.parts.crops import through
from selftaught.methods.parts.heads import mlp


class LeJEPA(Method):
    """Every view must be where the mean of the global ones is, while the features of each view stay a standard normal
    cloud (SIGReg): no teacher, no negatives, no schedule."""

    question = "Where in a round cloud of samples do all my views belong?"
    paper = "https://arxiv.org/abs/2511.08544"
    views: tuple[str, ...] = ("global", "global", "local", "local")
    # The paper: 5e-4 in batches of 512, and six local views. This decay is its vision transformers'; ResNets get 5e-4.
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=0.05)

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        lambd: bounds.Share = 0.05,
        slices: bounds.Width = 1024,
        local_crops: bounds.Crops = 2,
        width: bounds.Width = 1024,
        dim: bounds.Width = 64,
    ) -> None:
        """`lambd` is the share of the regulariser (section 5); `slices` are the directions it looks along, drawn anew
        every step."""
        super().__init__(encoder, data)
        self.views = ("global", "global", *["local"] * local_crops)
        self.lambd, self.slices, self.dim = lambd, slices, dim
        self.projector = mlp(encoder.dim, width, width, dim)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        z = through(lambda x: self.projector(self.encoder(x)), views)
        # The same on all processes, whose features make one cloud; anew each step, or it could be flat elsewhere.
        directions = randomness.whole_normal((self.dim, self.slices), "directions", z.device)
        # View by view: pooled, a sample's views would count as if they were samples of their own.
        round_cloud = sum(sigreg(view, directions) for view in z) / len(z)
        centre = z[:2].mean(dim=0).expand_as(z)
        return {"prediction": (1 - self.lambd) * invariance(z, centre), "sigreg": self.lambd * round_cloud}
