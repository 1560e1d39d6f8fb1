"""I-JEPA (Assran et al., 2023): from one part, predict what others mean. https://arxiv.org/abs/2301.08243"""

from typing import Annotated, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught import Data, Encoder, Method, TokenEncoder, Training, bounds, precise
from selftaught.methods.objectives.prediction import weighted_error
from selftaught.methods.parts.blocks import Blocks, context_and_targets
from selftaught.methods.parts.decoders import TokenPredictor
from selftaught.methods.parts.masks import refuse_lone_tokens
from selftaught.methods.parts.pictures import shown_and_asked
from selftaught.methods.parts.schedules import linear
from selftaught.methods.parts.teacher import Teacher


class IJEPA(Method):
    """The student sees a context block; a narrow predictor says the teacher's tokens of several target blocks.

    The teacher sees the whole image. No pixels are predicted, and no view but the image itself is needed.
    """

    question = "What do these places mean, seen from over there?"
    paper = "https://arxiv.org/abs/2301.08243"
    views = ("light",)
    # Small batches, since a teacher that moves a share each step needs steps: on CIFAR-10 781 steps of 64 samples teach
    # 41.5 %, 195 of 256 teach 36.5 (docs/results/learns.md). The paper: 1.25e-4 per 256 in batches of 2,048.
    preset = Training(optimizer="adamw", lr=4e-3, weight_decay=0.04, weight_decay_end=0.4, batch_size=64)
    needs_places = True
    needs_tokens = True
    needs_values = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        targets: Annotated[int, bounds.whole(1, 64)] = 4,
        target_scale: bounds.Shares = (0.15, 0.2),
        target_aspect: bounds.Ratios = (0.75, 1.5),
        context_scale: bounds.Shares = (0.85, 1.0),
        collator: Literal["paper", "authors"] = "paper",
        momentum: bounds.Momentum = 0.99,  # 0.996 in the paper, for 600 epochs
        predictor_width: bounds.Width = 96,  # the paper: 384, 6 blocks, 12 heads
        predictor_depth: bounds.Blocks = 3,
        predictor_heads: bounds.Heads = 4,
    ) -> None:
        """`collator` is how blocks are drawn: as the paper says it, or as its authors' code does, which shows less: of
        8 x 8 tokens 14 in place of 21, of 14 x 14 59 in place of 68 (in batches of 32 and 16)."""
        super().__init__(encoder, data)
        refuse_lone_tokens("ijepa", self.tokens, data)
        self.blocks = (targets, target_scale, target_aspect, context_scale, collator)
        self.momentum = momentum
        self.predictor = TokenPredictor(encoder.dim, predictor_width, predictor_depth, predictor_heads)
        self.teacher = Teacher(encoder)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        blocks = self._blocks(x)
        seen, grid = self.tokens.tokens(x, keep=blocks.context), self.tokens.grid(x.shape[2:])
        # Where there is a class token, it goes to the predictor as well; the authors' network has none, nor has the
        # recipe's.
        predicted = self.predictor(seen.patches, seen.prefix, blocks.context, blocks.targets, grid)
        target = self._targets(x, blocks)
        # The paper writes a squared distance; its authors' code takes this one, which a few far tokens sway less.
        return {"smooth_l1": weighted_error(predicted, target, torch.ones_like(target[..., :1]), "smooth_l1")}

    def _blocks(self, x: Tensor) -> Blocks:
        return context_and_targets(len(x), self.tokens.grid(x.shape[2:]), *self.blocks, x.device)

    @torch.no_grad()
    def _targets(self, x: Tensor, blocks: Blocks) -> Tensor:
        """The teacher's tokens of every target block, normalised (B, M, L, dim)."""
        whole = precise(cast(TokenEncoder, self.teacher.layers[0]).tokens(x).patches)
        return blocks.of(F.layer_norm(whole, whole.shape[-1:]))

    def after_step(self, progress: float) -> None:
        self.teacher.follow(self.encoder, momentum=linear(self.momentum, 1.0, progress))

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        return shown_and_asked(self.tokens, views[0], self._blocks(views[0]))
