"""W-MSE (Ermolov et al., 2021): agree after whitening, which no collapse survives. https://arxiv.org/abs/2007.06346"""

from torch import Tensor

from selftaught import Data, Encoder, Method, Training, UsageError, bounds, randomness
from selftaught.methods.objectives.distillation import cosine_distance
from selftaught.methods.objectives.redundancy import of_everyone, whitened
from selftaught.methods.parts.crops import through
from selftaught.methods.parts.heads import mlp


class WMSE(Method):
    """Features of each view are whitened over drawn groups of the batch; then paired rows must point the same way."""

    question = "Do both views point the same way once features are made independent?"
    paper = "https://arxiv.org/abs/2007.06346"
    views = ("strong", "strong")
    # The authors: Adam at 2e-3 or 3e-3 on small images.
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=1e-6)

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        group: bounds.Group = 128,
        # 4 in the authors' code on STL-10 and Tiny ImageNet; each whitens the batch once more.
        iterations: bounds.Rounds = 1,
        epsilon: bounds.Share = 1e-4,  # 0 in the authors' code, where a nearly flat batch has no Cholesky factor
        width: bounds.Width = 1024,
        dim: bounds.Width = 64,
        views_apart: bool = False,  # True in the authors' code
    ) -> None:
        """`group` samples are whitened together, at least twice `dim` (section 3); a batch is divided into groups anew
        `iterations` times. `views_apart` gives each view statistics of its own in the encoder's batch norms."""
        super().__init__(encoder, data)
        if group < 2 * dim:
            raise UsageError(f"method wmse option 'group' cannot be {group}: at least twice the dim of {dim}")
        self.group, self.iterations, self.epsilon, self.dim = group, iterations, epsilon, dim
        self.views_apart = views_apart
        self.projector = mlp(encoder.dim, width, dim)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        seen = through(self.encoder, views, self.views_apart)
        # The projector sees both views as one batch, in the authors' code, too.
        z = self.projector(seen.flatten(0, 1)).unflatten(0, (2, -1))
        everyone = of_everyone(z)  # 2 x (all samples) x dim
        count = everyone.shape[1]
        if self.training:  # a look may have fewer samples than a batch, and asks for answers, not for a loss
            self.refuse_batch(count)
        size = min(self.group, count)
        order = randomness.whole((self.iterations, count), "groups", z.device).argsort(dim=1)
        # Whole groups only: what is left over sits out this division of the batch.
        groups = order[:, : count // size * size].reshape(-1, size)
        a, b = whitened(everyone[:, groups], self.epsilon)
        return {"cosine": cosine_distance(a.flatten(0, 1), b.flatten(0, 1))}

    def refuse_batch(self, batch: int) -> None:
        size = min(self.group, batch)
        # Without their mean, samples span one direction less than there are.
        if size < self.dim or (size == self.dim and not self.epsilon):
            way = "a larger --batch-size" + (", or --method.epsilon 0.0001" if size == self.dim else "")
            raise UsageError(f"wmse cannot whiten {self.dim} features of {batch} samples; use {way}")

    def chance(self, batch: int) -> float:
        return 2.0  # the squared distance of unit vectors at right angles
