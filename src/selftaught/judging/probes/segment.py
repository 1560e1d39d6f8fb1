"""The dense probe: one linear layer says the class of each place of a frozen map, and so of each pixel.

As DINOv2 (Oquab et al., 2023), DINOv3 (Siméoni et al., 2025) and CAPI (Darcet et al., 2025) judge features for
segmentation: standardised numbers of the last map, a linear layer, its scores made as fine as the mask.
https://arxiv.org/abs/2304.07193 https://arxiv.org/abs/2508.10104 https://arxiv.org/abs/2502.08769
"""

from math import ceil

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import skip_init

from selftaught.judging.dense import Counted, counted, miou, pixel_accuracy
from selftaught.judging.heads import Parts
from selftaught.judging.labelled import spare
from selftaught.judging.masks import VOID
from selftaught.judging.probe import Exam, Probe
from selftaught.judging.teaching import HELD_OUT, Good, Lessons, taught
from selftaught.system.interruption import poll

# Learning rate and weight decay. Few numbers a place need large weights, which a small rate does not reach in time.
GRID = tuple((rate, decay) for rate in (1e-2, 1e-1, 1e-3) for decay in (0.01, 1.0))
BATCH, EPOCHS = 16, 20  # images
FEWEST, MOST = 300, 1000  # steps
FINE = 4  # pixels along each side of a place that are learnt from, evenly: their neighbours say much the same

Rows = NDArray[np.int64]


def _predict(maps: Parts, exam: Exam) -> Counted:
    """What a layer says of the tested images, taught by the others; how it learns is chosen on a fifth of these."""
    assert exam.data.masks
    masks, seed = exam.data.masks, exam.seed + exam.split.repeat
    learnt, held = spare(exam.data, exam.split.train, HELD_OUT, seed)
    coarse = _coarse(masks.truth, maps.values.shape[2:])

    def make() -> nn.Module:
        layer = skip_init(nn.Conv2d, maps.values.shape[1], len(masks.names), 1)
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
        return layer

    def good(layer: nn.Module) -> Good:
        total = _counted(layer, maps, coarse, held).sums.sum(axis=0)
        return float(miou(total)), float(pixel_accuracy(total))

    steps = min(max(EPOCHS * ceil(len(learnt) / BATCH), FEWEST), MOST)
    lessons = Lessons(
        lambda layer, rows: _loss(layer, maps, coarse, rows.numpy()), good if len(held) else None, GRID, BATCH, steps
    )
    layer, chosen = taught(make, lessons, learnt, seed)
    if chosen:
        exam.chosen.append(chosen)
    return _counted(layer, maps, masks.truth, exam.split.test)


def _coarse(truth: NDArray[np.int16], grid: torch.Size) -> NDArray[np.int16]:
    """The truth (N, H, W) at FINE by FINE pixels of each place of a grid (h, w) at most."""
    rows, columns = (
        (np.arange(wanted := min(side, FINE * places)) * 2 + 1) * side // (2 * wanted)
        for side, places in zip(truth.shape[1:], grid)
    )
    return truth[:, rows[:, None], columns]


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
