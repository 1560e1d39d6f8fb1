"""Methods by name: a file in the tree is a method, its folders are its family and kind."""

import ast
import inspect
import pkgutil
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from selftaught.methods import handed
from selftaught.methods.theirs import OURS, refuse_unfinished
from selftaught.system.components import hint, meant
from selftaught.system.context import IN_PYTHON
from selftaught.system.errors import UsageError
from selftaught.system.plugins import fault, left_out_if_broken
from selftaught.system.saying import say
from selftaught.system.text import printable

OWN = "own"  # family and kind of a method that was handed over


@dataclass(frozen=True)
class Place:
    """Where a method lives: its family and kind are the folders it is in."""

    name: str
    family: str
    kind: str
    module: str

    @property
    def is_ours(self) -> bool:
        """Whether it is one of this package."""
        return self.module.startswith(OURS)


def places() -> dict[str, Place]:
    """Every method by name: those that are installed, and those that somebody has handed over for this command."""
    return {**_installed(), **{name: Place(name, OWN, OWN, cls.__module__) for name, cls in handed.held().items()}}


@cache
def _installed() -> dict[str, Place]:
    """Those of this package, and those of the entry-point group `selftaught.methods`."""
    by_name = _in(import_module(__package__))
    for point in entry_points(group="selftaught.methods"):
        with left_out_if_broken(f"the package of methods {printable(point.name)}"):
            # The first of a name stays: a plug-in adds methods, and takes no name away from what a recipe means.
            package = point.load()
            for place in _in(package).values():
                if (other := by_name.setdefault(place.name, place)) != place:
                    same = f"{other.module} has that name already"
                    say(f"warning: the method {printable(place.name)} of {printable(place.module)} is not used: {same}")
            for module in _beside(package):
                where = f"it is to lie in {package.__name__}/family/kind/"
                say(f"warning: {printable(module)} defines a method that is not used: {where}")
    return by_name


def usable() -> dict[str, Place]:
    """Those whose class can be had: a file of somebody else's that is broken is said and left out."""
    found = {}
    for name, place in places().items():
        handed_over = place.family == OWN
        with nullcontext() if place.is_ours or handed_over else left_out_if_broken(f"the method {printable(name)}"):
            if not handed_over:
                _class_in(place)
            found[name] = place
    return found


def _in(package: ModuleType) -> dict[str, Place]:
    """Those in the folders of a package."""
    by_name: dict[str, Place] = {}
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        # Walking imports packages, not the modules in them, so that no method's code runs before it is chosen.
        path = info.name.removeprefix(package.__name__ + ".").split(".")
        if not info.ispkg and len(path) == 3 and not path[-1].startswith("_"):
            by_name.setdefault(path[-1], Place(path[-1], path[0], path[1], info.name))
    return by_name


def _beside(package: ModuleType) -> Iterator[str]:
    """Modules that define a method, by what they say, where none is looked for; none of their code is run."""
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        spec = None if info.ispkg or info.name.count(".") == package.__name__.count(".") + 3 else find_spec(info.name)
        if spec is None or not spec.origin or not spec.origin.endswith(".py"):
            continue
        with suppress(OSError, SyntaxError, ValueError):
            said = ast.parse(Path(spec.origin).read_bytes())
            bases = [ast.unparse(base) for one in said.body if isinstance(one, ast.ClassDef) for base in one.bases]
            if {"Method", "selftaught.Method"} & {*bases}:
                yield info.name


def named(name: str) -> str:
    """The name of the method that is meant, whatever its case, hyphens and spaces; else what was said."""
    return name if name in places() else meant(name, places())


def kind_of(method: Any) -> str:
    """The kind of data to show a method on: images, but for one that asks about what these do not have."""
    return "text" if method.needs_words else "series" if method.needs_time else "images"


def method_class(name: str) -> Any:
    """The method called `name`: what was handed over, or the one subclass of Method that its module defines."""
    if name in handed.held():
        return handed.held()[name]
    if name.startswith(IN_PYTHON):
        raise handed.given_again(name)
    if name not in places():
        known = usable()
        raise UsageError(f"no method named {name!r}; {hint(name, known, most=len(known))}")
    place = places()[name]
    try:
        return _class_in(place)
    except Exception as error:
        if place.is_ours:
            raise
        file = printable(str(getattr(find_spec(place.module), "origin", place.module)))
        raise UsageError(f"the method {printable(name)} cannot be used: {fault(error)}; mend {file}") from error


def _class_in(place: Place) -> Any:
    """The one subclass of Method that a module defines; whatever is wrong with somebody else's is raised."""
    from selftaught.contracts.method import Method  # imports torch, which takes seconds: names alone go without it

    module = import_module(place.module)
    classes = [value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, Method)]
    own = [cls for cls in classes if cls.__module__ == module.__name__]  # not those it imports, Method among them
    if len(own) != 1:
        raise UsageError(f"{module.__name__} must define exactly one Method, it defines {len(own)}")
    if not place.is_ours:
        refuse_unfinished(own[0])
    return own[0]
