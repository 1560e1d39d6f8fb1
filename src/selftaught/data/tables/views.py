"""The shared vocabulary of views, as rows understand it: some cells take the values they have in other rows."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from selftaught.data import views
from selftaught.system import randomness
from selftaught.system.devices import constant


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How one kind of view is made; every field is an option, such as --views.strong.corrupt 0.4."""

    # Cells of a row that take another row's value (SCARF, 2106.15147, section 3).
    corrupt: Annotated[float, Field(ge=0, le=1, description="a share of the cells")] = 0.0
    # Gaussian noise on numbers, in deviations of their columns.
    noise: Annotated[float, Field(ge=0, le=1e6, description="a deviation, 0 or more")] = 0.0


# SCARF corrupts 60 % of the cells of one view and none of the other; with both views alike, half of that for each.
AUGMENTATIONS = {
    "light": Augmentation(),
    "strong": Augmentation(corrupt=0.3),
    "strong_other": Augmentation(corrupt=0.3),
    "global": Augmentation(corrupt=0.2),
    "local": Augmentation(corrupt=0.6),
}


class Views(views.SingleViews):
    """Makes views of rows."""

    AUGMENTATIONS = AUGMENTATIONS

    everything: Tensor  # (N, channels, columns): the rows that values are taken from

    def made(self, name: str, *raw: Tensor) -> Tensor:
        """Rows (B, channels, columns) of this view."""
        (values,) = raw
        if name == "plain":
            return values
        chosen = self.augmentations[name]
        count, columns = len(values), values.shape[2]
        if chosen.corrupt:
            hit = randomness.uniform((count, columns), "corrupted", values.device) < chosen.corrupt
            self.everything = self.everything.to(values.device)
            donor = randomness.integers(len(self.everything), (count, columns), "donor", values.device)
            others = self.everything[donor, :, torch.arange(columns, device=values.device)].transpose(1, 2)
            values = torch.where(hit[:, None], others, values)
        if chosen.noise:
            numbers = constant(tuple(column.kind == "number" for column in self.preparation.columns), values)
            noise = chosen.noise * randomness.normal((count, columns), "noise", values.device)
            values = values.clone()
            values[:, 0] += noise * numbers
        return values
