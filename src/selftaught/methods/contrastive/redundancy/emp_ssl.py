"""EMP-SSL (Tong et al., 2023): many patches of an image agree, in few epochs. https://arxiv.org/abs/2304.03977"""

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds, precise
from selftaught.methods.objectives.redundancy import coding_rate
from selftaught.methods.parts.crops import through
from selftaught.methods.parts.heads import mlp


class EMPSSL(Method):
    """Every one of many patches must point where the mean of all patches of its image does, while the total coding rate
    of each patch over the batch keeps images apart. Its features are best judged as a bag (`--features bag`)."""

    question = "Where do all the patches of me that could be cut point, on average?"
    paper = "https://arxiv.org/abs/2304.03977"
    views: tuple[str, ...] = ("strong",) * 4
    # The paper: LARS, 0.3 in batches of 100.
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=1e-4, batch_size=128)
    experimental = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        # 20 to 200 in the paper; each costs a pass. 4,000 images of CIFAR-10, seen three times, one seed: 41.3 %,
        # and 39.4 in as much time with eight small patches (`local`), 38.8 untrained.
        patches: Annotated[int, bounds.whole(2, 256)] = 4,
        lambd: bounds.Weight = 200.0,
        epsilon: bounds.Positive = 0.2,
        width: bounds.Width = 1024,
        dim: bounds.Width = 512,
    ) -> None:
        """`patches` are cut of each image, as `--views.strong` says: by default not all of one size, as the paper's
        are; `lambd` weighs that they agree; `epsilon` is the squared distance within which the coding rate takes two
        features for the same."""
        super().__init__(encoder, data)
        self.views = ("strong",) * patches
        self.lambd, self.epsilon = lambd, epsilon
        self.projector = mlp(encoder.dim, width, width, dim)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        z = F.normalize(precise(through(lambda x: self.projector(self.encoder(x)), views)), dim=2)
        centre = z.mean(dim=0, keepdim=True)
        return {
            "agreement": self.lambd * (1 - F.cosine_similarity(z, centre, dim=2).mean()),
            # Patch by patch: pooled, those of one image would have to differ.
            "rate": -coding_rate(z, self.epsilon).mean(),
        }
