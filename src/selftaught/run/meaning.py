"""What a classifier's scores mean, by what its labels were: one class a sample, several labels, or a number."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from selftaught.run.records import LAST, Record
from selftaught.system.text import number_of

OUTPUTS = {"classes": "probabilities", "several": "probabilities", "number": "values"}  # what answers are called
ENOUGH = 20  # held-out samples, or groups; by fewer what is chosen is a matter of luck
HELD = 0.95  # share of new samples that a margin is to hold
RANGE = (-3.0, 3.0)  # of the logarithm of a temperature: a twentieth to twenty, which no sane network leaves
AT_THE_END = 0.01  # of the range: the search stops so far from it
SINGLE = 200  # deviations from zero; of a mean beyond, single precision would round off a 40,000th of one
DIGITS, DOUBLE = 7, 17  # that are worth writing of a number in single precision, and in double

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
    # Held-out samples, a group being one, that chose temperature, thresholds or margin; None of older ones: unknown.
    chosen_by: Annotated[int, Field(ge=0, le=LAST)] | None = None

    def answers(self, scores: Tensor) -> Tensor:
        """Of scores (B, outputs) the probability of each class or label (B, outputs), or the numbers (B,).

        Numbers that single precision does not hold, such as times in seconds, are of double precision.
        """
        if self.task == "number":
            number = scores[:, 0]
            if self._is_wide and number.device.type != "mps":  # which has no double precision
                number = number.double()
            return number * self.deviation + self.mean
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
        return {"task": self.task, **self.model_dump(mode="json", include=kept | {"chosen_by"})}

    @property
    def held(self) -> float:
        """The share of new numbers that the margin holds: what it is to hold, or what so few as chose it can prove."""
        return HELD if self.chosen_by is None else min(HELD, self.chosen_by / (self.chosen_by + 1))

    def doubts(self, those: str | None = None) -> str:
        """What speaks against how sure it is, for people; "" where nothing is known to. `those`: who chose that."""
        those = those or number_of(self.chosen_by or 0, "sample")
        if self.chosen_by == 0:
            unknown = (
                "how far off it is, is not known" if self.task == "number" else "its probabilities are not calibrated"
            )
            return f"no labels were held out: {unknown}"
        if self.task == "number":
            few = f"{those} alone chose the intervals: they hold {self.held:.0%} of new numbers, not {100 * HELD:.0f} %"
            return few if self.held < HELD - 1e-9 else ""
        doubts = [f"was chosen by {those} alone"] * (self.chosen_by is not None and self.chosen_by < ENOUGH)
        at_the_end = min(abs(math.log(self.temperature) - end) for end in RANGE) < AT_THE_END
        doubts += ["stands at the end of its range"] * at_the_end
        told = f"the temperature, {self.temperature:.3g}, {' and '.join(doubts)}: trust no probability of its"
        return told if doubts else ""

    def written(self, number: float, least: int = DIGITS, places: int = 4) -> str:
        """A number in so many digits at least, and in as many as end so many places behind the deviation's first."""
        most = math.floor(math.log10(abs(number))) if number else 0
        digits = most - math.floor(math.log10(self.deviation)) + 1 + places
        return f"{number:.{min(max(least, digits), DOUBLE)}g}"

    @property
    def formula(self) -> str:
        """The same in Python, to be written behind what gives the scores."""
        if self.task == "number":
            double = ".double()" * self._is_wide
            return f"[:, 0]{double}.mul({self.deviation!r}).add({self.mean!r})"
        return f".div({self.temperature!r})." + ("softmax(dim=1)" if self.task == "classes" else "sigmoid()")

    @property
    def _is_wide(self) -> bool:
        """Whether single precision would round off what tells numbers apart."""
        return abs(self.mean) > SINGLE * self.deviation

    def fits(self, names: int) -> bool:
        """Whether a classifier of so many classes or labels can mean this."""
        return names == 0 if self.task == "number" else names > 0 and len(self.thresholds) in (0, names)
