"""A page of samples, each with its picture where there is something to see, its name and what is said of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from selftaught.contracts import modality
from selftaught.contracts.samples import Samples
from selftaught.reporting.page import rendered
from selftaught.system.pictures import data_uri
from selftaught.system.text import printable
from selftaught.training.looking.features import view_batches

SIDE = 112  # pixels of a picture's longer side
MOST = 500  # samples of a shelf that are shown


@dataclass(frozen=True)
class Card:
    """A sample on the page."""

    name: str
    said: str  # of it, in a line
    picture: str = ""  # as the URI of an image


@dataclass(frozen=True)
class Shelf:
    """Samples that are shown together."""

    title: str
    note: str
    cards: Sequence[Card]
    left: int = 0  # samples that are not shown


def shelf(title: str, note: str, samples: Samples, said: Mapping[int, str] | Sequence[tuple[int, str]]) -> Shelf:
    """A shelf of the samples of these rows, in their order, with what is said of each; 500 of them at most."""
    rows = list(said.items() if isinstance(said, Mapping) else said)
    shown = rows[:MOST]
    seen = pictures(samples, [row for row, _ in shown])
    cards = [
        Card(printable(samples.keys[row]), line, picture) for (row, line), picture in zip(shown, seen, strict=True)
    ]
    return Shelf(title, note, cards, len(rows) - len(shown))


def pictures(samples: Samples, rows: Sequence[int], side: int = SIDE) -> list[str]:
    """A picture of each of these rows, as a URI; nothing where samples are nothing to look at."""
    kind = modality.named(samples.preparation.modality)
    if not kind.PICTURES or not rows:
        return [""] * len(rows)
    some = samples.subset(np.array(rows, dtype=np.int64))
    return [
        data_uri(Image.fromarray(pixels), "WEBP")
        for x in view_batches(some)
        for pixels in kind.PICTURES.thumbnails(x, some.preparation, side)
    ]


def page_of(title: str, notes: Sequence[str], shelves: Sequence[Shelf]) -> str:
    """One self-contained HTML page."""
    return rendered("gallery.html", title=title, notes=notes, shelves=shelves)
