"""Somebody who looks on while a network is taught: asked at each look, with no say in what follows from it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from selftaught.contracts.encoder import Encoder
from selftaught.contracts.samples import Samples
from selftaught.run.recipes import Pretrain
from selftaught.system.errors import UsageError


class Onlooker(Protocol):
    """What training knows of whoever looks on, who may know more than training: it is shown the encoder, and answers.

    It must leave the encoder as it is; statistics, mode and random numbers are put back for it.
    """

    about: str  # what it goes by, for people
    name: str  # the same for all who go by the same, so that what two say is never taken for one curve
    measure: str  # what the numbers are, as judging names it: accuracy, mAP, R2

    def begin(self, folder: Path) -> None:
        """Keep in the folder of a run what has to be known later of who looked on."""

    def __call__(self, encoder: Encoder) -> dict[str, float]:
        """Numbers by name of an encoder in eval mode; none where its features are not finite. Raises DataError."""

    def in_words(self, numbers: Mapping[str, float]) -> str:
        """What it has said, for people."""


Invited = Callable[[Pretrain, Samples], Onlooker | None]  # by a recipe and its samples, before training begins


def nobody(recipe: Pretrain, samples: Samples) -> None:
    """No onlooker. Raises UsageError where a recipe asks for one: it would be passed over in silence."""
    if recipe.watched_by:
        raise UsageError("--watch-labels is for `selftaught pretrain` and selftaught.pretrain: training has no labels")
