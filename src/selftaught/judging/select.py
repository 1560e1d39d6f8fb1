"""Which samples to label first, by their features: no two that look just alike, and none that is labelled already."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from selftaught.judging.choice import choice_of
from selftaught.judging.choosing.strategy import Pick, Strategy
from selftaught.judging.featured import Featured
from selftaught.run.recipes import Select
from selftaught.system.errors import DataError
from selftaught.system.saying import say
from selftaught.system.showing import Shown
from selftaught.system.text import printable


@dataclass(frozen=True)
class Selection(Shown):
    """The samples to label first, the most wanted before the others."""

    data: Featured
    picks: list[Pick]
    by: Strategy
    labelled: int  # samples that were known to be labelled
    like_labelled: int  # others that look just like these, and so are not chosen

    @property
    def keys(self) -> list[str]:
        """What the chosen samples are called."""
        return [self.data.samples.keys[pick.row] for pick in self.picks]

    @property
    def columns(self) -> list[str]:
        """What is known of each, besides its name."""
        clustered = any(pick.cluster is not None for pick in self.picks)
        return ["rank", *["cluster"] * clustered, *([self.by.measure] if self.by.measure else [])]

    def facts(self) -> list[dict[str, Any]]:
        """Each as plain data: its path, and its value of each column; None where a strategy had none."""
        known = [
            {"rank": rank, "cluster": pick.cluster, self.by.measure or "": _rounded(pick.worth)}
            for rank, pick in enumerate(self.picks, 1)
        ]
        own = zip(self.keys, known, strict=True)
        return [{"path": key, **{name: one[name] for name in self.columns}} for key, one in own]


def _rounded(worth: float | None) -> float | None:
    return None if worth is None else float(f"{worth:.6g}")


def select(recipe: Select, module: nn.Module | None = None) -> Selection:
    """What a recipe asks for. Raises UsageError and DataError."""
    choice = choice_of(recipe, module, recipe.classes)
    data, known, pool = choice.data, choice.labelled, choice.pool()
    samples, ready = data.samples, int(pool.open.sum())
    if not ready:
        raise DataError(f"nothing is left to choose: all of {printable(samples.name)} is labelled, or looks like it")
    picks = choice.picks(recipe.count, pool)
    if (got := len(picks)) < recipe.count:
        there = f"there are {samples.count:,} {data.kind.THINGS}, {len(known):,} labelled"
        say(f"note: {got:,} are chosen and not {recipe.count:,}: {there}, and all others look just like these")
    return Selection(data, picks, choice.by, len(known), samples.count - ready - int((known < samples.count).sum()))
