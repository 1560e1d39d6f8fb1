"""What clocks and signals decide: any process may wish for it, and all hear of it at the same step."""

from collections.abc import Callable, Sequence

from selftaught.system import processes
from selftaught.system.interruption import undeterred

Wish = Callable[[int], float]  # of the step that is done next: whether, or how much
MOVING = -1  # no step: weights are on their way to the next


class Agreement:
    """Wishes of single processes, such as to stop; what one of them wishes for is granted to all.

    They travel with the numbers that the guard of each step waits for anyway, so they cost no message. All processes
    name the same wishes in the same order.
    """

    def __init__(self, **wishes: Wish) -> None:
        self._wishes = wishes
        self._sums: dict[str, float] = {}
        self.step = 0  # of which is spoken
        self.whole = 0  # the step that weights and all else are as after, or MOVING

    def wishes(self) -> list[float]:
        """What this process wishes for once `step` is done, as numbers to be summed over all."""
        return [float(wish(self.step)) for wish in self._wishes.values()]

    def grant(self, sums: Sequence[float]) -> None:
        """Take what all together wish for."""
        self._sums = dict(zip(self._wishes, sums))

    def __getitem__(self, name: str) -> bool:
        """Whether a wish is granted: in a single process what it wishes for at the moment."""
        return self.total(name) > 0

    def total(self, name: str) -> float:
        """The sum of what all wish for."""
        return self._sums.get(name, 0.0) if processes.count() > 1 else float(self._wishes[name](self.step))


def reason_of(own: str | None) -> str:
    """Why to stop, where some process has a reason of its own and all know that one has; it names who."""
    with undeterred():  # or who has the reason would go before the others know
        reasons = processes.exchanged(own)
    rank, reason = next((place, told) for place, told in enumerate(reasons) if told)
    return f"{reason}, which reached {processes.said_of(rank)}," if processes.count() > 1 else reason
