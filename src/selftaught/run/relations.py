"""How people write what metadata are for: same:tile, near:time:5, scanner:0.5; checked, and kept as written."""

from math import isfinite
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator

SAME, NEAR = "same", "near"
HEAVIEST = 1e6


class Relation(NamedTuple):
    """Samples are related whose values are the same, or no further apart than a distance."""

    column: str
    distance: float | None = None  # None: the same

    def __str__(self) -> str:
        return f"{SAME}:{self.column}" if self.distance is None else f"{NEAR}:{self.column}:{self.distance:g}"


class Weighed(NamedTuple):
    """A column, and how much what is told of it counts."""

    column: str
    weight: float = 1.0


def relations(text: str) -> list[Relation]:
    """Those that must all hold of two samples: same:patient,near:time:5. Raises ValueError."""
    return [_relation(part) for part in _parts(text)]


def _relation(part: str) -> Relation:
    kind, _, rest = part.partition(":")
    if kind == SAME and rest:
        return Relation(rest)
    column, _, distance = rest.rpartition(":")
    if kind == NEAR and column and (number := _number(distance)) is not None and number > 0:
        return Relation(column, number)
    raise ValueError("relations look like same:tile, near:time:5 or same:patient,near:time:5")


def weighed(text: str) -> list[Weighed]:
    """Columns with or without a weight: scanner:0.5,site. Raises ValueError."""
    found = []
    for part in _parts(text):
        column, _, weight = part.rpartition(":")
        number = _number(weight) if column else None
        if number is not None and not 0 < number <= HEAVIEST:
            raise ValueError(f"a weight is above 0 and at most {HEAVIEST:g}")
        found.append(Weighed(part) if number is None else Weighed(column, number))
    return found


def _parts(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise ValueError("between commas stands the name of a column")
    return parts


def _number(text: str) -> float | None:
    try:
        return number if isfinite(number := float(text)) else None
    except ValueError:
        return None


def _related(value: Any) -> Any:
    """As it is written, where it can be read."""
    if value is not None and (found := relations(str(value))):
        near = [one for one in found if one.distance is not None]
        if len(near) > 1:
            raise ValueError("samples can be near in one column; others can be the same")
    return None if value is None else str(value)


def _listed(value: Any) -> Any:
    named = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else value
    if named is not None:
        weighed(str(named))
    return None if named is None else str(named)


Relations = Annotated[str | None, BeforeValidator(_related)]
Columns = Annotated[str | None, BeforeValidator(_listed)]
