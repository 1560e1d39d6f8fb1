"""Which step's network to keep: the last, or the one that a label-free score thinks best."""

from collections.abc import Mapping

from selftaught.run.recipes import Pretrain
from selftaught.training.looking.scores import worth


class SettledError(Exception):
    """The score has not risen for as long as the recipe is patient: the run has done its work."""


class Choice:
    """Follows a score over the looks of a run; of "last" it knows nothing and changes nothing."""

    def __init__(self, recipe: Pretrain) -> None:
        self.name, self.patience = recipe.choose, recipe.patience
        self.best: int | None = None  # the step with the best score so far
        self.without = 0  # looks since then
        self._worth = float("-inf")

    @property
    def settled(self) -> bool:
        """Whether the score has not risen for as many looks as the recipe is patient."""
        return self.patience is not None and self.without >= self.patience

    def note(self, step: int, scores: Mapping[str, float], sound: bool) -> None:
        """Take the scores of a look into account; one at a network that may be collapsing, not `sound`, is never best.

        Nor is one that the score cannot be taken at. Scores of how alike samples look are best when all are the same.
        """
        if self.name == "last":
            return
        now = worth(scores, self.name)
        if sound and now > self._worth:
            self.best, self._worth, self.without = step, now, 0
        else:
            self.without += 1
