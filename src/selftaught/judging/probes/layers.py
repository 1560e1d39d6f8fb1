"""The probe of all layers: a linear layer on a weighted mean of every block's feature, with weights that are learnt.

The weights are a softmax, as in ELMo (Peters et al., 2018, section 3.2) and SUPERB (Yang et al., 2021, section 3). The
last blocks side by side, as in DINO and DINOv2, are the linear probe's `--features last_blocks`.
https://arxiv.org/abs/1802.05365 https://arxiv.org/abs/2105.01051
"""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from selftaught.judging.heads import Parts, head_predict
from selftaught.judging.probe import ALL_TASKS, Exam, Probe

STRIDE = 10.0  # how much faster the weights of the layers move than those of the linear layer, which are many


class Weighted(nn.Module):
    """Features of all blocks (B, blocks, D) to scores (B, classes)."""

    def __init__(self, blocks: int, dim: int, classes: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(blocks))
        self.classes = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classes(torch.einsum("l,bld->bd", (STRIDE * self.weights).softmax(dim=0), x))


def _predict(parts: Parts, exam: Exam) -> NDArray[Any]:
    return head_predict(Weighted, parts, exam)


PROBE = Probe(predict=_predict, takes="layers", priority=2, work="probe of layers", tasks=ALL_TASKS, by_chance=True)
