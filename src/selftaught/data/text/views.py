"""The shared vocabulary of views, as texts understand it: a part of a text, and some of its words."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from selftaught.contracts.encoder import PADDING, WORDS
from selftaught.data import views
from selftaught.system import bounds, randomness

Some = Annotated[float, Field(ge=0, le=0.9, description="a share from 0 to 0.9")]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How one kind of view is made; every field is an option, such as --views.strong.delete 0.2.

    Crops are better views than dropout alone (2508.03453), which is SimCSE's (2104.08821, section 3): for that say
    --views.strong.crop 1 --encoder.dropout 0.1.
    """

    crop: bounds.ShareAboveZero = 1.0  # the least share of a text that is shown, words that stand side by side
    delete: Some = 0.0  # the probability of each word to be left out; what is behind it moves up


AUGMENTATIONS = {
    "light": Augmentation(crop=0.9),
    "strong": Augmentation(crop=0.4),
    "strong_other": Augmentation(crop=0.4, delete=0.1),
    "global": Augmentation(crop=0.6),
    "local": Augmentation(crop=0.2, delete=0.1),
}


class Views(views.SingleViews):
    """Makes views of texts."""

    AUGMENTATIONS = AUGMENTATIONS

    def made(self, name: str, *raw: Tensor) -> Tensor:
        """Texts (B, 1, length) of this view, which begin as all do, and have at least one word."""
        (x,) = raw
        if name == "plain":
            return x
        chosen = self.augmentations[name]
        begin, words = x[:, 0].split([1, x.shape[2] - 1], dim=1)
        if chosen.crop < 1:
            words = _cropped(words, chosen.crop)
        if chosen.delete:
            words = _thinned(words, chosen.delete)
        return torch.cat([begin, words], dim=1)[:, None]


def _cropped(words: Tensor, least: float) -> Tensor:
    """A part of each text (B, N), of at least such a share of it, with nothing behind its end."""
    share, start = randomness.uniform((len(words), 2), "crop", words.device).unbind(1)
    count = (words >= WORDS).sum(dim=1)
    kept = ((least + (1 - least) * share) * count).ceil().clamp(min=1)
    first = (start * (count - kept + 1)).floor().long()
    at = torch.arange(words.shape[1], device=words.device)
    part = words.gather(1, (first[:, None] + at).clamp(max=words.shape[1] - 1))
    return part.masked_fill(at >= kept[:, None], PADDING)


def _thinned(words: Tensor, probability: float) -> Tensor:
    """Texts (B, N) without some of their words; where all would go, the first stays."""
    drawn = randomness.uniform(words.shape, "delete", words.device)
    kept = (drawn >= probability) & (words >= WORDS)
    kept[:, 0] |= ~kept.any(dim=1)
    order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)  # those that stay first, in their order
    return words.masked_fill(~kept, PADDING).gather(1, order)
