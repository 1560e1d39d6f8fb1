"""Jigsaw (Noroozi and Favaro, 2016): how were the tiles shuffled? https://arxiv.org/abs/1603.09246"""

import itertools
import math
from functools import cache
from typing import Annotated

import numpy as np
import torch
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, Training, bounds, randomness
from selftaught.methods.objectives.prediction import cross_entropy
from selftaught.methods.parts.heads import mlp
from selftaught.methods.parts.moments import stretched
from selftaught.methods.parts.tiles import Tiles, joined, ordered


class Jigsaw(Method):
    """Nine tiles are encoded apart, by the same encoder; from their features in a shuffled order a small network
    says which of a fixed set of permutations it was. Tiles of a series are segments of it, three if it is short."""

    question = "In which order were the tiles of the image?"
    paper = "https://arxiv.org/abs/1603.09246"
    views = ("light",)
    # A sample is nine inputs: half the usual batch. The paper: SGD at 0.01.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4, batch_size=128)
    needs_places = True
    needs_values = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        # 1,000 in the paper. After 50,000 samples of CIFAR-10 100 are hardly learnt (loss 4.2 of 4.6, linear 42.6 %),
        # 20 are (2.2 of 3.0, 42.9 %).
        permutations: Annotated[int, bounds.whole(2, 2000)] = 20,
        gap: bounds.Gap = 0.15,  # the paper: 11 of a cell's 75 pixels
        # The paper shows 30 % of its images in grey and shifts the channels of the others.
        drop_colors: bool = True,
        width: bounds.Width = 512,
    ) -> None:
        """`permutations` is the size of the set, chosen so that they differ in as many places as can be (algorithm
        1); `gap` is the share of a cell that its tile leaves out; `drop_colors` shows one channel of each tile."""
        super().__init__(encoder, data)
        self.tiles, self.data = Tiles(encoder, data, gap, drop_colors), data
        # No part of the state: the set is drawn from a fixed seed, and is the same in every run.
        self.order = nn.Buffer(torch.from_numpy(far_apart(permutations, self.tiles.count)), persistent=False)
        self.classifier = mlp(self.tiles.count * encoder.dim, width, len(self.order))

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        _, which, scores = self._ask(views[0])
        return {"cross_entropy": cross_entropy(scores, which)}

    def _ask(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tiles as shown (B, N, C, s, ...), which permutation that was (B,), and scores (B, P)."""
        tiles = self.tiles(stretched(x, self.data))
        which = randomness.integers(len(self.order), (len(x),), "permutation", x.device)
        shown = ordered(tiles, self.order[which])
        features = self.encoder(shown.flatten(0, 1)).view(len(x), -1)
        return shown, which, self.classifier(features)

    def chance(self, batch: int) -> float:
        return math.log(len(self.order))

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        shown, _, scores = self._ask(x)
        answer = ordered(shown, self.order[scores.argmax(dim=1)].argsort(dim=1))
        return {"input": x, "shown": joined(shown, x.shape[2:]), "answer, undone": joined(answer, x.shape[2:])}


@cache
def far_apart(count: int, tiles: int = 9) -> np.ndarray:
    """`count` permutations (count, tiles), each as different from all before it as can be. Algorithm 1."""
    everything = np.array(list(itertools.permutations(range(tiles))), dtype=np.int8)
    distance = np.zeros(len(everything), dtype=np.int32)
    chosen = [int(randomness.generator(0, "permutations").integers(len(everything)))]
    while len(chosen) < min(count, len(everything)):
        distance += (everything != everything[chosen[-1]]).sum(axis=1, dtype=np.int32)
        # So that it is not chosen again: no sum of distances makes up for that.
        distance[chosen[-1]] = -(2**30)
        chosen.append(int(distance.argmax()))
    return everything[chosen].astype(np.int64)
