"""Components by name: `methods/.../simclr.py` is "simclr", its options the keyword-only parameters of its class."""

import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from .errors import UsageError


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


@dataclass(frozen=True)
class Place:
    """Where a method lives: its family and kind are the folders it is in."""

    name: str
    family: str
    kind: str
    module: str


@cache
def places() -> dict[str, Place]:
    """Every method by name: those of this package, and those of the entry-point group `selftaught.methods`."""
    packages = [import_module(f"{__package__}.methods")]
    packages += [point.load() for point in entry_points(group="selftaught.methods")]
    found: dict[str, Place] = {}
    for package in packages:
        for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            path = info.name.removeprefix(package.__name__ + ".").split(".")
            if not info.ispkg and len(path) == 3 and not path[-1].startswith("_"):
                found.setdefault(path[-1], Place(path[-1], path[0], path[1], info.name))
    return found


def method_class(name: str) -> Any:
    """The method called `name`: the one subclass of Method that its module defines."""
    from .method import Method

    if name not in places():
        raise UsageError(f"no method named {name!r}; {hint(name, places())}")
    return _only_subclass(import_module(places()[name].module), Method)


def _only_subclass(module: ModuleType, base: type) -> type:
    own = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, base) and value.__module__ == module.__name__
    ]
    if len(own) != 1:
        raise UsageError(f"{module.__name__} must define exactly one {base.__name__}, it defines {len(own)}")
    return own[0]


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
