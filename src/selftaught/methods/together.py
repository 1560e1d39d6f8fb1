"""Both families at once: a method, and a helper on the same encoder beside it (after 2210.09866)."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from selftaught.contracts.method import Data, Method


class Together(Method):
    """The loss terms of a method, and those of its helper times a weight; both ask about the same samples."""

    def __init__(self, main: Method, helper: Method, data: Data, /, *, weight: float, prefix: str = "also ") -> None:
        """`prefix` stands before the names of what is the helper's."""
        super().__init__(main.encoder, data)
        self.main, self.helper, self.weight, self.prefix = main, helper, weight, prefix
        self.views = (*main.views, *helper.views)
        # The main method's settings hold for both; only rates that a part wants to keep are kept, under its new name.
        fixed = [f"{name}.{part}" for name in ("main", "helper") for part in getattr(self, name).preset.fixed_lr]
        self.preset = replace(main.preset, fixed_lr=tuple(fixed))  # type: ignore[misc]

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        count = len(self.main.views)
        aside = self.helper(*views[count:])
        return {**self.main(*views[:count]), **self._called({name: self.weight * aside[name] for name in aside})}

    def _called(self, aside: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {f"{self.prefix}{name}": tensor for name, tensor in aside.items()}

    def start(self, everything: Tensor) -> None:
        self.main.start(everything)
        self.helper.start(everything)

    @property
    def starts(self) -> bool:
        return self.main.starts or self.helper.starts

    def refuse_batch(self, batch: int) -> None:
        self.main.refuse_batch(batch)
        self.helper.refuse_batch(batch)

    def before_step(self, progress: float) -> None:
        self.main.before_step(progress)
        self.helper.before_step(progress)

    def after_step(self, progress: float) -> None:
        self.main.after_step(progress)
        self.helper.after_step(progress)

    def chance(self, batch: int) -> float | None:
        main, helper = self.main.chance(batch), self.helper.chance(batch)
        # Without one of the two there is no level that their sum could be compared with.
        return None if main is None or helper is None else main + self.weight * helper

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        count = len(self.main.views)
        return {**self.main.picture(*views[:count]), **self._called(self.helper.picture(*views[count:]))}

    @property
    def measures(self) -> dict[str, Tensor]:
        return {**self.main.measures, **self._called(self.helper.measures)}
