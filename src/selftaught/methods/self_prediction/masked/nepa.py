"""NEPA (Xu et al., 2025): embedding by embedding, what comes next? https://arxiv.org/abs/2512.16922"""

import torch
from torch import Tensor

from selftaught import Data, Encoder, Method, Training
from selftaught.methods.objectives.distillation import negative_cosine
from selftaught.methods.parts.masks import refuse_lone_tokens


class NEPA(Method):
    """Each patch, having seen only what came before, says the embedding of the next one in reading order.

    There is no decoder and no slow self: the answer is the network's last token, the target what its own first layer
    makes of the next patch, as a constant. Both are compared by their direction.
    """

    question = "Which patch comes next, as I embed it?"
    paper = "https://arxiv.org/abs/2512.16922"
    views = ("light",)
    # The authors: 3e-4 per 256 in batches of 4,096, and features of the weights' moving average.
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=0.05, betas=(0.9, 0.95), clip=1.0)
    needs_tokens = True
    needs_places = True  # columns of a table have no reading order
    needs_values = True
    experimental = True

    def __init__(self, encoder: Encoder, data: Data, /) -> None:
        super().__init__(encoder, data)
        refuse_lone_tokens("nepa", self.tokens, data)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        said, wanted = self._predict(views[0])
        return {"next_embedding": negative_cosine(said.flatten(0, 1), wanted.flatten(0, 1))}

    def _predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What is said of patches 1 to N - 1, and their embeddings (both B, N - 1, dim)."""
        place = torch.arange(self.tokens.length(x.shape[2:]), device=x.device)
        said = self.tokens.tokens(x, attend=place[:, None] >= place).patches
        # Without a gradient, or embeddings that are all alike would be the best there are. They do not say where they
        # are from, so that nothing is to be gained by the place.
        with torch.no_grad():
            wanted = self.tokens.embedded(x, None)
        return said[:, :-1], wanted[:, 1:]

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        """What each patch is taken for: the one of all shown here whose embedding is nearest to what is said of it."""
        x = views[0]
        said, wanted = (torch.nn.functional.normalize(tokens, dim=2) for tokens in self._predict(x))
        patches = self.tokens.patchify(x)
        known = patches[:, 1:].flatten(0, 1)
        nearest = (said @ wanted.flatten(0, 1).mT).argmax(dim=2)
        # Nothing is said of the first patch, which nothing comes before.
        answer = torch.cat([patches[:, :1], known[nearest]], dim=1)
        return {"input": x, "answer": self.tokens.unpatchify(answer, x.shape[2:])}
