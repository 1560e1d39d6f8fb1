"""DINOv2 (Oquab et al., 2023): DINO of views and iBOT of patches, with a head each. https://arxiv.org/abs/2304.07193"""

import math
from typing import Literal, cast

import torch
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, TokenEncoder, Training, bounds
from selftaught.methods.objectives.distillation import across_views, distilled, within_views
from selftaught.methods.objectives.redundancy import koleo
from selftaught.methods.parts.heads import DistillationHead
from selftaught.methods.parts.masks import Hidden, ViewMasks
from selftaught.methods.parts.pictures import words
from selftaught.methods.parts.schedules import cosine
from selftaught.methods.parts.teacher import Evening, Teacher


class DINOv2(Method):
    """Of every view the student says what the teacher says of the other global one, and of hidden patches what it says
    of them; Sinkhorn's steps even the answers out, and a student's features of a batch are kept apart (KoLeo).

    To go on from public weights: `--encoder vit_small_patch14_dinov2 --encoder.pool token --init timm`, at a much lower
    rate than from nothing, as in recipes/dinov2_continued.yaml. Heads are not published, and start anew.
    """

    question = "What would my slow self say of the other view, and of the hidden patches?"
    paper = "https://arxiv.org/abs/2304.07193"
    views: tuple[str, ...] = ("global", "global", "local", "local")
    # The authors: 1e-4 per 256 in batches of 3,072, growing with the root. They clip the backbone's and each head's
    # gradients apart; here `clip` bounds the norm of all together.
    preset = Training(optimizer="adamw", lr=4e-3, weight_decay=0.04, weight_decay_end=0.4, clip=3.0, batch_size=64)
    needs_images = True
    needs_tokens = True
    experimental = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        local_crops: bounds.Crops = 2,  # the authors' 8
        mask_ratio: bounds.Shares = (0.1, 0.5),
        mask_probability: bounds.Share = 0.5,
        blocks: Literal["cut", "grown"] = "cut",  # grown in the authors' code
        out_dim: bounds.Outputs = 512,  # 131,072 each in the authors' runs, for 142 million images
        patch_out_dim: bounds.Outputs = 512,
        head_width: bounds.Width = 512,
        bottleneck: bounds.Width = 128,
        patch_bottleneck: bounds.Width = 128,
        last_layer: Literal["normal", "uniform"] = "normal",  # uniform in the authors' code
        norm_last_layer: bool = True,  # False there
        temperature: bounds.Temperature = 0.1,
        teacher_temperature: bounds.Temperature = 0.04,
        # 0.07 and, of KoLeo, 0.1 in the paper. With both, the loss of views came to 6.18 after 10,000 samples of
        # CIFAR-10, hardly below chance (6.24), and to 6.07 after 4,000 with these (one seed each).
        teacher_temperature_end: bounds.Temperature = 0.04,
        teacher_warmup: bounds.Share = 0.3,
        sinkhorn_iterations: bounds.Rounds = 3,
        koleo_weight: bounds.Weight = 0.02,
        momentum: bounds.Momentum = 0.99,  # 0.994 in the authors' runs of 625,000 steps
        freeze: bounds.Share = 0.02,
    ) -> None:
        """A view has blocks hidden with `mask_probability`, a share of it within `mask_ratio`. As in DINO, the
        teacher's temperature rises during the first `teacher_warmup` of training, and the heads' last layers rest
        during the first `freeze` of it; `last_layer`, `norm_last_layer` and `blocks` are those of iBOT.
        `koleo_weight` is that of each global view."""
        super().__init__(encoder, data)
        self.views = ("global", "global", *["local"] * local_crops)
        self.masks = ViewMasks(mask_ratio, mask_probability, blocks)
        self.temperature, self.momentum, self.freeze = temperature, momentum, freeze
        self.koleo_weight = koleo_weight
        how = (False, last_layer, norm_last_layer)
        self.head = DistillationHead(encoder.dim, out_dim, head_width, bottleneck, *how)
        self.patch_head = DistillationHead(encoder.dim, patch_out_dim, head_width, patch_bottleneck, *how)
        self.teacher = Teacher(encoder, self.head, self.patch_head)
        self.evening = Evening(sinkhorn_iterations, teacher_temperature, teacher_temperature_end, teacher_warmup)
        self.hole = nn.Parameter(torch.randn(encoder.dim) * 0.02)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        both, local = torch.cat(views[:2]), views[2:]
        hidden = self.masks.hidden(views[:2], self.tokens)
        answer, answers = self._answers(both, hidden)
        seen = self.tokens.tokens(both, hidden=hidden.mask, hole=self.hole)
        features = self.tokens.feature(seen)
        said = list(self.head(features).chunk(2))
        if local:
            said += self.head(self.encoder(torch.cat(local))).chunk(len(local))
        within = distilled(answers, self.patch_head(hidden.of(seen.patches)), self.temperature)
        return {
            "views": across_views(answer.chunk(2), said, self.temperature),
            "patches": within_views(within, hidden.mask, hidden.places),
            # Each view by itself: the two of a sample are meant to be near each other.
            "koleo": self.koleo_weight * torch.stack([koleo(view) for view in features.chunk(2)]).sum(),
        }

    @torch.no_grad()
    def _answers(self, both: Tensor, hidden: Hidden) -> tuple[Tensor, Tensor]:
        """The teacher's answers of whole views (2B, K) and of their hidden patches (M, K), which it sees."""
        slow, head, patch_head = self.teacher.layers
        whole = cast(TokenEncoder, slow).tokens(both)
        feature = cast(TokenEncoder, slow).feature(whole)
        return self.evening(head(feature)), self.evening(patch_head(hidden.of(whole.patches)))

    def before_step(self, progress: float) -> None:
        if progress < self.freeze:
            self.head.rest()
            self.patch_head.rest()

    def after_step(self, progress: float) -> None:
        self.teacher.follow(self.encoder, self.head, self.patch_head, momentum=cosine(self.momentum, 1.0, progress))
        self.evening.follow(progress)

    def chance(self, batch: int) -> float:
        # Of the answers; how far apart features lie is no matter of chance, and adds little.
        each = [math.log(len(head.directions)) for head in (self.head, self.patch_head)]
        return each[0] + self.masks.probability * each[1]

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        """Which parts share a visual word, as the student that sees only some of them says, and as the teacher."""
        x = views[0]
        hidden = self.masks.hidden(views[:1], self.tokens).mask
        seen = self.tokens.tokens(x, hidden=hidden, hole=self.hole)
        slow, _, patch_head = self.teacher.layers
        whole = cast(TokenEncoder, slow).tokens(x)
        scores = {"answer": self.patch_head(seen.patches), "teacher": patch_head(whole.patches)}
        return words(self.tokens, x, hidden, scores)
