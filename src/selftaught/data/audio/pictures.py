"""Spectrograms for people: time runs to the right, frequency upwards, loud is bright."""

from collections.abc import Mapping

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from selftaught.data.audio.preparation import Preparation
from selftaught.data.sheets import Row, sheet_of

TILE = 96  # pixels that a spectrogram is high in a sheet, about
# From silence to the loudest: colours that get lighter evenly, so grey prints tell as much.
SHADES = np.array([(8, 8, 32), (68, 20, 110), (150, 40, 120), (222, 90, 90), (250, 170, 90), (252, 250, 200)], float)


def contact_sheet(pictures: Mapping[str, Tensor], preparation: Preparation, columns: int = 8) -> Image.Image:
    """One row a name, its spectrograms (B, 1, mels, frames) in normalised values beside it."""
    shown = {name: visible(views[:columns], preparation) for name, views in pictures.items()}
    return sheet_of([Row(name, pixels, _tile(*pixels.shape[1:3])) for name, pixels in shown.items()])


def _tile(mels: int, frames: int) -> tuple[int, int]:
    scale = max(1, round(TILE / mels))
    return frames * scale, mels * scale


def visible(views: Tensor, preparation: Preparation) -> NDArray[np.uint8]:
    """Spectrograms (B, 1, mels, frames) as 8-bit RGB (B, mels, frames, 3)."""
    unit = (views.detach().float().cpu() * preparation.std[0] + preparation.mean[0]).clamp(0, 1)
    at = unit.mean(dim=1).flip(1).numpy() * (len(SHADES) - 1)
    low = np.minimum(at.astype(np.int64), len(SHADES) - 2)
    made = SHADES[low] + (at - low)[..., None] * (SHADES[low + 1] - SHADES[low])
    return np.round(made).astype(np.uint8)


def thumbnails(views: Tensor, preparation: Preparation, side: int) -> NDArray[np.uint8]:
    """The same, made smaller where one side would be longer than `side`."""
    mels, frames = views.shape[2:]
    scale = min(1.0, side / max(mels, frames))
    small = (max(1, round(mels * scale)), max(1, round(frames * scale)))
    if scale < 1:
        views = F.interpolate(views.float(), small, mode="bilinear", antialias=True)
    return visible(views, preparation)
