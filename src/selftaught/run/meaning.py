"""What a classifier's scores mean, by what its labels were: one class a sample, several labels, or a number."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from selftaught.run.records import Record

OUTPUTS = {"classes": "probabilities", "several": "probabilities", "number": "values"}  # what answers are called

Above = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Meaning(Record):
    """How scores become answers, as config.json has it; older ones name no task, and tell classes apart."""

    task: Literal["classes", "several", "number"] = "classes"
    temperature: Above = 1.0  # that scores are divided by, to be as sure as they are right
    thresholds: tuple[Share, ...] = ()  # of several labels: the probability from which on each is said
    mean: float = 0.0  # of the numbers that were learnt from, which scores are standardised by
    deviation: Above = 1.0
    margin: Annotated[float, Field(ge=0)] | None = None  # how far off 95 % of numbers are at most; None: unknown

    def answers(self, scores: Tensor) -> Tensor:
        """Of scores (B, outputs) the probability of each class or label (B, outputs), or the numbers (B,)."""
        if self.task == "number":
            return scores[:, 0] * self.deviation + self.mean
        scaled = scores / self.temperature
        return torch.softmax(scaled, dim=1) if self.task == "classes" else torch.sigmoid(scaled)

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> Self:
        """What config.json says of it, among other things. Raises ValueError, and KeyError of one without a number."""
        known = {name: about[name] for name in cls.model_fields if name in about}
        if known.get("task", "classes") != "number":
            known["temperature"] = about["temperature"]
        return cls.model_validate(known)

    def told(self) -> dict[str, Any]:
        """What config.json is to say of it."""
        own = {"classes": {"temperature"}, "several": {"temperature", "thresholds"}}
        kept = own.get(self.task, {"mean", "deviation", "margin"})
        return {"task": self.task, **self.model_dump(mode="json", include=kept)}

    @property
    def formula(self) -> str:
        """The same in Python, to be written behind what gives the scores."""
        if self.task == "number":
            return f"[:, 0].mul({self.deviation!r}).add({self.mean!r})"
        return f".div({self.temperature!r})." + ("softmax(dim=1)" if self.task == "classes" else "sigmoid()")

    def fits(self, names: int) -> bool:
        """Whether a classifier of so many classes or labels can mean this."""
        return names == 0 if self.task == "number" else names > 0 and len(self.thresholds) in (0, names)
