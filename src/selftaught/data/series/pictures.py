"""Plots for people: what a network was shown and what it answered, as one sheet."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from selftaught.data.series.preparation import Preparation
from selftaught.data.sheets import PAPER, Row, sheet_of

WIDE, HIGH = 168, 72  # pixels
REACH = 3.0  # deviations from the middle of a plot to its edges
DRAWN = 6  # channels of a series, the first ones
EDGE = (222, 224, 228)
COLOURS = ((31, 106, 178), (200, 80, 40), (40, 140, 90), (140, 80, 170), (180, 140, 20), (90, 100, 110))


def contact_sheet(pictures: Mapping[str, Tensor], preparation: Preparation, columns: int = 8) -> Image.Image:
    """One row a name, its series (B, channels, points) in standardised values beside it."""
    shown = {name: visible(series[:columns], preparation) for name, series in pictures.items()}
    return sheet_of([Row(name, pixels, (WIDE, HIGH)) for name, pixels in shown.items()])


def visible(series: Tensor, preparation: Preparation) -> NDArray[np.uint8]:
    """Plots (B, H, W, 3) of series (B, channels, points): a line a channel, with a gap where nothing was seen.

    What a network answers has all of its lines, whatever it makes of what was seen.
    """
    return _plots(series, preparation, WIDE, HIGH)


def thumbnails(series: Tensor, preparation: Preparation, side: int) -> NDArray[np.uint8]:
    """The same, small."""
    return _plots(series, preparation, side, max(1, side * 2 // 3))


def _plots(series: Tensor, preparation: Preparation, wide: int, high: int) -> NDArray[np.uint8]:
    count = len(preparation.names)
    values = series.detach().float().cpu().numpy()
    # Data, their views and what a task hides say nothing but 0 of a gap. A network that answers says anything, and by
    # its own word nothing of its answer might be left to look at.
    seen = values[:, count:] != 0 if values.shape[1] == 2 * count else np.isfinite(values)
    return np.stack([_plot(*one, wide, high) for one in zip(values[:, : min(count, DRAWN)], seen)])


def _plot(values: NDArray[np.float32], seen: NDArray[np.bool_], wide: int, high: int) -> NDArray[np.uint8]:
    plot = Image.new("RGB", (wide, high), PAPER)
    draw = ImageDraw.Draw(plot)
    draw.rectangle((0, 0, wide - 1, high - 1), outline=EDGE)
    across = np.linspace(1, wide - 2, values.shape[1])
    down = (high - 1) / 2 * (1 - np.clip(np.nan_to_num(values) / REACH, -1, 1))
    for line, there, colour in zip(down, seen, COLOURS):
        for run in np.split(np.arange(len(line)), np.flatnonzero(np.diff(there)) + 1):
            if there[run[0]]:
                places = list(zip(across[run].tolist(), line[run].tolist()))
                draw.line(places if len(places) > 1 else places * 2, fill=colour)
    return np.asarray(plot)
