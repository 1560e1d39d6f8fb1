"""SimDINO (Wu et al., 2025): DINO with the coding rate in place of prototypes and tricks. https://arxiv.org/abs/2502.10385"""

from typing import Literal, cast

import torch
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, TokenEncoder, Training, UsageError, bounds, distributed
from selftaught.methods.objectives.distillation import half_distance, views_apart, within_views
from selftaught.methods.objectives.redundancy import coding_rate
from selftaught.methods.parts.crops import through
from selftaught.methods.parts.heads import bottleneck_mlp
from selftaught.methods.parts.masks import ViewMasks
from selftaught.methods.parts.schedules import cosine
from selftaught.methods.parts.teacher import Teacher


class SimDINO(Method):
    """The student's feature of every view is to lie where the teacher's of the other global view does, on the sphere;
    the coding rate keeps a batch's features in all directions. Nothing is centred, sharpened or sorted.

    With `patch_weight` the student also says the teacher's features of hidden patches (SimDINOv2).
    """

    question = "Where does my slow self, seeing the whole, put this crop among all others?"
    paper = "https://arxiv.org/abs/2502.10385"
    views: tuple[str, ...] = ("global", "global", "local", "local")
    # The authors: 5e-4 per 256 in batches of 512.
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=0.04, weight_decay_end=0.4, clip=3.0)
    experimental = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        local_crops: bounds.Crops = 2,  # the authors' 10
        width: bounds.Width = 512,  # theirs: 2,048, and a dim of 256
        dim: bounds.Width = 128,
        epsilon: bounds.Positive = 0.05,
        rate_weight: bounds.Weight = 1.0,
        smooth: bool = True,
        momentum: bounds.Momentum = 0.99,  # theirs: 0.996 for 100 epochs; SimDINOv2 0.9
        patch_weight: bounds.Weight = 0.0,  # 1 in SimDINOv2
        mask_ratio: bounds.Shares = (0.1, 0.5),
        mask_probability: bounds.Share = 0.5,
        blocks: Literal["cut", "grown"] = "cut",
    ) -> None:
        """`epsilon` is the distortion that the coding rate allows, `rate_weight` its weight beside that of the authors,
        which goes with batch and `dim`; where it is `smooth`, the rate is taken of the mean of student and teacher.
        Where `patch_weight` is not 0, global views have blocks hidden from the student as in iBOT."""
        super().__init__(encoder, data)
        self.views = ("global", "global", *["local"] * local_crops)
        self.epsilon, self.rate_weight, self.smooth, self.momentum = epsilon, rate_weight, smooth, momentum
        self.patch_weight, self.masks = patch_weight, ViewMasks(mask_ratio, mask_probability, blocks)
        self.head = bottleneck_mlp(encoder.dim, width, dim)
        self.teacher = Teacher(encoder, self.head)
        if patch_weight:
            if not isinstance(encoder, TokenEncoder) or len(data.shape) != 3:
                raise UsageError("simdino hides patches of images, by 'patch_weight', from a vision transformer alone")
            self.hole = nn.Parameter(torch.randn(encoder.dim) * 0.02)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        if self.patch_weight:
            return self._with_patches(*views)
        return self._terms(through(self.teacher, views[:2]), through(lambda x: self.head(self.encoder(x)), views))

    def _terms(self, answers: Tensor, said: Tensor) -> dict[str, Tensor]:
        """Of the teacher's features (2, B, dim) and the student's (V, B, dim)."""
        unit, target = (nn.functional.normalize(x, dim=2) for x in (said[:2], answers))
        spread = (unit + target) / 2 if self.smooth else unit
        rate = coding_rate(spread, self.epsilon).mean()
        count, dim = said.shape[1] * distributed.world_size(), said.shape[2]
        return {
            "distance": views_apart(answers, said),
            "coding_rate": -self.rate_weight * (count + dim) / (count * dim) * rate,
        }

    def _with_patches(self, *views: Tensor) -> dict[str, Tensor]:
        both, local = torch.cat(views[:2]), views[2:]
        hidden = self.masks.hidden(views[:2], self.tokens)
        seen = self.tokens.tokens(both, hidden=hidden.mask, hole=self.hole)
        said = self.head(self.tokens.feature(seen)).unflatten(0, (2, -1))
        if local:
            said = torch.cat([said, through(lambda x: self.head(self.encoder(x)), local)])
        with torch.no_grad():
            slow, slow_head = self.teacher.layers
            whole = cast(TokenEncoder, slow).tokens(both)
            answers = slow_head(cast(TokenEncoder, slow).feature(whole)).unflatten(0, (2, -1))
            wanted = slow_head(hidden.of(whole.patches))
        apart = half_distance(wanted, self.head(hidden.of(seen.patches)))
        return {
            **self._terms(answers, said),
            "patches": self.patch_weight * within_views(apart, hidden.mask, hidden.places),
        }

    def after_step(self, progress: float) -> None:
        self.teacher.follow(self.encoder, self.head, momentum=cosine(self.momentum, 1.0, progress))
