"""Pictures for people: what a network was shown and what it answered, as one sheet."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from selftaught.data.images.preparation import Preparation
from selftaught.data.sheets import Row, sheet_of

TILE = 72  # pixels


def contact_sheet(pictures: Mapping[str, Tensor], preparation: Preparation, columns: int = 8) -> Image.Image:
    """One row a name, its images (B, C, H, W) in normalised values beside it, enlarged where they are small."""
    shown = {name: visible(images[:columns], preparation) for name, images in pictures.items()}
    tallest = max((pixels.shape[1] for pixels in shown.values()), default=TILE)
    most = tallest * _scale(tallest)  # or a part of an image could stand there larger than the whole
    return sheet_of([Row(name, pixels, _tile_size(pixels.shape[1:3], most)) for name, pixels in shown.items()])


def _tile_size(size: Sequence[int], most: float) -> tuple[int, int]:
    """Width and height of a tile of images (H, W), `most` pixels high at most."""
    height, width = size
    scale = _scale(height)
    if height * scale > most:
        scale = most // height
    return max(1, round(width * scale)), max(1, round(height * scale))


def _scale(height: int) -> float:
    """How many times larger images are drawn: whole multiples of small ones, about TILE pixels high."""
    return max(1, round(TILE / height)) if height < TILE else TILE * 2 / max(height, TILE * 2)


def visible(images: Tensor, preparation: Preparation) -> NDArray[np.uint8]:
    """Normalised images (B, C, H, W) as 8-bit RGB (B, H, W, 3); of two or of many channels, the mean as grey."""
    mean, std = (np.array(v).reshape(-1, 1, 1) for v in (preparation.mean, preparation.std))
    values = images.detach().float().cpu().numpy() * std + mean
    if values.shape[1] != 3:
        values = values.mean(axis=1, keepdims=True).repeat(3, axis=1)
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)


def thumbnails(images: Tensor, preparation: Preparation, side: int) -> NDArray[np.uint8]:
    """The same, made smaller where one side would be longer than `side`."""
    height, width = images.shape[2:]
    scale = min(1.0, side / max(height, width))
    small = (max(1, round(height * scale)), max(1, round(width * scale)))
    if scale < 1:
        images = F.interpolate(images.float(), small, mode="bilinear", antialias=True)
    return visible(images, preparation)
