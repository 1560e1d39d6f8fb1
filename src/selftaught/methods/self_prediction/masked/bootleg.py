"""Bootleg (Lowe et al., 2026): from one part, predict what others are at several depths. https://arxiv.org/abs/2603.15553"""

from typing import Annotated, Literal

import torch
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.prediction import weighted_error
from selftaught.methods.parts.blocks import Blocks, context_and_targets
from selftaught.methods.parts.decoders import TokenPredictor
from selftaught.methods.parts.masks import refuse_lone_tokens
from selftaught.methods.parts.pictures import shown_and_asked
from selftaught.methods.parts.schedules import linear
from selftaught.methods.parts.teacher import Teacher, normalised_layers


class Bootleg(Method):
    """As in I-JEPA the student sees a part and a narrow predictor answers for other places, but for what the teacher
    makes of them in several of its layers, early and late ones, each normalised: edges as well as meanings.

    The paper hides patches; by which masks, and which layers it takes, is not settled here: masks are I-JEPA's, and
    layers lie at even distances up to the last.
    """

    question = "What are these places, from their edges to their meaning, seen from over there?"
    paper = "https://arxiv.org/abs/2603.15553"
    views = ("light",)
    # I-JEPA's, for the same reasons.
    preset = Training(optimizer="adamw", lr=4e-3, weight_decay=0.04, weight_decay_end=0.4, batch_size=64)
    needs_places = True
    needs_tokens = True
    needs_values = True
    experimental = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        layers: bounds.Blocks = 4,
        target_norm: Literal["layer", "instance"] = "layer",
        targets: Annotated[int, bounds.whole(1, 64)] = 4,
        target_scale: bounds.Shares = (0.15, 0.2),
        target_aspect: bounds.Ratios = (0.75, 1.5),
        context_scale: bounds.Shares = (0.85, 1.0),
        collator: Literal["paper", "authors"] = "paper",
        momentum: bounds.Momentum = 0.99,
        predictor_width: bounds.Width = 96,
        predictor_depth: bounds.Blocks = 3,
        predictor_heads: bounds.Heads = 4,
    ) -> None:
        """`layers` is how many of the teacher's layers are predicted, all of a network with fewer; `target_norm` is
        that of data2vec; the others are those of I-JEPA."""
        super().__init__(encoder, data)
        refuse_lone_tokens("bootleg", self.tokens, data)
        self.blocks = (targets, target_scale, target_aspect, context_scale, collator)
        self.target_norm: Literal["layer", "instance"] = target_norm
        self.momentum = momentum
        self.layers = spaced(self.tokens.depth, layers)
        shape = (predictor_width, predictor_depth, predictor_heads)
        self.predictor = TokenPredictor(encoder.dim, *shape, answers=len(self.layers))
        self.teacher = Teacher(encoder)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        blocks = self._blocks(x)
        seen, grid = self.tokens.tokens(x, keep=blocks.context), self.tokens.grid(x.shape[2:])
        predicted = self.predictor(seen.patches, seen.prefix, blocks.context, blocks.targets, grid)
        target = self._targets(x, blocks)
        return {"smooth_l1": weighted_error(predicted, target, torch.ones_like(target[..., :1]), "smooth_l1")}

    def _blocks(self, x: Tensor) -> Blocks:
        return context_and_targets(len(x), self.tokens.grid(x.shape[2:]), *self.blocks, x.device)

    @torch.no_grad()
    def _targets(self, x: Tensor, blocks: Blocks) -> Tensor:
        """The teacher's layers at every target block, each normalised, side by side (B, M, L, layers * dim)."""
        made = normalised_layers(self.teacher.layers[0], x, self.layers, self.target_norm)
        return blocks.of(torch.cat(made, dim=2))

    def after_step(self, progress: float) -> None:
        self.teacher.follow(self.encoder, momentum=linear(self.momentum, 1.0, progress))

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        return shown_and_asked(self.tokens, views[0], self._blocks(views[0]))


def spaced(depth: int, count: int) -> tuple[int, ...]:
    """Numbers of at most `count` of `depth` layers, at even distances up to the last."""
    count = min(count, depth)
    return tuple(round(depth * (number + 1) / count) - 1 for number in range(count))
