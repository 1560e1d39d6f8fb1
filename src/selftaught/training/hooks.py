"""What somebody's own code hears of a run that it has started in Python: its steps, its looks, and its end."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from selftaught.run.folder import RunFolder
from selftaught.system.errors import UsageError


@dataclass(frozen=True)
class Step:
    """A step that is done: its number, from 1, of how many, and the terms of its loss, on the device."""

    step: int
    steps: int
    terms: Mapping[str, Tensor]

    @property
    def loss(self) -> float:
        """The sum of all terms; to read it waits for the device."""
        return sum(term.item() for term in self.terms.values())


@dataclass(frozen=True)
class Hooks:
    """Functions that the leading process calls between steps. What they raise ends the run, as any error does.

    on_step: of each `Step`; on_look: of the line of metrics.jsonl that has what a look saw; on_end: of the status, once
    the run has ended in whatever way; views: what makes views in place of ours, see `own_views.OwnViews`.
    """

    on_step: Callable[[Step], Any] | None = None
    on_look: Callable[[dict[str, Any]], Any] | None = None
    on_end: Callable[[dict[str, Any]], Any] | None = None
    views: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("on_step", "on_look", "on_end"):  # or it were said after the first step
            if (given := getattr(self, name)) is not None and not callable(given):
                raise UsageError(f"{name} cannot be of type {type(given).__name__}: it is a function, or None")

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def stepped(self, step: int, steps: int, terms: Mapping[str, Tensor]) -> None:
        """Tell of a step."""
        if self.on_step:
            self.on_step(Step(step, steps, {name: term.detach() for name, term in terms.items()}))

    def looked(self, line: Mapping[str, Any]) -> None:
        """Tell of a look."""
        if self.on_look:
            self.on_look(dict(line))

    @contextmanager
    def told_the_end(self, run: RunFolder) -> Iterator[None]:
        """Tell afterwards how it ended."""
        try:
            yield
        finally:
            if self.on_end:
                self.on_end(run.status)
