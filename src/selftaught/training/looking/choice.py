"""Which step's network to keep: the last, or the one that a label-free score thinks best."""

from collections.abc import Mapping, Sequence
from typing import Any

from selftaught.run.recipes import Pretrain
from selftaught.training.looking.scores import worth


class SettledError(Exception):
    """The score has not risen for as long as the recipe is patient: the run has done its work."""


class Choice:
    """Follows a score over the looks of a run; of "last" it knows nothing and changes nothing."""

    def __init__(self, recipe: Pretrain, known: Sequence[Mapping[str, Any]]) -> None:
        """`known` are the lines of metrics so far."""
        self.name, self.patience = recipe.choose, recipe.patience
        self.best: int | None = None  # the step with the best score so far
        self.without = 0  # looks since then
        self._worth = float("-inf")
        for line in known:
            if line.get("health"):
                self.note(line["step"], line["health"])

    @property
    def settled(self) -> bool:
        """Whether the score has not risen for as many looks as the recipe is patient."""
        return self.patience is not None and self.without >= self.patience

    def note(self, step: int, scores: Mapping[str, float]) -> None:
        """Take the scores of a look into account."""
        if self.name == "last":
            return
        now = worth(scores, self.name)
        if self.best is None or now > self._worth:
            self.best, self._worth, self.without = step, now, 0
        else:
            self.without += 1
