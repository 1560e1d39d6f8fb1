"""DINO (Caron et al., 2021): say of every crop what the slow self says of the whole. https://arxiv.org/abs/2104.14294"""

import math
from typing import Literal

from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.distillation import across_views
from selftaught.methods.parts.crops import through
from selftaught.methods.parts.heads import DistillationHead
from selftaught.methods.parts.schedules import cosine
from selftaught.methods.parts.teacher import Centring, Teacher


class DINO(Method):
    """The teacher sees two global views, the student those and local ones; its answer for each must be the teacher's
    for every other global view. A running centre and a low temperature keep the teacher's answers from collapsing."""

    question = "What would my slow self, seeing the whole, say of this crop?"
    paper = "https://arxiv.org/abs/2104.14294"
    views: tuple[str, ...] = ("global", "global", "local", "local")
    # The paper: 5e-4 per 256 in batches of 1,024. Its authors clip each weight's gradient by itself; here `clip` bounds
    # the norm of all together.
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=0.04, weight_decay_end=0.4, clip=3.0)

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        local_crops: bounds.Crops = 2,  # 10 in the paper's longest run; each costs a pass
        out_dim: bounds.Outputs = 4096,  # 65,536 in the paper, for 1.3 million images
        head_width: bounds.Width = 512,
        bottleneck: bounds.Width = 128,
        last_layer: Literal["normal", "uniform"] = "normal",  # uniform in the authors' code
        norm_last_layer: bool = True,  # False in the authors' runs of small vision transformers
        norm: bool = False,
        temperature: bounds.Temperature = 0.1,
        teacher_temperature: bounds.Temperature = 0.04,
        teacher_temperature_end: bounds.Temperature = 0.07,
        # 30 of the paper's 800 epochs are 0.0375: a short run has few steps to warm up in.
        teacher_warmup: bounds.Share = 0.3,
        momentum: bounds.Momentum = 0.99,  # 0.996 in the paper, for far longer runs
        centre_momentum: bounds.Momentum = 0.9,
        freeze: bounds.Share = 0.02,  # an epoch in the authors' code, of 800 that is 0.00125
    ) -> None:
        """`norm` puts batch norm into the head. The teacher's temperature rises during the first `teacher_warmup` of
        training, and the head's last layer rests during the first `freeze` of it; `last_layer` is how the head's last
        layer is drawn, whose directions have lengths that are learnt without `norm_last_layer`."""
        super().__init__(encoder, data)
        self.views = ("global", "global", *["local"] * local_crops)
        self.temperature, self.momentum, self.freeze = temperature, momentum, freeze
        self.head = DistillationHead(encoder.dim, out_dim, head_width, bottleneck, norm, last_layer, norm_last_layer)
        self.teacher = Teacher(encoder, self.head)
        self.centring = Centring(out_dim, centre_momentum, teacher_temperature, teacher_temperature_end, teacher_warmup)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        said = through(lambda x: self.head(self.encoder(x)), views)
        # Of large parts only: the teacher knows more than the student, which also sees small ones.
        answers = self.centring(through(self.teacher, views[:2]))
        return {"distillation": across_views(list(answers), list(said), self.temperature)}

    def before_step(self, progress: float) -> None:
        if progress < self.freeze:
            self.head.rest()

    def after_step(self, progress: float) -> None:
        # After the step, and only where it was taken: a teacher never follows weights that were not finite.
        self.teacher.follow(self.encoder, self.head, momentum=cosine(self.momentum, 1.0, progress))
        self.centring.follow(progress)

    def chance(self, batch: int) -> float:
        return math.log(len(self.head.directions))
