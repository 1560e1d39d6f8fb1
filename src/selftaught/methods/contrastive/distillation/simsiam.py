"""SimSiam (Chen and He, 2021): predict your own other view, and stop there. https://arxiv.org/abs/2011.10566"""

from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.distillation import negative_cosine
from selftaught.methods.parts.crops import through
from selftaught.methods.parts.heads import mlp


class SimSiam(Method):
    """A predictor says the projection of the other view, through which no gradient flows: no teacher, no negatives.

    The predictor's learning rate stays where it is while the others' falls (section 4.2).
    """

    question = "What would I say of my other view?"
    paper = "https://arxiv.org/abs/2011.10566"
    views = ("strong", "strong")
    # The paper's own settings: SGD without LARS, 0.05 per 256 (in batches of 512), and norms decay with the rest. Needs
    # more samples than others: 42.1 % linear after 50,000 of CIFAR-10, 43.5 after 150,000 (untrained 41.7;
    # docs/results/learns.md).
    preset = Training(optimizer="sgd", lr=0.05, weight_decay=1e-4, fixed_lr=("predictor",), decay_norms=True)

    # Half the paper's widths; the predictor keeps its bottleneck of a quarter.
    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        width: bounds.Width = 1024,
        dim: bounds.Width = 1024,
        predictor_width: bounds.Width = 256,
        views_apart: bool = False,  # True in the authors' code
    ) -> None:
        """`views_apart` gives each view batch norm's statistics of its own."""
        super().__init__(encoder, data)
        self.views_apart = views_apart
        self.projector = mlp(encoder.dim, width, width, dim, last_norm=True)
        self.predictor = mlp(dim, predictor_width, dim)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        z = through(lambda x: self.projector(self.encoder(x)), views, self.views_apart)
        predicted_a, predicted_b = through(self.predictor, z.unbind(), self.views_apart)
        # Without this stop of the gradient all features become one (section 4.1).
        target_a, target_b = z.detach()
        loss = negative_cosine(predicted_a, target_b) + negative_cosine(predicted_b, target_a)
        return {"negative_cosine": loss / 2}
