"""The attentive probe: a learnt query looks at all tokens of a frozen encoder, and a linear layer at what it gathers.

As V-JEPA (Bardes et al., 2024, section 4) and CAPI (Darcet et al., 2025) judge encoders whose tokens nothing has
brought together: one cross-attention and a linear layer, without the MLP of V-JEPA's block.
https://arxiv.org/abs/2404.08471 https://arxiv.org/abs/2502.08769
"""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from selftaught.judging.heads import Parts, head_predict
from selftaught.judging.probe import ALL_TASKS, Exam, Probe

HEAD = 64  # numbers of a token that each head of the attention looks at, about


class Attentive(nn.Module):
    """Tokens (B, n, D) to scores (B, classes).

    One query asks, so keys need not be made: what it asks of keys is asked of tokens, and values are made of what was
    gathered. The numbers are those of attention as it is usually written, for a small part of the work.
    """

    def __init__(self, tokens: int, dim: int, classes: int) -> None:
        super().__init__()
        self.heads = max(h for h in range(1, max(1, dim // HEAD) + 1) if dim % h == 0)
        self.query = nn.Parameter(torch.zeros(dim))
        self.key, self.value, self.out = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.norm, self.classes = nn.LayerNorm(dim), nn.Linear(dim, classes)
        nn.init.trunc_normal_(self.query, std=0.02)

    def forward(self, x: Tensor, there: Tensor | None = None) -> Tensor:
        gathered = self.attention(x, there) @ x  # (B, heads, D)
        value = self.value.weight.unflatten(0, (self.heads, -1))
        values = torch.einsum("bhd,hkd->bhk", gathered, value).flatten(1) + self.value.bias
        return self.classes(self.norm(self.query + self.out(values)))

    def attention(self, x: Tensor, there: Tensor | None = None) -> Tensor:
        """How much each head looks at each token: (B, heads, n), and at none that is not `there` (B, n)."""
        query, key = self.query.unflatten(0, (self.heads, -1)), self.key.weight.unflatten(0, (self.heads, -1))
        asked = torch.einsum("hk,hkd->hd", query, key) / query.shape[1] ** 0.5
        worth = asked @ x.mT
        if there is not None:
            worth = worth.masked_fill(~there[:, None], torch.finfo(worth.dtype).min)
        return worth.softmax(dim=2)


def _predict(parts: Parts, exam: Exam) -> NDArray[Any]:
    return head_predict(Attentive, parts, exam)


# It says more of tokens and less of features than the linear probe, which has the word where both are asked.
PROBE = Probe(predict=_predict, takes="tokens", priority=2, work="attentive probe", tasks=ALL_TASKS, by_chance=True)
