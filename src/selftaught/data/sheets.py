"""Pictures of samples side by side, with a name before each row: a contact sheet, whatever samples are."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

GAP, MARGIN = 6, 12  # pixels
INK, PAPER = (40, 44, 52), (255, 255, 255)


class Row(NamedTuple):
    """What stands beside a name."""

    name: str
    pictures: NDArray[np.uint8]  # (N, H, W, 3)
    tile: tuple[int, int]  # width and height that each of them has in the sheet


def sheet_of(rows: Sequence[Row]) -> Image.Image:
    """All rows below each other, their pictures made as large as their tiles: those of one sample are a column."""
    font = ImageFont.load_default(15)
    left = MARGIN + max(int(font.getlength(row.name)) for row in rows) + 2 * GAP
    apart = max(row.tile[0] for row in rows) + GAP
    width = left + max(len(row.pictures) for row in rows) * apart + MARGIN
    sheet = Image.new("RGB", (width, 2 * MARGIN + sum(row.tile[1] for row in rows) + GAP * (len(rows) - 1)), PAPER)
    draw = ImageDraw.Draw(sheet)
    top = MARGIN
    for name, pictures, tile in rows:
        draw.text((MARGIN, top + tile[1] // 2), name, fill=INK, font=font, anchor="lm")
        for column, pixels in enumerate(pictures):
            resample = Image.Resampling.NEAREST if pixels.shape[0] < tile[1] else Image.Resampling.BILINEAR
            sheet.paste(Image.fromarray(pixels).resize(tile, resample), (left + column * apart, top))
        top += tile[1] + GAP
    return sheet
