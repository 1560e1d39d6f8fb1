"""SubTab (Ucar et al., 2021): parts of a row agree, and each rebuilds the whole. https://arxiv.org/abs/2110.04361"""

import itertools
from typing import Annotated

import torch
from torch import Tensor

from selftaught import Data, Encoder, Method, Training, UsageError, bounds, randomness
from selftaught.methods.objectives.contrastive import nt_xent
from selftaught.methods.objectives.distillation import cosine_distance
from selftaught.methods.objectives.prediction import weighted_error
from selftaught.methods.parts.damage import swapped_cells
from selftaught.methods.parts.decoders import MapDecoder
from selftaught.methods.parts.heads import mlp


class SubTab(Method):
    """Overlapping subsets of the columns of a row are its views: from each all columns are rebuilt, and all of them
    must be found among those of other rows. The subsets of an image are upright strips."""

    question = "Which of these parts is of me as well, and what do all my columns hold?"
    paper = "https://arxiv.org/abs/2110.04361"
    views = ("light",)
    # The authors: Adam, 1e-3 in batches of 32 on MNIST.
    preset = Training(optimizer="adamw", lr=1e-3, weight_decay=1e-4)
    needs_values = True
    whole_views = True  # which are rebuilt
    experimental = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        subsets: Annotated[
            int, bounds.whole(2, 64)
        ] = 4,  # this, overlap, level and temperature: the authors', on MNIST
        overlap: bounds.Share = 0.75,
        level: bounds.Share = 0.3,
        temperature: bounds.Temperature = 0.1,
        reconstruction: bounds.Weight = 1.0,
        distance: bounds.Weight = 1.0,
        decoder_width: bounds.Width = 128,
        width: bounds.Width = 256,
        dim: bounds.Width = 64,
    ) -> None:
        """Each subset has `overlap` of its columns from its neighbour, too, and a share `level` of its cells from other
        rows; `reconstruction` weighs the mean error of a cell, which the authors sum, and `distance` that of pairs of
        subsets. Columns outside a subset are zero, the mean of all rows, as an encoder takes all of them; in use it
        sees whole rows, where the authors average over the subsets."""
        super().__init__(encoder, data)
        if data.shape[-1] < 2:
            raise UsageError("subtab needs samples of at least 2 columns: a subset of one would be all there is")
        self.level, self.temperature = level, temperature
        self.reconstruction, self.distance = reconstruction, distance
        self.spans = spans(data.shape[-1], min(subsets, data.shape[-1]), overlap)
        self.decoder = MapDecoder(encoder, data.shape, data.shape[0], decoder_width)
        self.projector = mlp(encoder.dim, width, dim)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        features, maps = self.encoder.feature_and_map(torch.cat(self._parts(x)))
        rebuilt = self.decoder(maps)
        whole = x.repeat(len(self.spans), *[1] * (x.ndim - 1))
        pairs = [*itertools.combinations(self.projector(features).chunk(len(self.spans)), 2)]
        contrasts = torch.stack([nt_xent(a, b, self.temperature) for a, b in pairs])
        distances = torch.stack([cosine_distance(a, b) for a, b in pairs])
        return {
            "reconstruction": self.reconstruction * weighted_error(rebuilt, whole, torch.ones_like(whole[:, :1])),
            "nt_xent": contrasts.mean(),
            "distance": self.distance * distances.mean(),
        }

    def _parts(self, x: Tensor) -> list[Tensor]:
        """The subsets of x, each of the shape of x."""
        column, parts = torch.arange(x.shape[-1], device=x.device), []
        for number, (start, stop) in enumerate(self.spans):
            # Each has false cells of its own.
            with randomness.view(number):
                noisy, _ = swapped_cells(x, self.level)
            parts.append(noisy * ((column >= start) & (column < stop)).to(x.dtype))
        return parts

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        parts = self._parts(views[0])
        answers = [self.decoder(self.encoder.map(part)) for part in parts[:2]]
        return {
            "input": views[0],
            "part 1": parts[0],
            "answer 1": answers[0],
            "part 2": parts[1],
            "answer 2": answers[1],
        }


def spans(columns: int, subsets: int, overlap: float) -> list[tuple[int, int]]:
    """Where subsets of columns begin and end: equal parts, each with the last columns of the one before it, or, the
    first one, the first ones of the next."""
    edges = [round(number * columns / subsets) for number in range(subsets + 1)]
    shared = round(overlap * columns / subsets)
    first, *rest = itertools.pairwise(edges)
    return [(0, min(columns, first[1] + shared)), *[(max(0, start - shared), stop) for start, stop in rest]]
