"""data2vec (Baevski et al., 2022): say what your slow self thinks of the whole. https://arxiv.org/abs/2202.03555"""

from typing import Literal

import torch
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.prediction import weighted_error
from selftaught.methods.parts.masks import MASKS, random_mask, refuse_lone_tokens
from selftaught.methods.parts.pictures import without
from selftaught.methods.parts.schedules import linear
from selftaught.methods.parts.teacher import Teacher, normalised_layers


class Data2Vec(Method):
    """The student sees part of the tokens, and predicts for the others what the teacher makes of the whole sample.

    Targets are the teacher's top blocks, each normalised, averaged (section 3.3). Of images, blocks are hidden
    (section 4.1), of anything else single tokens.

    Over the tokens of a sample (instance), as the paper does it for speech, normalising takes out what all of them have
    in common, which a small network would otherwise learn to say everywhere; its images have each token normalised by
    itself (layer).
    """

    question = "What would my slow self, which sees it all, think of the hidden parts?"
    paper = "https://arxiv.org/abs/2202.03555"
    views = ("light",)
    # Small batches, since a teacher that moves a share each step needs steps: on CIFAR-10 781 steps of 64 samples teach
    # 40.6 %, 195 of 256 teach 37.1. Batches of 32 are no better: 38.9 beside 39.9 after 100,000 samples
    # (docs/results/learns.md).
    preset = Training(optimizer="adamw", lr=4e-3, weight_decay=0.05, batch_size=64)
    needs_tokens = True
    needs_values = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        mask_ratio: bounds.ShareAboveZero = 0.6,
        blocks: Literal["cut", "grown"] = "cut",  # grown in the authors' code
        top_k: bounds.Blocks = 6,  # the paper's; all blocks of a network with fewer
        # Linear after 100,000 samples: 46.6 %. Of the top two blocks 47.9, where the paper's layer norm gives 39.6.
        target_norm: Literal["layer", "instance"] = "instance",
        beta: bounds.Weight = 2.0,  # the paper's
        # 0.9998 in the paper. From 0.99 to 0.999 the teacher comes too late for a short run: 39.9 % in both seeds after
        # 100,000 samples; 39.6 and 41.2 with these (all with layer).
        momentum: bounds.Momentum = 0.97,
        momentum_end: bounds.Momentum = 0.99,
    ) -> None:
        """`top_k` counts the averaged blocks; `beta` is where the smooth L1 error turns linear; the teacher's
        `momentum` rises to `momentum_end` over training, lower than the paper's: a short run must not outrun it.
        `blocks` is how hidden blocks of images are drawn: the last one cut where the share is reached, or, as in BEiT's
        code, whole ones only, which leaves larger parts in one piece."""
        super().__init__(encoder, data)
        refuse_lone_tokens("data2vec", self.tokens, data)
        self.target_norm: Literal["layer", "instance"] = target_norm
        self.blocks, self.mask_ratio, self.beta, self.momentum = (
            MASKS[blocks],
            mask_ratio,
            beta,
            (momentum, momentum_end),
        )
        self.layers = tuple(range(self.tokens.depth))[-top_k:]
        self.hole = nn.Parameter(torch.randn(encoder.dim) * 0.02)
        self.predict = nn.Linear(encoder.dim, encoder.dim)
        self.teacher = Teacher(encoder)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        hidden = self._hidden(x)
        predicted = self.predict(self.tokens.tokens(x, hidden=hidden, hole=self.hole).patches)
        weight = hidden[..., None].to(predicted.dtype)
        return {"smooth_l1": weighted_error(predicted, self._targets(x), weight, "smooth_l1", self.beta)}

    def _hidden(self, x: Tensor) -> Tensor:
        """(B, N) booleans."""
        grid = self.tokens.grid(x.shape[2:])
        if len(grid) == 2:
            return self.blocks(len(x), grid, self.mask_ratio, x.device).flatten(1)
        return random_mask(len(x), grid[0], self.mask_ratio, x.device)[1]

    @torch.no_grad()
    def _targets(self, x: Tensor) -> Tensor:
        """(B, N, dim)"""
        made = normalised_layers(self.teacher.layers[0], x, self.layers, self.target_norm)
        return torch.stack(made).mean(dim=0)

    def after_step(self, progress: float) -> None:
        self.teacher.follow(self.encoder, momentum=linear(*self.momentum, progress))

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        """What the student sees, and is asked about; the answers are thoughts, which cannot be drawn."""
        x, hidden = views[0], self._hidden(views[0])
        return {"input": x, "shown": without(self.tokens, x, hidden), "asked": without(self.tokens, x, ~hidden)}
