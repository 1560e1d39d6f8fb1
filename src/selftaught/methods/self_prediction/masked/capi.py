"""CAPI (Darcet et al., 2025): to which cluster does what is hidden here belong? https://arxiv.org/abs/2502.08769"""

import math
from typing import cast

import torch
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, TokenEncoder, Training, bounds
from selftaught.methods.objectives.clusters import sinkhorn
from selftaught.methods.objectives.distillation import distilled
from selftaught.methods.objectives.similarity import cosines
from selftaught.methods.parts.decoders import CrossDecoder
from selftaught.methods.parts.heads import Prototypes
from selftaught.methods.parts.masks import inverse_block, refuse_lone_tokens, some_of
from selftaught.methods.parts.pictures import words
from selftaught.methods.parts.schedules import cosine
from selftaught.methods.parts.teacher import Teacher


class CAPI(Method):
    """The slow self's patches are put into clusters, which are learnt along the way; the student sees one block, and
    says of places outside of it into which cluster the slow self puts what is there.

    At each place of the grid by itself the patches of a batch use all clusters alike: or clusters would come to say
    where a patch lies, which anybody can predict. Questions look at what was seen, and never at each other.

    The authors give the clusters' layer an optimiser of half the rate, and the encoder registers and rotary positions;
    here all learn at one rate, and the encoder is whatever it is.
    """

    question = "To which kind of patch does what is hidden at this place belong?"
    paper = "https://arxiv.org/abs/2502.08769"
    views = ("light",)
    # The authors: 1e-3 in batches of 16,384, betas 0.9 and 0.95.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=0.1, betas=(0.9, 0.95), batch_size=128)
    needs_places = True
    needs_tokens = True
    needs_values = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        clusters: bounds.Outputs = 256,  # the paper: 16,384, in batches of as many images
        mask_ratio: bounds.ShareAboveZero = 0.65,
        prediction_ratio: bounds.ShareAboveZero = 0.65,  # the paper: 0.05 of larger grids
        temperature: bounds.Temperature = 0.12,
        cluster_temperature: bounds.Temperature = 0.06,
        sinkhorn_iterations: bounds.Rounds = 3,
        momentum: bounds.Momentum = 0.99,  # the paper: 0.999 in runs of 500,000 steps
        decoder_width: bounds.Width = 128,
        decoder_depth: bounds.Blocks = 2,  # the paper: 12 blocks behind 24
        decoder_heads: bounds.Heads = 4,
    ) -> None:
        """`prediction_ratio` is the share of all patches that is asked for, all hidden ones at most; `temperature` is
        that of what the student says and of what the clusters learn from, `cluster_temperature` that of their answers.
        """
        super().__init__(encoder, data)
        refuse_lone_tokens("capi", self.tokens, data)
        self.mask_ratio, self.prediction_ratio = mask_ratio, prediction_ratio
        self.temperature, self.cluster_temperature = temperature, cluster_temperature
        self.iterations, self.momentum = sinkhorn_iterations, momentum
        self.decoder = CrossDecoder(encoder.dim, decoder_width, decoder_width, decoder_depth, decoder_heads, layers=1)
        self.said = Prototypes(decoder_width, clusters)
        self.clusters = nn.Linear(encoder.dim, clusters)
        nn.init.normal_(self.clusters.weight)  # of features of unit length
        nn.init.zeros_(self.clusters.bias)
        self.teacher = Teacher(encoder)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        keep, hidden = self._masked(x)
        asked = some_of(hidden, keep, self.prediction_ratio)
        scores = self._scores(x)
        answers = self._answers(scores)
        target = answers.gather(1, asked[..., None].expand(-1, -1, answers.shape[2]))
        return {
            "patches": distilled(target, self._said(x, keep, asked), self.temperature).sum() / asked.numel(),
            "clusters": distilled(answers, scores, self.temperature).mean(),
        }

    def _masked(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return inverse_block(len(x), self.tokens.grid(x.shape[2:]), self.mask_ratio, x.device)

    def _said(self, x: Tensor, keep: Tensor, asked: Tensor) -> Tensor:
        """The student's scores (B, M, K) of places asked for (B, M)."""
        made = self.tokens.tokens(x, keep=keep)
        seen = torch.cat([made.prefix, made.patches], dim=1)
        return cast(Tensor, self.said(self.decoder((seen,), asked, self.tokens.grid(x.shape[2:]))))

    def _scores(self, x: Tensor) -> Tensor:
        """Scores (B, N, K) of all patches that the teacher sees, from which clusters learn."""
        with torch.no_grad():
            whole = cast(TokenEncoder, self.teacher.layers[0]).tokens(x).patches
        return cosines(whole, self.clusters.weight) + self.clusters.bias

    @torch.no_grad()
    def _answers(self, scores: Tensor) -> Tensor:
        """Clusters (B, N, K) of scores, which at each place by itself are used alike."""
        return sinkhorn(scores.transpose(0, 1), self.cluster_temperature, self.iterations).transpose(0, 1)

    def after_step(self, progress: float) -> None:
        self.said.normalise()
        self.teacher.follow(self.encoder, momentum=cosine(self.momentum, 1.0, progress))

    def chance(self, batch: int) -> float:
        return 2 * math.log(len(self.clusters.weight))

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        """Which parts belong to one cluster, as the student says that sees one block, and as the teacher."""
        x = views[0]
        keep, hidden = self._masked(x)
        everywhere = torch.arange(hidden.shape[1], device=hidden.device).expand_as(hidden)
        return words(self.tokens, x, hidden, {"answer": self._said(x, keep, everywhere), "teacher": self._scores(x)})
