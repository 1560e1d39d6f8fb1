"""The dense probe: one linear layer says the class of each place of a frozen map, and so of each pixel.

As DINOv2 (Oquab et al., 2023), DINOv3 (Siméoni et al., 2025) and CAPI (Darcet et al., 2025) judge features for
segmentation: standardised numbers of the last map, a linear layer, its scores made as fine as the mask.
https://arxiv.org/abs/2304.07193 https://arxiv.org/abs/2508.10104 https://arxiv.org/abs/2502.08769
"""

from math import ceil
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from selftaught.judging.dense import Counted, counted, miou, pixel_accuracy
from selftaught.judging.heads import HELD_OUT, LOOKS, Parts
from selftaught.judging.labelled import spare
from selftaught.judging.masks import VOID
from selftaught.judging.probe import Exam, Probe
from selftaught.system.interruption import poll

# Learning rate and weight decay. Few numbers a place need large weights, which a small rate does not reach in time.
GRID = tuple((rate, decay) for rate in (1e-2, 1e-1, 1e-3) for decay in (0.01, 1.0))
BATCH, EPOCHS = 16, 20  # images
FEWEST, MOST = 300, 1000  # steps
FINE = 4  # pixels along each side of a place that are learnt from, evenly: their neighbours say much the same

Rows = NDArray[np.int64]


class Best:
    """The layer that did best on held-out images so far."""

    def __init__(self) -> None:
        self.worth, self.chosen = (-1.0, 0.0), dict[str, Any]()
        self.weights: dict[str, Tensor] = {}

    def offer(self, worth: tuple[float, float], layer: nn.Module, chosen: dict[str, Any]) -> None:
        """Keep the layer if it does better than all before."""
        if worth > self.worth:
            self.worth, self.chosen = worth, chosen
            self.weights = {name: value.detach().clone() for name, value in layer.state_dict().items()}


def _predict(maps: Parts, exam: Exam) -> Counted:
    """What a layer says of the tested images, taught by the others; learning rate, decay and stop are chosen on a fifth
    of these."""
    assert exam.data.masks
    masks, best, seed = exam.data.masks, Best(), exam.seed + exam.split.repeat
    learnt, held = spare(exam.data, exam.split.train, HELD_OUT, seed)
    layer = nn.Conv2d(maps.values.shape[1], len(masks.names), 1)
    coarse = _coarse(masks.truth, maps.values.shape[2:])
    with torch.random.fork_rng(devices=[]):
        for rate, decay in GRID if len(held) else GRID[:1]:
            torch.manual_seed(seed)
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)
            _train(layer, maps, coarse, learnt, held, rate, decay, best)
    if best.weights:
        layer.load_state_dict(best.weights)
        exam.chosen.append(best.chosen)
    return _counted(layer, maps, masks.truth, exam.split.test)


def _coarse(truth: NDArray[np.int16], grid: torch.Size) -> NDArray[np.int16]:
    """The truth (N, H, W) at FINE by FINE pixels of each place of a grid (h, w) at most."""
    rows, columns = (
        (np.arange(wanted := min(side, FINE * places)) * 2 + 1) * side // (2 * wanted)
        for side, places in zip(truth.shape[1:], grid)
    )
    return truth[:, rows[:, None], columns]


def _train(
    layer: nn.Module,
    maps: Parts,
    truth: NDArray[np.int16],
    learnt: Rows,
    held: Rows,
    rate: float,
    decay: float,
    best: Best,
) -> None:
    """Train the layer, and keep in `best` what does better on the held-out images than all before."""
    optimizer = torch.optim.AdamW(layer.parameters(), lr=rate, weight_decay=decay)
    steps = min(max(EPOCHS * ceil(len(learnt) / BATCH), FEWEST), MOST)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    order = torch.empty(0, dtype=torch.int64)
    for step in range(1, steps + 1):
        poll()
        if not len(order):
            order = torch.from_numpy(learnt)[torch.randperm(len(learnt))]
        now, order = order[:BATCH], order[BATCH:]
        optimizer.zero_grad()
        _loss(layer, maps, truth, now.numpy()).backward()
        optimizer.step()
        cosine.step()
        if len(held) and step % ceil(steps / LOOKS) == 0:
            total = _counted(layer, maps, truth, held).sums.sum(axis=0)
            worth = float(miou(total)), float(pixel_accuracy(total))
            best.offer(worth, layer, {"lr": rate, "weight_decay": decay, "steps": step})


def _loss(layer: nn.Module, maps: Parts, truth: NDArray[np.int16], rows: Rows) -> Tensor:
    """Cross-entropy over the pixels of some images of which something is known."""
    own = torch.from_numpy(truth[rows]).long()
    sums = F.cross_entropy(_scores(layer, maps, rows, truth.shape[1:]), own, ignore_index=VOID, reduction="sum")
    return sums / (own != VOID).sum().clamp(min=1)


def _scores(layer: nn.Module, maps: Parts, rows: Rows, size: tuple[int, ...]) -> Tensor:
    """Scores (B, C, H, W), as fine as a mask."""
    return F.interpolate(layer(maps.rows(rows)), size, mode="bilinear")


@torch.no_grad()
def _counted(layer: nn.Module, maps: Parts, truth: NDArray[np.int16], rows: Rows) -> Counted:
    classes, found = layer.get_parameter("bias").numel(), []
    for some in np.array_split(rows, max(1, ceil(len(rows) / BATCH))):
        poll()
        told = _scores(layer, maps, some, truth.shape[1:]).argmax(dim=1).numpy()
        found.append(counted(told, truth[some], classes))
    return Counted(np.concatenate([one.sums for one in found]), np.sum([one.confusion for one in found], axis=0))


PROBE = Probe(predict=_predict, takes="map", priority=2, work="segmenting")
