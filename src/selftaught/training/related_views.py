"""Views of which some are of another sample than the others: one that is related to it."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from selftaught.contracts.samples import MakeViews, Samples
from selftaught.system.errors import UsageError
from selftaught.training.own_views import views_of

ALIKE = ("strong", "strong_other", "global", "local")  # what methods pull together: each keeps the meaning of a sample


def of_partners(names: Sequence[str]) -> set[int]:
    """Which of a method's views are made of the partner: every second one of those that are pulled together."""
    return {*[place for place, name in enumerate(names) if name in ALIKE][1::2]}


def refuse_unrelated(methods: Mapping[str, Sequence[str]]) -> None:
    """Raise UsageError where a method, or its helper behind it, cannot be shown other samples; of each the views.

    The first must pull views together, and none may know which sample a view is of.
    """
    first = next(iter(methods))
    for name, views in methods.items():
        if "index" in views or (name == first and not of_partners(views)):
            raise UsageError(
                f"--positives: {name} does not just pull views of a sample together, so none can be another sample's; "
                "simclr, moco, byol, vicreg, swav, dino and most of the contrastive methods do"
            )


class RelatedViews(MakeViews):
    """Views of samples and of their partners; see `of_partners`. It takes what is stored of both, one after the other.

    After spatial and temporal neighbours as positives (2503.05170), and several pictures of one patient (2101.05224).
    """

    def __init__(self, names: Sequence[str], samples: Samples, **how: Any) -> None:
        """`how` as of `Samples.views`."""
        self._theirs = of_partners(names)
        # A view by the name of index costs nothing, and random numbers are those of a view's place.
        sides = (
            tuple(name if (place in self._theirs) == theirs else "index" for place, name in enumerate(names))
            for theirs in (False, True)
        )
        self._made = [views_of(samples, side, **how) for side in sides]

    def __call__(self, rows: Tensor, /, *raw: Any) -> tuple[Tensor, ...]:
        half = len(raw) // 2
        own, others = (make(rows, *part) for make, part in zip(self._made, (raw[:half], raw[half:])))
        return tuple(b if place in self._theirs else a for place, (a, b) in enumerate(zip(own, others)))

    def size(self, name: str) -> tuple[int, ...]:
        return self._made[0].size(name)

    def describe(self) -> dict[str, dict[str, Any]]:
        """Every view in use with its options."""
        return {name: options for made in self._made for name, options in made.describe().items()}
