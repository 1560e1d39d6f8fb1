"""Texts for people: drawn as they read, what a network was shown and what it answered, as one sheet."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from selftaught.contracts.encoder import HIDDEN, WORDS
from selftaught.data.text.preparation import Preparation
from selftaught.data.text.tokenizer import tokenizer
from selftaught.system.text import printable

WIDE, HIGH, GAP, MARGIN = 240, 96, 6, 12  # pixels
LETTERS, LINE = 13, 16  # pixels of letters, and between lines
SMALL = 10  # of thumbnails
HOLE = "____"  # in place of a word that is hidden
INK, PAPER, EDGE = (40, 44, 52), (255, 255, 255), (222, 224, 228)


def snippets(texts: Tensor, preparation: Preparation) -> list[str]:
    """The words of texts (B, 1, N) as they read, with a hole for each that is hidden."""
    known = tokenizer(preparation.tokenizer)
    return [printable(" ".join(_parts(row, known.decoded))) for row in texts[:, 0].long().tolist()]


def _parts(row: list[int], decoded: Callable[[Sequence[int]], str]) -> Iterator[str]:
    """Runs of words, and the holes between them."""
    run: list[int] = []
    for number in row:
        if number >= WORDS:
            run.append(number)
        elif number == HIDDEN:
            yield from _read(run, decoded)
            yield HOLE
            run = []
    yield from _read(run, decoded)


def _read(run: list[int], decoded: Callable[[Sequence[int]], str]) -> Iterator[str]:
    if run:
        yield " ".join(decoded(run).split())


def contact_sheet(pictures: Mapping[str, Tensor], preparation: Preparation, columns: int = 8) -> Image.Image:
    """One row a name, its texts (B, 1, N) beside it."""
    font = ImageFont.load_default(15)
    left = MARGIN + max(int(font.getlength(name)) for name in pictures) + 2 * GAP
    count = min(columns, max(map(len, pictures.values())))
    size = (left + count * (WIDE + GAP) + MARGIN, 2 * MARGIN + len(pictures) * (HIGH + GAP) - GAP)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, (name, texts) in enumerate(pictures.items()):
        top = MARGIN + row * (HIGH + GAP)
        draw.text((MARGIN, top + HIGH // 2), name, fill=INK, font=font, anchor="lm")
        for column, pixels in enumerate(visible(texts[:columns], preparation)):
            sheet.paste(Image.fromarray(pixels), (left + column * (WIDE + GAP), top))
    return sheet


def visible(texts: Tensor, preparation: Preparation) -> NDArray[np.uint8]:
    """Texts (B, 1, N) as pictures (B, H, W, 3): their first lines."""
    return np.stack([_drawn(text, WIDE, HIGH, LETTERS, LINE) for text in snippets(texts, preparation)])


def thumbnails(texts: Tensor, preparation: Preparation, side: int) -> NDArray[np.uint8]:
    """The same, small: a few words."""
    high = max(1, side * 2 // 3)
    return np.stack([_drawn(text, side, high, SMALL, SMALL) for text in snippets(texts, preparation)])


def _drawn(text: str, wide: int, high: int, letters: int, line: int) -> NDArray[np.uint8]:
    picture = Image.new("RGB", (wide, high), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, wide - 1, high - 1), outline=EDGE)
    font = ImageFont.load_default(letters)
    per_line = max(1, int((wide - 2 * GAP) / font.getlength("n")))
    most = max(1, (high - GAP) // line)
    lines = wrap(text, per_line, max_lines=most, placeholder=" …") if text else []
    draw.multiline_text((GAP, GAP // 2), "\n".join(lines), fill=INK, font=font, spacing=max(0, line - letters))
    return np.asarray(picture)
