"""A recipe with nothing left open: what a run is built from and saved as."""

from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from selftaught.run.quantities import NONE, Shards
from selftaught.run.recipes import Pretrain
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from selftaught.system.text import printable


class Way(NamedTuple):
    """How a network is computed."""

    precision: Literal["32-true", "bf16-mixed", "64-true"] = "32-true"
    layout: Literal["contiguous", "channels_last"] = "contiguous"
    attention: Literal["fused", "plain"] = "fused"

    def __str__(self) -> str:
        """For people: bf16-mixed channels-last, and the attention where it is not the usual one."""
        shown = f"{self.precision} {self.layout.replace('_', '-')}"
        return shown + (" plain attention" if self.attention == "plain" else "")


class Plan(Pretrain):
    """What was asked, and all that was decided: `training.resolve` makes one, and nothing else does.

    The file recipe.yaml of a run holds it, so that the run can be resumed, and begun again elsewhere, as it was.
    """

    encoder: Part
    batch_size: int = Field(gt=1)
    steps: int = Field(gt=0)
    precision: Literal["32-true", "bf16-mixed", "64-true"]
    layout: Literal["contiguous", "channels_last"]
    attention: Literal["fused", "plain"]
    normalise: Literal["data", "init"]
    statistics: Literal["data", "init"]
    preset: Literal["own", "warm"]
    fingerprint: str
    first_pass: Literal["all", "sample"] = "all"
    shard: Shards = NONE
    draws: Literal["streams", "blocks"] = "streams"

    @property
    def way(self) -> Way:
        """Precision, layout and attention."""
        return Way(self.precision, self.layout, self.attention)

    @classmethod
    def refuse_open(cls, saved: Pretrain, file: Path, sized: bool) -> None:
        """A usage error where a run's recipe leaves open what was decided: what is chosen now may be something else.

        `sized`: whether its samples have a size in pixels. Runs of earlier versions lack what was unknown then.
        """
        decided = [name for name, field in cls.model_fields.items() if field.is_required()] + ["size"] * sized
        values = {name: getattr(saved, name) for name in decided}
        if left := [n for n, v in values.items() if v is None or (v == "auto" and n in saved.model_fields_set)]:
            raise UsageError(
                f"{printable(file)} does not say which {' and '.join(left)} the run was begun with: put back what "
                "was there, or start anew in another --out"
            )

    def computed(self, way: Way) -> "Plan":
        """The same plan, computed another way."""
        return self.model_copy(update=way._asdict())
