"""BYOL (Grill et al., 2020): predict what a slow copy of yourself makes of another view. https://arxiv.org/abs/2006.07733"""

from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.distillation import cosine_distance
from selftaught.methods.parts.crops import through
from selftaught.methods.parts.heads import mlp
from selftaught.methods.parts.schedules import cosine
from selftaught.methods.parts.teacher import Teacher


class BYOL(Method):
    """The student predicts the teacher's projection of the other view; the teacher follows the student.

    Both views go through the student together, and through the teacher together; `views_apart` gives each of them
    batch norm's statistics of its own.
    """

    question = "What does my slow self say of the other view?"
    paper = "https://arxiv.org/abs/2006.07733"
    views = ("strong", "strong_other")
    # The paper: LARS, 0.2 per 256 in batches of 4,096; heads 4096 wide.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4)

    # 0.996 in the paper for 1,000 epochs, 0.97 in its authors' code for 40: in a short run the teacher must keep up.
    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        momentum: bounds.Momentum = 0.99,
        width: bounds.Width = 1024,
        dim: bounds.Width = 256,
        views_apart: bool = False,  # True in the authors' code
    ) -> None:
        super().__init__(encoder, data)
        self.momentum, self.views_apart = momentum, views_apart
        self.projector = mlp(encoder.dim, width, dim)
        self.predictor = mlp(dim, width, dim)
        self.teacher = Teacher(encoder, self.projector)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        said = through(lambda x: self.predictor(self.projector(self.encoder(x))), views, self.views_apart)
        (predicted_a, predicted_b), (target_a, target_b) = said, through(self.teacher, views, self.views_apart)
        return {"cosine": cosine_distance(predicted_a, target_b) + cosine_distance(predicted_b, target_a)}

    def after_step(self, progress: float) -> None:
        # Section 3.3 of the paper: the average slows down along a cosine until it stands still.
        self.teacher.follow(self.encoder, self.projector, momentum=cosine(self.momentum, 1.0, progress))
