"""AIM (El-Nouby et al., 2024): patch by patch, what comes next? https://arxiv.org/abs/2401.08541"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, Training, bounds, randomness
from selftaught.methods.objectives.prediction import error_of_nothing, hidden_error, normalised_patches
from selftaught.methods.parts.heads import ResidualMLP
from selftaught.methods.parts.masks import refuse_lone_tokens
from selftaught.methods.parts.pictures import filled_patches


class AIM(Method):
    """Each patch says the pixels of the next one in reading order, having seen only what came before.

    A drawn prefix of patches sees itself both ways, so that the network can be used both ways afterwards; only
    patches after it are asked for (section 3.2).
    """

    question = "Which patch comes next?"
    paper = "https://arxiv.org/abs/2401.08541"
    views = ("light",)
    # The paper's own, which are for batches of 4,096.
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=0.05, betas=(0.9, 0.95), clip=1.0)
    needs_tokens = True
    needs_places = True  # columns of a table have no reading order
    needs_values = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        norm_pix_loss: bool = True,
        head_depth: bounds.Layers = 4,  # 12 in the paper, 2048 wide
        head_width: bounds.Width = 384,
    ) -> None:
        """`head_depth` residual blocks of `head_width` stand between the trunk and the pixels (section 3)."""
        super().__init__(encoder, data)
        refuse_lone_tokens("aim", self.tokens, data)
        self.norm_pix_loss = norm_pix_loss and self.tokens.varied
        blocks = [ResidualMLP(head_width) for _ in range(head_depth)]
        predict = nn.Linear(head_width, self.tokens.patch_dim)
        self.head = nn.Sequential(nn.Linear(encoder.dim, head_width), *blocks, nn.LayerNorm(head_width), predict)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        target, predicted, asked = self._predict(views[0])
        return {"next_patch": hidden_error(predicted, target, asked)}

    def _predict(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Targets and predictions of patches 1 to N - 1 (B, N - 1, patch_dim), and which are asked for (B, N - 1)."""
        length = self.tokens.length(x.shape[2:])
        # From 1 to N - 1: the first patch has nothing before it, and at least one is left to ask for.
        prefix = 1 + randomness.integers(length - 1, (len(x), 1, 1, 1), "prefix", x.device)
        place = torch.arange(length, device=x.device)
        attend = (place[:, None] >= place) | (place < prefix)
        seen = self.tokens.tokens(x, attend=attend).patches
        target = self.tokens.patchify(x)
        target = normalised_patches(target) if self.norm_pix_loss else target
        # The token of a patch answers for the next one, so answers and targets are one place apart.
        return target[:, 1:], self.head(seen[:, :-1]), place[1:] >= prefix[:, 0, 0]

    def chance(self, batch: int) -> float | None:
        return error_of_nothing(self.tokens.patch_dim) if self.norm_pix_loss else None

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        _, predicted, asked = self._predict(views[0])
        # Nothing is said of the first patch, which nothing comes before.
        asked, predicted = F.pad(asked, (1, 0)), F.pad(predicted, (0, 0, 1, 0))
        return filled_patches(self.tokens, views[0], asked, predicted, self.norm_pix_loss)
