"""VIME (Yoon et al., 2020): which cells are false, and what stood there? https://papers.nips.cc/paper_files/paper/2020/hash/7d97667a3e056acab9aaf653807b4a03-Abstract.html"""

import torch
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.prediction import binary_cross_entropy, weighted_error
from selftaught.methods.parts.damage import swapped_cells
from selftaught.methods.parts.decoders import MapDecoder


class VIME(Method):
    """Cells take the values they have in other samples; a decoder says of every cell whether it is false, and what the
    sample held. It was made for rows, whose cells are columns; those of images are pixels."""

    question = "Which of my cells are somebody else's, and what stood there?"
    paper = "https://papers.nips.cc/paper_files/paper/2020/hash/7d97667a3e056acab9aaf653807b4a03-Abstract.html"
    views = ("light",)
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4)
    needs_values = True
    experimental = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        level: bounds.Inside = 0.3,  # with alpha, what the authors' code has where nothing is said
        alpha: bounds.Weight = 2.0,
        decoder_width: bounds.Width = 128,
    ) -> None:
        """`level` is the share of cells that are swapped; `alpha` weighs what stood there beside which they are. Both
        are answered by one decoder, where the paper has a linear layer for each."""
        super().__init__(encoder, data)
        self.level, self.alpha = level, alpha
        self.decoder = MapDecoder(encoder, data.shape, data.shape[0] + 1, decoder_width)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        _, changed, values, doubts = self._ask(x)
        return {
            "mask": binary_cross_entropy(doubts, changed),
            "values": self.alpha * weighted_error(values, x, torch.ones_like(doubts)),
        }

    def _ask(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What is shown of x, which cells are false (B, 1, ...), and the answers: values, and scores of being false."""
        shown, changed = swapped_cells(x, self.level)
        said = self.decoder(self.encoder.map(shown))
        return shown, changed, said[:, :-1], said[:, -1:]

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        shown, _, values, _ = self._ask(views[0])
        return {"input": views[0], "shown": shown, "answer": values}
