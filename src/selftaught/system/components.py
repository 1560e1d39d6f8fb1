"""Components by name: `methods/.../simclr.py` is "simclr", its options the keyword-only parameters of its class."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from selftaught.system.errors import UsageError


class Part(BaseModel):
    """A component's name with the options to build it: plain data, so it can be saved, compared and rebuilt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: dict[str, Any] = {}


@dataclass(frozen=True)
class Option:
    """One option of a component."""

    name: str
    type: Any
    default: Any


def options(built: Any) -> dict[str, Option]:
    """The options of a class or function: its keyword-only parameters."""
    function = built.__init__ if inspect.isclass(built) else built
    hints = get_type_hints(function)
    return {
        p.name: Option(p.name, hints.get(p.name, Any), p.default)
        for p in inspect.signature(function).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    }


def checked(what: str, built: Any, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The chosen options with their types enforced; an unknown name or a bad value is a usage error."""
    known = options(built)
    values = {}
    for name, value in chosen.items():
        if name not in known:
            raise UsageError(f"{what} has no option {name!r}; {hint(name, known)}")
        try:
            values[name] = TypeAdapter(known[name].type).validate_python(value)
        except ValidationError as error:
            problem = error.errors()[0]["msg"].lower()
            raise UsageError(f"{what} option {name!r} cannot be {value!r}: {problem}") from None
    return values


def hint(name: str, known: Iterable[str]) -> str:
    """A suggestion for a misspelt name."""
    known = sorted(known)
    close = get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are {', '.join(known)}" if known else "there are none"
