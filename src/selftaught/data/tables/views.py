"""The shared vocabulary of views, as rows understand it: some cells take the values they have in other rows."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from selftaught.data.tables.preparation import Preparation
from selftaught.system import components, randomness
from selftaught.system.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How one kind of view is made; every field is an option, such as --views.strong.corrupt 0.4."""

    corrupt: float = 0.0  # share of the cells of a row that take another row's value (SCARF, 2106.15147, section 3)
    noise: float = 0.0  # deviation of Gaussian noise on numbers, in deviations of their columns


# SCARF corrupts 60 % of the cells of one view and none of the other; with both views alike, half of that for each.
AUGMENTATIONS = {
    "light": Augmentation(),
    "strong": Augmentation(corrupt=0.3),
    "strong_other": Augmentation(corrupt=0.3),
    "global": Augmentation(corrupt=0.2),
    "local": Augmentation(corrupt=0.6),
}
FIXED = ("plain", "index")  # views without options


def view_options() -> dict[str, dict[str, Any]]:
    """The options of every kind of view with their defaults."""
    return {name: asdict(augmentation) for name, augmentation in AUGMENTATIONS.items()}


class Views:
    """Makes the views a method asks for."""

    def __init__(
        self,
        names: Sequence[str],
        preparation: Preparation,
        everything: Tensor,
        *,
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """`everything` (N, channels, columns) are the rows that values are taken from."""
        known = [*FIXED, *AUGMENTATIONS]
        for name in [*names, *(options or {})]:
            if name not in known:
                raise UsageError(f"no view named {name!r}; {components.hint(name, known)}")
        for name in FIXED:
            if (options or {}).get(name):
                raise UsageError(f"view {name} has no options, it is always made the same way")
        self.names, self.preparation, self.everything = tuple(names), preparation, everything
        self.augmentations = {
            name: _tuned(name, (options or {}).get(name, {})) for name in {*self.names, *(options or {})} - set(FIXED)
        }

    def __call__(self, rows: Tensor, /, *raw: Tensor) -> tuple[Tensor, ...]:
        """One tensor a view: row numbers (B,) and rows (B, channels, columns) in."""
        (values,) = raw
        self.everything = self.everything.to(values.device)
        made = []
        for position, name in enumerate(self.names):
            with nullcontext() if name in FIXED else randomness.view(position):
                made.append(rows if name == "index" else self._made(name, values))
        return tuple(made)

    def _made(self, name: str, values: Tensor) -> Tensor:
        if name == "plain":
            return values
        chosen = self.augmentations[name]
        count, columns = len(values), values.shape[2]
        if chosen.corrupt:
            hit = randomness.uniform((count, columns), "corrupted", values.device) < chosen.corrupt
            donor = randomness.integers(len(self.everything), (count, columns), "donor", values.device)
            others = self.everything[donor, :, torch.arange(columns, device=values.device)].transpose(1, 2)
            values = torch.where(hit[:, None], others, values)
        if chosen.noise:
            numbers = torch.tensor([column.kind == "number" for column in self.preparation.columns])
            noise = chosen.noise * randomness.normal((count, columns), "noise", values.device)
            values = values.clone()
            values[:, 0] += noise * numbers.to(values)
        return values

    def size(self, name: str) -> tuple[int, ...]:
        """Columns of a view."""
        return self.preparation.size

    def describe(self) -> dict[str, dict[str, Any]]:
        """Every view in use with its options as they are, for people."""
        return {name: asdict(made) for name, made in self.augmentations.items()}


def _tuned(name: str, options: Mapping[str, Any]) -> Augmentation:
    made = replace(AUGMENTATIONS[name], **components.checked(f"view {name}", Augmentation, options))
    if not 0 <= made.corrupt <= 1:
        raise UsageError(f"view {name} option 'corrupt' cannot be {made.corrupt!r}: it is a share of the cells")
    if made.noise < 0:
        raise UsageError(f"view {name} option 'noise' cannot be {made.noise!r}: it is a deviation, 0 or more")
    return made
