"""Pictures for people: what a network was shown and what it answered, as one sheet."""

from collections.abc import Mapping

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from selftaught.data.images.preparation import Preparation

TILE, GAP, MARGIN = 72, 6, 12  # pixels
INK, PAPER = (40, 44, 52), (255, 255, 255)


def contact_sheet(pictures: Mapping[str, Tensor], preparation: Preparation, columns: int = 8) -> Image.Image:
    """One row a name, its images (B, C, H, W) in normalised values beside it, enlarged where they are small."""
    font = ImageFont.load_default(15)
    left = MARGIN + max(int(font.getlength(name)) for name in pictures) + 2 * GAP
    count = min(columns, max(len(images) for images in pictures.values()))
    heights = [_tile_size(images)[1] for images in pictures.values()]
    width = left + count * (max(_tile_size(i)[0] for i in pictures.values()) + GAP) + MARGIN
    sheet = Image.new("RGB", (width, 2 * MARGIN + sum(heights) + GAP * (len(heights) - 1)), PAPER)
    draw = ImageDraw.Draw(sheet)
    top = MARGIN
    for (name, images), height in zip(pictures.items(), heights):
        draw.text((MARGIN, top + height // 2), name, fill=INK, font=font, anchor="lm")
        tile = _tile_size(images)
        for column, pixels in enumerate(visible(images[:columns], preparation)):
            resample = Image.Resampling.NEAREST if pixels.shape[0] < tile[1] else Image.Resampling.BILINEAR
            sheet.paste(Image.fromarray(pixels).resize(tile, resample), (left + column * (tile[0] + GAP), top))
        top += height + GAP
    return sheet


def _tile_size(images: Tensor) -> tuple[int, int]:
    """Width and height of a tile: whole multiples of small images, about TILE pixels high."""
    height, width = images.shape[2:]
    scale = max(1, round(TILE / height)) if height < TILE else TILE * 2 / max(height, TILE * 2)
    return max(1, round(width * scale)), max(1, round(height * scale))


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
