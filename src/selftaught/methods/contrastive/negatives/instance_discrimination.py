"""Instance discrimination (Wu et al., 2018): which of all samples is this? https://arxiv.org/abs/1805.01978"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, Training, bounds, precise
from selftaught.methods.objectives.contrastive import noise_contrastive
from selftaught.methods.objectives.similarity import cosines, log_sum_exp
from selftaught.methods.parts.crops import evenly
from selftaught.methods.parts.heads import mlp
from selftaught.methods.parts.memory import Bank


class InstanceDiscrimination(Method):
    """A bank holds a feature of every sample; a view is told from noise, other samples' slots, by its own slot.

    The noise is drawn once a step for the whole batch, where the paper draws it for each sample: as many comparisons,
    without a copy of the bank for each.
    """

    question = "Which of all the samples ever seen am I?"
    paper = "https://arxiv.org/abs/1805.01978"
    views = ("strong", "index")
    # The paper: SGD, 0.03 in batches of 256 for 200 epochs, dropping in steps.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4)

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        # CIFAR-10 after 50,000 samples, linear, untrained 41.7 %: 27.6 with the paper's 0.07 and no norm, 38.3 with the
        # norm alone, 33.4 with 0.2 alone, 44.6 with both (docs/results/learns.md).
        temperature: bounds.Temperature = 0.2,
        negatives: bounds.Many = 4096,
        momentum: bounds.Momentum = 0.5,  # the paper's
        proximal: bounds.Weight = 0.0,  # 10 came to 43.4 beside the 44.6 without
        dim: bounds.Width = 128,
        last_norm: bool = True,
    ) -> None:
        """`negatives` is m of the paper; `momentum` is that of the bank; `proximal` weighs how far a feature may move
        from its slot (section 3.3). Where epochs are few, slots are old, and with the paper's temperature of 0.07 and
        no `last_norm`, a batch norm after the projection, features flee from them in a body: the loss runs away."""
        super().__init__(encoder, data)
        self.temperature, self.momentum, self.proximal = temperature, momentum, proximal
        self.negatives = min(negatives, data.count)
        self.projector = mlp(encoder.dim, dim, last_norm=last_norm)
        self.bank = Bank(data.count, dim)
        self.constant = nn.Buffer(torch.zeros(()))  # log Z: the sum over the bank, measured once
        self._newest: tuple[Tensor, Tensor] | None = None

    def start(self, everything: Tensor) -> None:
        """Measure the normalising constant on untrained features, as section 3.2 does on the first batches."""
        with torch.no_grad():
            # A sample's sum over the bank, a tile of it at a time: all cosines at once would be as large as the bank.
            sums = [self._log_sum(x) for x in evenly(everything)]
            self.constant.copy_(torch.cat(sums).logsumexp(dim=0) - math.log(len(everything)))

    def _log_sum(self, x: Tensor) -> Tensor:
        z = F.normalize(precise(self.projector(self.encoder(x))), dim=1)
        return log_sum_exp(z, self.bank.features, 1 / self.temperature)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x, index = views
        z = F.normalize(precise(self.projector(self.encoder(x))), dim=1)
        slots = self.bank.features
        drawn = self.bank.drawn(self.negatives)
        # Less the constant, scores are logarithms of probabilities among all n samples.
        own = (z * slots[index]).sum(dim=1) / self.temperature - self.constant
        noise = cosines(z, slots[drawn]) / self.temperature - self.constant
        self._newest = (index, z.detach())
        terms = {"noise_contrastive": noise_contrastive(own, noise, self.negatives / len(slots))}
        if self.proximal:
            terms["proximal"] = self.proximal * (z - slots[index]).square().sum(dim=1).mean()
        return terms

    def after_step(self, progress: float) -> None:
        # After the step: the loss compares with what the slot held before, and a step that is left out moves no slot.
        if self._newest:
            self.bank.push(*self._newest, self.momentum)
