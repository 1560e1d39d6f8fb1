"""iBOT (Zhou et al., 2022): say what your slow self makes of hidden tokens and other views. https://arxiv.org/abs/2111.07832"""

import math
from typing import Literal, cast

import torch
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, TokenEncoder, Training, bounds
from selftaught.methods.objectives.distillation import across_views, distilled, within_views
from selftaught.methods.parts.heads import DistillationHead
from selftaught.methods.parts.masks import ViewMasks
from selftaught.methods.parts.pictures import words
from selftaught.methods.parts.schedules import cosine
from selftaught.methods.parts.teacher import Centring, Teacher


class IBOT(Method):
    """Two global views with blocks hidden: hidden tokens are answered within a view, whole images across views.

    The teacher sees both views whole, and the student local views too, where there are any. One head serves tokens
    and images; each kind of answer has a centre of its own.
    """

    question = "Which visual words would my slow self give the hidden patches, and the other view?"
    paper = "https://arxiv.org/abs/2111.07832"
    views: tuple[str, ...] = ("global", "global")
    # The paper: 5e-4 per 256 in batches of 1,024. Its authors clip each weight's gradient by itself.
    preset = Training(optimizer="adamw", lr=4e-3, weight_decay=0.04, weight_decay_end=0.4, clip=3.0, batch_size=64)
    needs_images = True
    needs_tokens = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        local_crops: bounds.Crops = 0,  # 10 in the paper's longest run
        mask_ratio: bounds.Shares = (0.1, 0.5),
        mask_probability: bounds.Share = 0.5,
        blocks: Literal["cut", "grown"] = "cut",  # grown in the authors' code
        # 8,192 in the paper. With 1,024 words and a teacher that softens to 0.07 the loss went back to chance after an
        # epoch of CIFAR-10, and linear came to 40.0 %; with these two values it learns on, 40.6.
        out_dim: bounds.Outputs = 512,
        head_width: bounds.Width = 512,
        bottleneck: bounds.Width = 128,
        last_layer: Literal["normal", "uniform"] = "normal",  # uniform in the authors' code
        norm_last_layer: bool = True,  # False in the authors' runs of small vision transformers
        temperature: bounds.Temperature = 0.1,
        teacher_temperature: bounds.Temperature = 0.04,
        teacher_temperature_end: bounds.Temperature = 0.04,
        teacher_warmup: bounds.Share = 0.3,
        momentum: bounds.Momentum = 0.99,  # 0.996 in the paper, for 800 epochs
        centre_momentum: bounds.Momentum = 0.9,
        freeze: bounds.Share = 0.02,
    ) -> None:
        """A view has blocks hidden with `mask_probability`, a share of it within `mask_ratio` (section 3.2). As in
        DINO, the teacher's temperature rises during the first `teacher_warmup` of training, and the head's last layer
        rests during the first `freeze` of it; `last_layer` is how the heads' last layer is drawn, whose directions have
        lengths that are learnt without `norm_last_layer`. `blocks` is how hidden ones are drawn: the last one cut where
        the share is reached, or whole ones only, which leaves larger parts in one piece."""
        super().__init__(encoder, data)
        self.views = ("global", "global", *["local"] * local_crops)
        self.masks = ViewMasks(mask_ratio, mask_probability, blocks)
        self.temperature, self.momentum, self.freeze = temperature, momentum, freeze
        self.head = DistillationHead(
            encoder.dim, out_dim, head_width, bottleneck, last_layer=last_layer, norm_last_layer=norm_last_layer
        )
        self.teacher = Teacher(encoder, self.head)
        warming = (teacher_temperature, teacher_temperature_end, teacher_warmup)
        # Two centres: patches and whole images answer with different words.
        self.centring = Centring(out_dim, centre_momentum, *warming)
        self.patch_centring = Centring(out_dim, centre_momentum, *warming)
        self.hole = nn.Parameter(torch.randn(encoder.dim) * 0.02)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        first, second, *local = views
        hidden = self.masks.hidden(views[:2], self.tokens)
        both = torch.cat([first, second])
        seen = self.tokens.tokens(both, hidden=hidden.mask, hole=self.hole)
        with torch.no_grad():
            slow, slow_head = self.teacher.layers
            slow = cast(TokenEncoder, slow)
            whole = slow.tokens(both)
            answer = self.centring(slow_head(slow.feature(whole))).chunk(2)
            # All patches move the centre, but only the hidden ones are asked for.
            answers = self.patch_centring(slow_head(whole.patches), asked=hidden.places)
        said = list(self.head(self.tokens.feature(seen)).chunk(2))
        if local:
            said += self.head(self.encoder(torch.cat(local))).chunk(len(local))
        within = distilled(answers, self.head(hidden.of(seen.patches)), self.temperature)
        return {
            "views": across_views(answer, said, self.temperature),
            "patches": within_views(within, hidden.mask, hidden.places),
        }

    def before_step(self, progress: float) -> None:
        if progress < self.freeze:
            self.head.rest()

    def after_step(self, progress: float) -> None:
        self.teacher.follow(self.encoder, self.head, momentum=cosine(self.momentum, 1.0, progress))
        self.centring.follow(progress)
        self.patch_centring.follow(progress)

    def chance(self, batch: int) -> float:
        # Across views always; within a view only where it has hidden patches.
        return math.log(len(self.head.directions)) * (1 + self.masks.probability)

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        """Which parts share a visual word, as the student that sees only some of them says, and as the teacher."""
        x = views[0]
        hidden = self.masks.hidden(views[:1], self.tokens).mask
        seen = self.tokens.tokens(x, hidden=hidden, hole=self.hole)
        slow, slow_head = self.teacher.layers
        scores = {"answer": self.head(seen.patches), "teacher": slow_head(cast(TokenEncoder, slow).tokens(x).patches)}
        return words(self.tokens, x, hidden, scores)
